"""`softgate replay --drift`: what the alarm would have done, and when."""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from drifting import CALM, MIXED, model
from graphs import linear, load_classifier, write_model
from servers import command, environment
from softgate.commands.replay import MOST_ALARMS, alarm_rows
from softgate.numerics.alarm import is_alarm, start, step
from softgate.numerics.histogram import CONFIDENCE_EDGES
from softgate.policy.classifier import Classifier
from softgate.policy.monitor.detectors import OUT_OF_SCOPE, detectors
from softgate.policy.monitor.offline import Offline, Raised
from softgate.types import Predictions, Reason
from story import FOLDER, ORDINARY, sentences


class Stepped:
    """What `step` finds if it is given one row at a time."""

    def __init__(self, classifier: Classifier, logits: NDArray[np.floating]) -> None:
        self.alarms: list[tuple[str, int]] = []
        self.evidence: dict[str, float] = {}
        rows = [classifier.replay(row[None]) for row in logits]
        for detector in detectors(classifier.model.bundle):
            evidence = start()
            for number, row in enumerate(rows, start=1):
                counts = self._counts(detector.name, row, len(detector.values))
                evidence = step(evidence, counts, detector.values, mean_bound=detector.mean_bound)
                if is_alarm(evidence, budget=detector.budget):
                    self.alarms.append((detector.name, number))
                    evidence = start()
            self.evidence[detector.name] = float(evidence.mean() / detector.budget)

    @staticmethod
    def _counts(detector: str, row: Predictions, n_bins: int) -> NDArray[np.intp]:
        counts = np.zeros(n_bins, np.intp)
        if detector == OUT_OF_SCOPE:
            counts[int(row.decisions.reason[0] == Reason.OUT_OF_SCOPE)] = row.decisions.reason[0] != Reason.NON_FINITE
        elif row.scores.finite[0]:
            counts[np.searchsorted(CONFIDENCE_EDGES, row.scores.confidence[0])] = 1
        return counts


def run(*arguments: object, code: int = 0) -> "subprocess.CompletedProcess[str]":
    ended = subprocess.run(
        command("replay", *arguments), capture_output=True, text=True, env=environment(), check=False, timeout=60
    )
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended


def test_alarms_are_told_by_their_rows(tmp_path: Path) -> None:
    folder = model(tmp_path / "toy")
    np.savez(tmp_path / "mixed.npz", logits=MIXED)

    ended = run(folder, tmp_path / "mixed.npz", "--drift")

    classifier = load_classifier(folder)
    offline = Offline(classifier.model.bundle)
    offline.add(classifier.replay(MIXED))
    assert offline.raised
    assert all(500 < raised.row <= 800 for raised in offline.raised)
    told = ended.stdout.partition("Alarms, had somebody looked after every row")[2]
    for detector in ("confidence_falling", "confidence_rising", "out_of_scope_rising"):
        rows = " ".join(alarm_rows(detector, offline.raised).split())
        assert f"{detector.replace('_', ' ')} {rows}" in " ".join(told.split())
    assert "ALARM confidence falling" in ended.stdout
    assert not ended.stdout.startswith("{")
    assert "800 rows: " in ended.stderr


def test_ordinary_rows_alarm_nobody(tmp_path: Path) -> None:
    folder = model(tmp_path / "toy")
    np.savez(tmp_path / "calm.npz", logits=CALM)

    ended = run(folder, tmp_path / "calm.npz", "--drift", "--output", tmp_path / "lines.jsonl")

    assert "No drift" in ended.stdout
    assert len(re.findall("no alarm\\b(?! is on)", ended.stdout)) == 3
    assert len((tmp_path / "lines.jsonl").read_text().splitlines()) == len(CALM)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_alarms_are_those_of_the_detectors_row_by_row(tmp_path: Path, size: int) -> None:
    classifier = load_classifier(model(tmp_path / "toy"))
    holes = np.insert(MIXED, np.arange(0, len(MIXED), 5), np.nan, axis=0)
    offline = Offline(classifier.model.bundle)

    for first in range(0, len(holes), size):
        offline.add(classifier.replay(holes[first : first + size]))

    stepped = Stepped(classifier, holes)
    assert len(stepped.alarms) > 3
    assert sorted((raised.detector, raised.row) for raised in offline.raised) == sorted(stepped.alarms)
    assert [raised.row for raised in offline.raised] == sorted(raised.row for raised in offline.raised)
    evidence = {state.detector: state.evidence for state in offline.report().detectors}
    assert evidence == pytest.approx(stepped.evidence, rel=1e-9)


