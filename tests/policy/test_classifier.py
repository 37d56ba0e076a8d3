import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from graphs import LABELS, WORDS, linear, load_classifier, logarithm, picky, write_calibration, write_model
from graphs import write_text_model as write_words
from softgate.errors import EngineFailed, Overloaded, ShapeMismatch, SoftgateError, TooManyRows, UnknownProfile
from softgate.policy.classifier import Classifier
from softgate.types import Action, Predictions, Reason, View

# Ten columns of no special form: sums of their products round.
WEIGHTS = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)

texts = st.lists(st.sampled_from([*WORDS[2:], "unheard", "😀"]), max_size=6).map(" ".join)
numbers = st.lists(st.floats(-100, 100, width=32), min_size=10, max_size=10)


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Classifier]]:
    """Each with a calibration that has a gate and sets."""
    folder = tmp_path_factory.mktemp("models")
    write_words(folder / "words")
    write_model(folder / "linear", linear(WEIGHTS))
    write_model(folder / "logarithm", logarithm(4))
    write_model(folder / "picky", picky())
    parts = {"temperature": 1.5, "gate": 2.5, "set_quantile": 0.6}
    for path in folder.iterdir():
        write_calibration(path, **parts)
    loaded = {path.name: load_classifier(path) for path in folder.iterdir()}
    yield loaded
    for classifier in loaded.values():
        classifier.close()


async def gathered(classifier: Classifier, requests: Sequence[Sequence[Any]]) -> list[Predictions | BaseException]:
    """The answers to requests that arrive together: the first runs alone, the others share what follows."""
    coroutines = [classifier.predict(classifier.check(rows)) for rows in requests]
    return await asyncio.gather(*coroutines, return_exceptions=True)


def values(predictions: Predictions) -> dict[str, Any]:
    """All that was predicted, by name."""
    parts = (predictions.scores, predictions.decisions)
    return {f"{type(part).__name__}.{f.name}": getattr(part, f.name) for part in parts for f in fields(part)}


def assert_same(actual: Predictions | BaseException, expected: Predictions) -> None:
    assert isinstance(actual, Predictions)
    wanted = values(expected)
    for name, value in values(actual).items():
        # Bit for bit: no tolerance.
        assert_array_equal(value, wanted[name], err_msg=name)


def test_a_text_is_scored_and_decided(classifiers: dict[str, Classifier]) -> None:
    words = classifiers["words"]

    predictions = words.predict_now(words.check(["joke laugh", "xyz", "rain balance"]))

    assert_array_equal(predictions.scores.logits, [[0, 0, 0, 7], [0, 0, 0, 0], [1, 3, 3, 0]])
    assert [LABELS[label] for label in predictions.scores.label[[0, 2]]] == ["joke", "balance"]
    # A text of no known word has the energy 1.5 ln 4, below the gate.
    assert predictions.decisions.reason.tolist() == [Reason.CONFIDENT, Reason.OUT_OF_SCOPE, Reason.AMBIGUOUS]
    assert predictions.decisions.action.tolist() == [Action.ROUTE, Action.ABSTAIN, Action.CLARIFY]


def test_the_temperature_is_that_of_the_calibration(classifiers: dict[str, Classifier], tmp_path: Path) -> None:
    plain = load_classifier(write_words(tmp_path / "plain"))

    assert (classifiers["words"].temperature, plain.temperature) == (1.5, 1.0)
    assert plain.calibration_id is None
    assert len(classifiers["words"].calibration_id or "") == 12
    plain.close()


@settings(deadline=None, derandomize=True, max_examples=50)
@given(requests=st.lists(st.lists(texts, min_size=1, max_size=4), min_size=1, max_size=8))
def test_a_text_gets_the_same_answer_alone_as_in_a_batch(
    classifiers: dict[str, Classifier], requests: list[list[str]]
) -> None:
    words = classifiers["words"]

    together = asyncio.run(gathered(words, requests))

    for request, answer in zip(requests, together, strict=True):
        assert isinstance(answer, Predictions)
        for row, text in enumerate(request):
            assert_same(answer.part(row, row + 1), words.predict_now(words.check([text])))


@settings(deadline=None, derandomize=True, max_examples=50)
@given(requests=st.lists(st.lists(numbers, min_size=1, max_size=4), min_size=1, max_size=8))
def test_numbers_get_the_same_answer_alone_as_in_a_batch(
    classifiers: dict[str, Classifier], requests: list[list[list[float]]]
) -> None:
    model = classifiers["linear"]

    together = asyncio.run(gathered(model, requests))

    for request, answer in zip(requests, together, strict=True):
        assert isinstance(answer, Predictions)
        for row, features in enumerate(request):
            assert_same(answer.part(row, row + 1), model.predict_now(model.check([features])))


