from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from sklearn.metrics import brier_score_loss, log_loss

from softgate.numerics.activations import softmax
from softgate.numerics.scores import brier_score, expected_calibration_error, negative_log_likelihood

RNG = np.random.default_rng(0)
PROBABILITIES = softmax(RNG.normal(scale=3, size=(500, 6)))
TARGETS = RNG.integers(0, 6, 500)


def test_known_values() -> None:
    probabilities, targets = np.array([[0.5, 0.5], [0.25, 0.75]]), np.array([0, 0])

    # -(ln 0.5 + ln 0.25) / 2 = 1.5 ln 2.
    assert negative_log_likelihood(probabilities, targets) == pytest.approx(1.5 * np.log(2))
    # (0.25 + 0.25 + 0.5625 + 0.5625) / 2.
    assert brier_score(probabilities, targets) == pytest.approx(0.8125)


def test_agree_with_scikit_learn() -> None:
    labels = np.arange(6)

    assert_allclose(
        negative_log_likelihood(PROBABILITIES, TARGETS), log_loss(TARGETS, PROBABILITIES, labels=labels), rtol=1e-12
    )
    assert_allclose(
        brier_score(PROBABILITIES, TARGETS),
        brier_score_loss(TARGETS, PROBABILITIES, labels=labels, scale_by_half=False),
        rtol=1e-12,
    )


def test_certain_and_right_is_perfect_certain_and_wrong_is_not() -> None:
    certain = np.array([[1.0, 0.0], [1.0, 0.0]])

    assert negative_log_likelihood(certain, np.array([0, 0])) == 0
    assert brier_score(certain, np.array([0, 0])) == 0
    assert negative_log_likelihood(certain, np.array([0, 1])) == np.inf
    assert brier_score(certain, np.array([1, 1])) == 2


@pytest.mark.parametrize("score", [negative_log_likelihood, brier_score])
@pytest.mark.parametrize(
    ("n_rows", "targets", "sentence"),
    [
        (0, np.empty(0, np.intp), r"Expected at least one row; got none\."),
        (3, np.array([0, 1]), r"Expected one target per row; got 3 rows and 2 targets\."),
        (1, np.array([[0]]), r"Expected targets of shape \(n_rows,\); got shape \(1, 1\)\."),
        (1, np.array([0.0]), r"Expected targets to be integers; got float64\."),
        (2, np.array([0, 2]), r"Expected targets from 0 to 1; got 0 to 2\."),
        (2, np.array([-1, 1]), r"Expected targets from 0 to 1; got -1 to 1\."),
    ],
)
def test_targets_that_do_not_fit_are_refused(
    score: Callable[[NDArray[Any], NDArray[Any]], float], n_rows: int, targets: NDArray[Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        score(np.full((n_rows, 2), 0.5), targets)


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.6, 0.7, 0.95, 0.95])
    correct = np.array([True, False, True, True])

    # Two bins: all four in (0.5, 1]; mean confidence 0.8, accuracy 0.75.
    assert expected_calibration_error(confidence, correct, n_bins=2) == pytest.approx(0.05)
    # Ten bins: gaps 1 - 0.6, 0.7 - 0 and twice 1 - 0.95, over four rows.
    assert expected_calibration_error(confidence, correct, n_bins=10) == pytest.approx((0.4 + 0.7 + 0.1) / 4)


def test_calibration_bins_are_open_below_and_closed_above() -> None:
    # 0 and 0.2 share the first of five bins: accuracy 0.5 less confidence 0.1.
    # Apart, the gaps 1 and 0.2 both count in full.
    together = expected_calibration_error(np.array([0.0, 0.2]), np.array([True, False]), n_bins=5)
    apart = expected_calibration_error(np.array([0.0, 0.2000001]), np.array([True, False]), n_bins=5)

    assert together == pytest.approx(0.5 - 0.1)
    assert apart == pytest.approx((1 + 0.2) / 2, abs=1e-6)


@pytest.mark.parametrize("n_bins", [1, 7, 15, 100])
def test_calibration_error_agrees_with_a_plain_loop(n_bins: int) -> None:
    confidence = PROBABILITIES.max(axis=1)
    correct = PROBABILITIES.argmax(axis=1) == TARGETS

    expected = 0.0
    for b in range(n_bins):
        inside = (confidence > b / n_bins) & (confidence <= (b + 1) / n_bins)
        if inside.any():
            expected += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())

    assert_allclose(expected_calibration_error(confidence, correct, n_bins=n_bins), expected, rtol=1e-12)


def test_calibration_error_of_the_perfect_is_0_and_of_the_certain_wrong_1() -> None:
    certain = np.ones(10)

    assert expected_calibration_error(certain, np.ones(10, bool)) == 0
    assert expected_calibration_error(certain, np.zeros(10, bool)) == 1


@pytest.mark.parametrize(
    ("confidence", "correct", "n_bins", "sentence"),
    [
        ([], [], 15, r"Expected at least one row; got none\."),
        ([0.5], [True, False], 15, r"Expected one confidence per outcome; got shapes \(1,\) and \(2,\)\."),
        ([0.5, 1.5], [True, False], 15, r"Expected confidence in \[0, 1\]; got 0.5 to 1.5\."),
        ([np.nan], [True], 15, r"Expected confidence in \[0, 1\]; got nan to nan\."),
        ([0.5], [True], 0, r"Expected n_bins of at least 1; got 0\."),
    ],
)
def test_calibration_error_refuses_what_has_none(
    confidence: list[float], correct: list[bool], n_bins: int, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        expected_calibration_error(np.array(confidence), np.array(correct, bool), n_bins=n_bins)
