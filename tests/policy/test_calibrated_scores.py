"""Scores by a calibration of several parts: a bias, a temperature per label."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, logsumexp
from scipy.special import softmax as scipy_softmax

from graphs import linear, load_classifier, write_calibration, write_model
from softgate.numerics.activations import softmax
from softgate.policy.classifier import Classifier
from softgate.policy.decision import Routing, decide, decide_labels, routing
from softgate.policy.scoring import score
from softgate.runtime.calibration import Calibration
from softgate.runtime.card import Profile, RoutingCard
from softgate.types import Decisions, Floats, Scores, View

LOGITS = np.random.default_rng(1).normal(scale=3, size=(50, 4)).astype(np.float32)
BIAS = (0.5, -0.25, 2.0, 0.0)
TEMPERATURES = (0.5, 1.0, 2.0, 4.0)


def load(folder: Path, *, activation: str = "softmax", **parts: Any) -> Classifier:
    write_model(folder / "toy", linear(np.eye(4, dtype=np.float32)), activation=activation)
    write_calibration(folder / "toy", **parts)
    return load_classifier(folder / "toy")


def test_a_bias_is_added_to_the_divided_logits_and_moves_the_label(tmp_path: Path) -> None:
    model = load(tmp_path, temperature=2.0, bias=list(BIAS))

    predictions = model.predict_now(model.check(LOGITS.tolist()))

    expected = scipy_softmax(LOGITS / 2.0 + np.array(BIAS), axis=1)
    assert_allclose(predictions.scores.probabilities, expected, rtol=1e-12)
    assert_array_equal(predictions.scores.label, expected.argmax(axis=1))
    assert (predictions.scores.label != LOGITS.argmax(axis=1)).any()
    assert_array_equal(predictions.scores.logits, LOGITS)
    model.close()


def test_the_energy_is_that_of_the_raw_logits_whatever_the_bias(tmp_path: Path) -> None:
    model = load(tmp_path, temperature=2.0, bias=list(BIAS))

    energy = model.predict_now(model.check(LOGITS.tolist())).scores.energy

    assert energy is not None
    assert_allclose(energy, 2.0 * logsumexp(LOGITS.astype(np.float64) / 2.0, axis=1), rtol=1e-12)
    model.close()


def test_the_temperature_a_request_asks_for_leaves_the_bias(tmp_path: Path) -> None:
    model = load(tmp_path, temperature=2.0, bias=list(BIAS))
    predictions = model.predict_now(model.check(LOGITS.tolist()))

    shown = model.show(predictions, View(temperature=5.0))

    assert_array_equal(shown.scores.probabilities, softmax(LOGITS.astype(np.float64) / 5.0 + np.array(BIAS)))
    assert_array_equal(shown.scores.energy, predictions.scores.energy)
    model.close()


def test_every_label_of_a_sigmoid_has_its_own_temperature(tmp_path: Path) -> None:
    model = load(tmp_path, activation="sigmoid", temperature=list(TEMPERATURES))
    predictions = model.predict_now(model.check(LOGITS.tolist()))

    shown = model.show(predictions, View(temperature=5.0))

    assert_allclose(predictions.scores.probabilities, expit(LOGITS / np.array(TEMPERATURES)), rtol=1e-12)
    assert predictions.scores.energy is None
    assert_allclose(shown.scores.probabilities, expit(LOGITS.astype(np.float64) / 5.0), rtol=1e-12)
    model.close()


def test_a_logit_that_the_bias_drives_out_of_range_is_not_finite() -> None:
    logits = np.array([[1.6e308, 0.0], [1.0, 0.0]])

    scores = score(logits, activation="softmax", temperature=1.0, bias=np.array([1e308, 0.0]), with_energy=True)

    assert scores.finite.tolist() == [False, True]
    assert np.isfinite(scores.probabilities).all()


@given(
    logits=arrays(np.float64, (3, 4), elements=st.floats(-100, 100)),
    bias=arrays(np.float64, 4, elements=st.floats(-10, 10)),
    temperature=st.floats(0.05, 20),
)
def test_a_bias_is_a_shift_of_the_logits_by_t_times_as_much(logits: Floats, bias: Floats, temperature: float) -> None:
    biased = score(logits, activation="softmax", temperature=temperature, bias=bias, with_energy=False)

    assert_allclose(biased.probabilities, scipy_softmax(logits / temperature + bias, axis=1), rtol=1e-9, atol=1e-300)
    assert_array_equal(biased.logits, logits)


CARD = RoutingCard(
    fallback="human",
    abstain="bin",
    precision=0.95,
    risk=0.1,
    out_of_scope=0.05,
    coverage=0.95,
    clarify=3,
    threshold=None,
    thresholds={},
    priority=(),
    routes={},
    profiles={"bold": Profile(0.5, 0.1)},
)


def batch(n_classes: int, dtype: type[np.floating], order: str) -> tuple[np.ndarray[Any, Any], Floats]:
    """A thousand rows, some of them not finite, and numbers per class that round."""
    draw = np.random.default_rng(n_classes)
    logits = draw.normal(scale=4, size=(1000, n_classes)).astype(dtype)
    logits[17, 0], logits[400, -1] = np.nan, np.inf
    return np.asarray(logits, order="F" if order == "F" else "C"), draw.uniform(0.3, 0.9, n_classes)


def rules(n_classes: int, own: Floats, *, set_score: str, multi_label: bool) -> Routing:
    labels = [f"label{number}" for number in range(n_classes)]
    # Routes of one label and of many: a sum of more than eight is added in pairs.
    routes = {label: f"route{number % 3}" for number, label in enumerate(labels) if number % 2}
    calibration = Calibration(
        1.3,
        None,
        gate=2.0,
        set_quantile=tuple(own.tolist()),
        thresholds={"default": 0.6, "bold": 0.3},
        evidence={},
        digest="",
        set_score=set_score,
        route_thresholds={"bold": {labels[0]: 0.2}},
    )
    return routing(replace(CARD, routes=routes), calibration, labels, multi_label=multi_label)


def parts(found: tuple[Scores, Decisions], rows: Sequence[int]) -> list[bytes]:
    """Every number of these rows as the bytes that it is."""
    scores, decisions = found
    arrays_of = [
        getattr(scores, name) for name in ("probabilities", "label", "confidence", "margin", "entropy", "energy")
    ]
    arrays_of += [getattr(decisions, name) for name in ("action", "reason", "route", "confidence", "threshold", "sets")]
    arrays_of += [decisions.held, decisions.first]
    told = [array[rows].tobytes() for array in arrays_of if array is not None]
    return [*told, *(repr(decisions.candidates.get(row)).encode() for row in rows)]


@pytest.mark.parametrize("n_classes", [1, 2, 3, 7, 8, 9, 17, 77, 150, 257])
@pytest.mark.parametrize(("dtype", "order"), [(np.float32, "C"), (np.float64, "C"), (np.float32, "F")])
@pytest.mark.parametrize(("activation", "set_score"), [("softmax", "topp"), ("softmax", "lac"), ("sigmoid", "topp")])
def test_a_row_has_the_same_bits_alone_in_seven_and_in_a_thousand(
    activation: str, set_score: str, dtype: type[np.floating], order: str, n_classes: int
) -> None:
    logits, own = batch(n_classes, dtype, order)
    multi_label = activation == "sigmoid"
    by = rules(n_classes, own, set_score=set_score, multi_label=multi_label)

    def answered(some: Any) -> tuple[Scores, Decisions]:
        scores = score(
            some,
            activation=activation,
            temperature=own if multi_label else 1.3,
            bias=None if multi_label else own,
            with_energy=not multi_label,
        )
        profile = np.zeros(len(some), dtype=np.intp)
        return scores, (decide_labels if multi_label else decide)(scores, by, profile)

    whole = answered(logits)
    for start in (*range(0, 990, 41), 12, 396):
        seven = answered(logits[start : start + 7])
        for row in range(7):
            told = parts(answered(logits[start + row : start + row + 1]), [0])
            assert told == parts(seven, [row])
            assert told == parts(whole, [start + row])
