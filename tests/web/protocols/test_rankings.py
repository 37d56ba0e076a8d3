"""Labels in order, as the dialects show them that have no more to say."""

import asyncio
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from scipy.special import softmax

from app_parts import parts_of
from graphs import linear, load_classifier, logarithm, write_calibration, write_model
from softgate.policy.batch import Part
from softgate.policy.classifier import Classifier
from softgate.policy.monitor.axes import MEASURES
from softgate.policy.one_row import N_LEADING
from softgate.policy.scoring import MOST_RANKED
from softgate.types import Action, View
from softgate.web.protocols.hugging_face import labelled
from softgate.web.protocols.native import Native
from softgate.web.protocols.predictions import logit_rankings, prediction_objects, rankings
from softgate.web.protocols.protocol import Request

N_CLASSES = MOST_RANKED + 400
ROW = [0.0, 2.0, 0.0, 1.0]


@pytest.fixture
def wide(tmp_path: Path) -> Iterator[Classifier]:
    """Of more classes than are ranked unasked."""
    labels = [f"label{column}" for column in range(N_CLASSES)]
    write_model(tmp_path / "wide", linear(np.eye(4, N_CLASSES, dtype=np.float32)), name="wide", labels=labels)
    classifier = load_classifier(tmp_path / "wide")
    yield classifier
    classifier.close()


def part(classifier: Classifier, rows: list[Any]) -> Part:
    return Part.whole(classifier, classifier.predict_now(classifier.check(rows)))


def test_wide_models_name_their_labels(wide: Classifier) -> None:
    (whole,), (cut,) = (rankings(wide, part(wide, [ROW]), view) for view in (View(), View(top_k=2)))

    best = softmax(np.array(ROW + [0.0] * (N_CLASSES - 4))).max()
    assert [label for label, _ in cut] == ["label1", "label3"]
    assert cut[0][1] == pytest.approx(best)
    assert (len(whole), whole[:2]) == (N_CLASSES, cut)


def test_wide_models_show_their_logits(wide: Classifier) -> None:
    (cut,) = logit_rankings(wide, part(wide, [ROW]), View(top_k=2))

    assert cut == [("label1", 2.0), ("label3", 1.0)]


def test_wide_models_show_all_their_logits_in_order(wide: Classifier) -> None:
    (whole,) = logit_rankings(wide, part(wide, [[-1.0, 2.0, 0.0, 1.0]]))

    assert [label for label, _ in whole[:4]] == ["label1", "label3", "label2", "label4"]
    assert whole[-1] == ("label0", -1.0)