def test_a_logit_that_is_not_finite_fails_closed_and_its_companions_do_not(
    classifiers: dict[str, Classifier],
) -> None:
    model = classifiers["logarithm"]
    rows = [[1.0, 2.0, 3.0, 50.0], [0.0, 1.0, 1.0, 1.0], [-1.0, 1.0, 1.0, 1.0]]

    predictions = model.predict_now(model.check(rows))

    assert predictions.scores.finite.tolist() == [True, False, False]
    assert predictions.decisions.reason.tolist()[1:] == [Reason.NON_FINITE] * 2
    assert predictions.decisions.action.tolist()[1:] == [Action.FALLBACK] * 2
    assert_same(predictions.part(0, 1), model.predict_now(model.check(rows[:1])))


def test_a_row_that_breaks_the_graph_fails_alone(classifiers: dict[str, Classifier]) -> None:
    model = classifiers["picky"]
    requests = [[[0]], [[1]], [[9]], [[2], [3]], [[-7]]]

    answers = asyncio.run(gathered(model, requests))

    assert [type(answer) for answer in answers] == [Predictions, Predictions, EngineFailed, Predictions, EngineFailed]
    for number in (0, 1, 3):
        assert_same(answers[number], model.predict_now(model.check(requests[number])))


def test_a_request_that_breaks_the_graph_is_not_counted(tmp_path: Path) -> None:
    model = load_classifier(write_model(tmp_path / "picky", picky()))

    asyncio.run(gathered(model, [[[0]], [[1]], [[9]]]))

    assert model.monitor.counts["batch_rows_sum"][0] == 2
    assert model.monitor.counts["labels"].tolist() == [1, 1, 0, 0]
    assert model.monitor.counts["queue_rows"][0] == 0
    model.close()


def test_what_a_request_is_shown_changes_neither_decisions_nor_counts(tmp_path: Path) -> None:
    model = load_classifier(write_words(tmp_path / "words"))
    view = View(temperature=0.1, top_k=1, top_p=0.1, select="sample", seed=3)
    (predictions,) = asyncio.run(gathered(model, [["send rain", "joke"]]))
    assert isinstance(predictions, Predictions)
    counts = {name: array.copy() for name, array in model.monitor.counts.items()}

    model.show(predictions, view)

    assert_same(predictions, model.predict_now(model.check(["send rain", "joke"])))
    for name, array in model.monitor.counts.items():
        assert_array_equal(array, counts[name])
    model.close()


def test_every_class_of_a_prediction_is_shown_unless_asked_otherwise(classifiers: dict[str, Classifier]) -> None:
    words = classifiers["words"]

    shown = words.show(words.predict_now(words.check(["joke"])))

    assert (shown.order.shape, shown.keep.tolist()) == ((1, 4), [4])


def test_times_are_measured_by_the_clock_that_was_given(tmp_path: Path) -> None:
    ticks = iter(range(100))
    model = load_classifier(write_words(tmp_path / "words"), clock=lambda: float(next(ticks)))

    asyncio.run(gathered(model, [["joke"]]))

    # Asked when the request was queued, when it was taken, when its run started and when the graph was done.
    assert model.monitor.counts["queue_seconds_sum"][0] == 2
    assert model.monitor.counts["graph_seconds_sum"][0] == 1
    model.close()


def test_the_profile_decides_by_its_own_threshold(tmp_path: Path) -> None:
    folder = write_words(tmp_path / "words", routing="[routing.profiles.bold]\nprecision = 0.5")
    write_calibration(folder, thresholds={"default": 0.99, "bold": 0.1})
    model = load_classifier(folder)
    rows = model.check(["send"])

    async def both() -> tuple[Predictions, Predictions]:
        return await asyncio.gather(model.predict(rows), model.predict(rows, profile="bold"))

    plain, bold = asyncio.run(both())

    assert (plain.decisions.action[0], bold.decisions.action[0]) == (Action.FALLBACK, Action.ROUTE)
    assert_same(bold, model.predict_now(rows, profile="bold"))
    model.close()


def test_an_unknown_profile_is_refused_before_anything_runs(classifiers: dict[str, Classifier]) -> None:
    words = classifiers["words"]
    rows = words.check(["joke"])

    with pytest.raises(UnknownProfile, match=r"^Expected a profile of the card: default\.$"):
        asyncio.run(words.predict(rows, profile="bold"))
    with pytest.raises(UnknownProfile):
        words.predict_now(rows, profile="bold")


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([], ShapeMismatch, "Expected at least 1 row; got none."),
        (["joke"] * 3, TooManyRows, "Expected at most 2 rows per request; got 3."),
    ],
)
def test_no_rows_and_too_many_are_refused(
    rows: list[str], error: type[SoftgateError], message: str, tmp_path: Path
) -> None:
    model = load_classifier(write_words(tmp_path / "words"), max_rows=2)

    with pytest.raises(error) as caught:
        model.check(rows)

    assert str(caught.value) == message
    model.close()


def test_a_full_queue_refuses_and_the_others_are_answered(tmp_path: Path) -> None:
    routing = "threshold = 0.7\n[serving]\nmax_queue = 2"
    model = load_classifier(write_words(tmp_path / "words", routing=routing))

    answers = asyncio.run(gathered(model, [["joke"], ["rain"], ["sun"], ["send"], ["money"]]))

    assert [type(answer) for answer in answers] == [Predictions] * 3 + [Overloaded] * 2
    model.close()
