"""
The story of docs/monitoring.md: ordinary sentences to clinc150, then some among them that are out of its scope.

Sentences are those of CLINC150's test split, on which nothing of the model was chosen.
"""

import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import replays
from graphs import load_classifier
from servers import Served
from shared_data import shared
from softgate.numerics.histogram import CONFIDENCE_EDGES
from softgate.policy.monitor.detectors import OUT_OF_SCOPE, detectors
from softgate.runtime.repository import read_bundle
from softgate.types import Reason

MODEL = "clinc150"
FOLDER = Path(__file__).parents[1] / "models" / MODEL
ORDINARY = 2000
"""Rows before anything changes."""
ONE_IN = 5
"""Of the rows after that, one in so many is out of scope."""

Report = dict[str, Any]


class Sentences(NamedTuple):
    """In an order that is drawn once, and is the same each time."""

    ordinary: list[str]
    strange: list[str]

    def mixed(self, n_rows: int) -> list[str]:
        """Ordinary ones that have not been sent before, and among each five of them, somewhere, a strange one."""
        places = np.random.default_rng(1).integers(ONE_IN, size=-(-n_rows // ONE_IN))
        ordinary, strange = iter(self.ordinary[ORDINARY:]), iter(self.strange)
        return [next(strange if row % ONE_IN == places[row // ONE_IN] else ordinary) for row in range(n_rows)]


def sentences() -> Sentences:
    data = json.loads(shared("data", "clinc150", "data_full.json").read_text())
    random = np.random.default_rng(0)
    return Sentences(
        *([data[split][place][0] for place in random.permutation(len(data[split]))] for split in ("test", "oos_test"))
    )


def send(server: Served, rows: list[str], *, size: int = 20) -> None:
    for first in range(0, len(rows), size):
        assert server.predict(MODEL, inputs=rows[first : first + size]).status_code == 200


def report(server: Served) -> Report:
    """As it stands once the monitor has looked at every row that was answered so far."""
    sent = time.time()
    while True:
        found: Report = server.client.get(f"/v1/models/{MODEL}/drift").json()
        if found["updated_at"] > sent:
            return found
        time.sleep(0.05)


def rows_until_alarm(server: Served, rows: list[str], *, size: int = 20) -> int:
    """The monitor looks after each `size` rows; all of them if it never alarms."""
    for first in range(0, len(rows), size):
        send(server, rows[first : first + size])
        if report(server)["alarm"]:
            return first + size
    return len(rows)


def ringing(found: Report) -> set[str]:
    return {state["detector"] for state in found["detectors"] if state["alarm"]}


def acknowledge(server: Served) -> Report:
    found: Report = server.client.post(f"/v1/models/{MODEL}/drift/acknowledge", json={}).json()
    return found


def delays(sentences: Sentences, *, runs: int, n_rows: int) -> NDArray[np.intp]:
    """Rows until the alarm, if it is looked at after each, in mixtures drawn at random: a fifth strange on average."""
    random = np.random.default_rng(2)
    strange = random.random((runs, n_rows)) < 1 / ONE_IN
    ordinary, others = (_observed(rows) for rows in sentences)
    places = random.integers(len(sentences.ordinary), size=strange.shape)
    other_places = random.integers(len(sentences.strange), size=strange.shape)
    bins, turned_away = (
        np.where(strange, other[other_places], one[places]) for one, other in zip(ordinary, others, strict=True)
    )
    own = detectors(read_bundle(FOLDER))
    looks = [
        (
            replays.factors([detector.mean_bound] * runs, detector.values),
            turned_away if detector.name == OUT_OF_SCOPE else bins,
        )
        for detector in own
    ]
    return replays.delays(looks, budget=own[0].budget)


def _observed(rows: list[str]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """What the detectors see of sentences: the bin of the confidence, and whether the gate turns it away."""
    classifier = load_classifier(FOLDER)
    answered = [
        classifier.predict_now(classifier.check(rows[first : first + 500])) for first in range(0, len(rows), 500)
    ]
    classifier.close()
    confidence = np.concatenate([found.scores.confidence for found in answered])
    reasons = np.concatenate([found.decisions.reason for found in answered])
    return np.searchsorted(CONFIDENCE_EDGES, confidence), (reasons == Reason.OUT_OF_SCOPE).astype(np.intp)