@pytest.mark.parametrize("ranked", [rankings, logit_rankings])
def test_many_rows_are_written_one_after_the_other(wide: Classifier, ranked: Any) -> None:
    """Else each byte of the answer would take ten while it is made."""
    rows = part(wide, [ROW] * 256)
    tracemalloc.start()
    written = [orjson.dumps(labelled(row)) for row in ranked(wide, rows)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 4 * sum(map(len, written))


def test_a_bias_may_order_logits_otherwise(tmp_path: Path) -> None:
    write_model(tmp_path / "toy", linear(np.eye(4, dtype=np.float32)))
    write_calibration(tmp_path / "toy", bias=[0.0, 0.0, 0.0, 5.0])
    classifier = load_classifier(tmp_path / "toy")
    (by_probability,), (by_logit,) = (
        ranked(classifier, part(classifier, [ROW])) for ranked in (rankings, logit_rankings)
    )
    classifier.close()

    assert [label for label, _ in by_probability] == ["joke", "balance", "transfer", "weather"]
    assert by_logit == [("balance", 2.0), ("joke", 1.0), ("transfer", 0.0), ("weather", 0.0)]


def test_a_row_without_finite_logits_has_none(tmp_path: Path) -> None:
    write_model(tmp_path / "toy", logarithm(4))
    classifier = load_classifier(tmp_path / "toy")
    rows = part(classifier, [[0.0, 1.0, 1.0, 1.0], [-1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0]])
    found = [[len(row) for row in ranked(classifier, rows)] for ranked in (rankings, logit_rankings)]
    classifier.close()

    assert found == [[0, 0, 4]] * 2


def served(classifier: Classifier, row: list[float], view: View | None, *, profile: str | None = None) -> Part:
    """A request's rows, as an encoder gets them."""
    found: list[Any] = []

    async def put() -> None:
        classifier.put(classifier.check([row]), found.append, profile=profile, counted=True, view=view)
        while not found:
            await asyncio.sleep(0)

    asyncio.run(put())
    (part,) = found
    assert isinstance(part, Part), part
    return part


def random_classifier(folder: Path, scale: float, *, n_classes: int = N_CLASSES) -> Classifier:
    weights = np.random.default_rng(0).normal(scale=scale, size=(4, n_classes)).astype(np.float32)
    labels = [f"label{column}" for column in range(n_classes)]
    routing = "[routing.profiles.bold]\nprecision = 0.5"
    write_model(folder, linear(weights), name="wide", labels=labels, routing=routing)
    write_calibration(folder, temperature=1.3, set_quantile=0.9, thresholds={"default": 0.7, "bold": 0.0})
    return load_classifier(folder)


@pytest.mark.parametrize("view", [None, View(), View(top_k=5)])
@pytest.mark.parametrize("n_classes", [5, N_CLASSES])
def test_a_row_alone_is_decided_by_its_profile(tmp_path: Path, n_classes: int, view: View | None) -> None:
    classifier = random_classifier(tmp_path / "wide", 12.0, n_classes=n_classes)
    told = [
        prediction_objects(classifier, served(classifier, ROW, view, profile=profile), view or View())[0]["decision"]
        for profile in (None, "bold")
    ]
    classifier.close()

    assert [decision["threshold"] for decision in told] == [0.7, 0.0]


def test_a_row_of_very_many_labels_takes_the_short_way_as_far_as_it_is_shown(tmp_path: Path) -> None:
    random_classifier(tmp_path / "wide", 12.0).close()
    catalogue = parts_of(tmp_path).catalogue
    catalogue.load(threads=1, clock=time.monotonic, max_rows=32)
    views: dict[str, dict[str, object]] = {
        "all": {},
        "some": {"top_k": 5},
        "warm": {"temperature": 2.0},
        "told": {"logits": True},
    }
    ways = {}
    for name, asked in views.items():
        body = orjson.dumps({"inputs": [ROW], **asked})
        call = Native(catalogue).read(Request("wide", None, content_type=b"", headers=[], body=body, started=0.0))
        batch = served(call.classifier, ROW, call.view).batch
        ways[name] = batch.is_read_out, batch.leading is not None
    catalogue.close()

    long = False, False
    assert ways == {"all": (True, False), "some": (False, True), "warm": long, "told": long}


@pytest.mark.parametrize("view", [None, View(), View(top_k=5), View(top_k=N_LEADING + 1), View(top_p=0.9)])
@pytest.mark.parametrize("scale", [0.1, 1.0, 12.0])
def test_a_row_of_very_many_labels_is_answered_and_counted_as_among_others(
    tmp_path: Path, scale: float, view: View | None
) -> None:
    alone, together = (random_classifier(tmp_path / place, scale) for place in ("alone", "together"))
    rows = np.random.default_rng(1).normal(size=(30, 4)).tolist()

    expected = part(together, rows)
    together.monitor.predictions(expected.predictions)
    wanted = {top_k: prediction_objects(together, expected, View(top_k=top_k)) for top_k in (1, 5, 32, 33, None)}
    for place, row in enumerate(rows):
        one = served(alone, row, view)
        for top_k, answers in wanted.items():
            (found,) = prediction_objects(alone, one, View(top_k=top_k))
            assert orjson.dumps(found) == orjson.dumps(answers[place])
    for field in ("decisions", "labels", "routes", *MEASURES):
        np.testing.assert_array_equal(alone.monitor.counts[field], together.monitor.counts[field])
    for field in ("sums", "squares"):
        np.testing.assert_allclose(alone.monitor.counts[field], together.monitor.counts[field], rtol=1e-9)
    for classifier in (alone, together):
        classifier.close()


def test_predictions_that_came_another_way_are_shown_as_they_were_decided(tmp_path: Path) -> None:
    classifier = random_classifier(tmp_path / "wide", 12.0)
    decided = classifier.predict_now(classifier.check([ROW]))
    other = replace(decided, decisions=replace(decided.decisions, action=np.array([Action.ABSTAIN], np.int8)))
    (found,) = prediction_objects(classifier, Part.whole(classifier, other), View(top_k=2))
    classifier.close()

    assert decided.decisions.action == [Action.ROUTE]
    assert found["decision"]["action"] == "abstain"
