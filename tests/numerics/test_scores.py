from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from sklearn.metrics import brier_score_loss, log_loss

from softgate.numerics.activations import softmax
from softgate.numerics.scores import brier_score, negative_log_likelihood

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