def test_json_holds_every_alarm_and_the_report(tmp_path: Path) -> None:
    folder = model(tmp_path / "toy")
    np.savez(tmp_path / "mixed.npz", logits=MIXED)

    told = json.loads(run(folder, tmp_path / "mixed.npz", "--drift", "--json").stdout)

    stepped = Stepped(load_classifier(folder), MIXED)
    assert [(alarm["detector"], alarm["row"]) for alarm in told["alarms"]] == sorted(
        stepped.alarms, key=lambda alarm: alarm[1]
    )
    previous: dict[str, int] = {}
    for alarm in told["alarms"]:
        assert alarm["since"] == alarm["row"] - previous.get(alarm["detector"], 0)
        previous[alarm["detector"]] = alarm["row"]
    assert told["report"]["alarm"] is True
    assert [window["rows"] for window in told["report"]["windows"]] == [800]


def test_stored_answers_are_looked_after_as_arrays_are(tmp_path: Path) -> None:
    folder = model(tmp_path / "toy")
    np.savez(tmp_path / "mixed.npz", logits=MIXED)
    answers = [{"predictions": [{"logits": row} for row in MIXED[i : i + 3].tolist()]} for i in range(0, len(MIXED), 3)]
    (tmp_path / "mixed.jsonl").write_text("\n".join(map(json.dumps, answers)))

    array, lines = (run(folder, tmp_path / f"mixed.{kind}", "--drift", "--json").stdout for kind in ("npz", "jsonl"))

    assert array == lines


def test_strangers_among_real_sentences_alarm_soon_and_ordinary_ones_nobody(tmp_path: Path) -> None:
    """The delay over 200 draws: 79 rows in the median, 191 or fewer in 95 % of them, 282 at most."""
    classifier, told = load_classifier(FOLDER), sentences()
    rows = [*told.ordinary[:ORDINARY], *told.mixed(400)]
    logits = [classifier.model.logits(classifier.check(rows[i : i + 500])) for i in range(0, len(rows), 500)]
    np.savez(tmp_path / "rows.npz", logits=np.concatenate(logits))

    alarms = json.loads(run(FOLDER, tmp_path / "rows.npz", "--drift", "--json").stdout)["alarms"]

    assert {alarm["detector"] for alarm in alarms} == {"confidence_falling", "out_of_scope_rising"}
    assert ORDINARY < alarms[0]["row"] <= ORDINARY + 200


def test_rows_that_are_not_finite_are_passed_over_and_keep_their_place(tmp_path: Path) -> None:
    classifier = load_classifier(model(tmp_path / "toy"))
    plain, pierced = (Offline(classifier.model.bundle) for _ in range(2))
    holes = np.insert(MIXED, np.arange(0, 500, 5), np.nan, axis=0)

    plain.add(classifier.replay(MIXED))
    pierced.add(classifier.replay(holes))

    assert [raised.row - 100 for raised in pierced.raised] == [raised.row for raised in plain.raised]


def test_a_model_without_a_reference_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "toy", linear(np.eye(4, dtype=np.float32)))
    np.savez(tmp_path / "calm.npz", logits=CALM)

    ended = run(tmp_path / "toy", tmp_path / "calm.npz", "--drift", code=2)

    assert "has no reference to compare with. Run softgate calibrate." in " ".join(ended.stderr.split())
    assert ended.stdout == ""


def test_json_without_drift_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "calm.npz", logits=CALM)

    ended = run(model(tmp_path / "toy"), tmp_path / "calm.npz", "--json", code=2)

    assert "Expected --json together with --drift" in ended.stderr
    assert ended.stdout == ""


def test_of_many_alarms_the_first_are_told() -> None:
    raised = [Raised("confidence_falling", row, 1) for row in range(1, 1001)]

    told = alarm_rows("confidence_falling", raised)

    assert told.startswith("1,000 alarms, at rows 1, 2, 3")
    assert told.endswith(f", {MOST_ALARMS} and {1000 - MOST_ALARMS} more")
    assert alarm_rows("confidence_falling", raised[:1]) == "1 alarm, at row 1"
    assert alarm_rows("confidence_rising", raised) == "no alarm"
