"""
Scores of probabilities against the truth: lower is better.

Convention, for every function here:

    probabilities.shape == (n_rows, n_classes)
    targets.shape == (n_rows,), the index of the true class
    the score is one float, a mean over the rows; there must be at least one
"""

import numpy as np
from numpy.typing import NDArray

from softgate.numerics.activations import Probabilities
from softgate.numerics.targets import Targets, check_targets


def negative_log_likelihood(probabilities: Probabilities, targets: Targets) -> float:
    """
    Mean negative log-likelihood (log loss) of the true classes.

    NLL = -mean_i ln p[i, y_i]

    Parameters
    ----------
    probabilities : array of shape (n_rows, n_classes)
        Values in [0, 1].
    targets : integers of shape (n_rows,)
        In [0, n_classes).

    Returns
    -------
    float
        In nats, >= 0; infinite where a true class has probability 0.

    Raises
    ------
    ValueError
        If there are no rows, not one target per row, or a target is no class.

    References
    ----------
    Same value as `sklearn.metrics.log_loss(targets, probabilities)`, which
    clips the infinite away.
    """
    # Taken from 0, not negated: a perfect score is 0.0, never -0.0.
    with np.errstate(divide="ignore"):
        return float(0.0 - np.mean(np.log(_of_targets(probabilities, targets))))


def brier_score(probabilities: Probabilities, targets: Targets) -> float:
    """
    Multi-class Brier score: mean squared distance from the true one-hot row.

    B = mean_i sum_k (p[i, k] - [k = y_i])^2

    Parameters
    ----------
    probabilities : array of shape (n_rows, n_classes)
        Values in [0, 1].
    targets : integers of shape (n_rows,)
        In [0, n_classes).

    Returns
    -------
    float
        In [0, 2] where rows sum to 1: 0 for certain and right, 2 for certain and wrong.

    Raises
    ------
    ValueError
        If there are no rows, not one target per row, or a target is no class.

    References
    ----------
    Brier (1950), "Verification of forecasts expressed in terms of probability".
    """
    p_target = _of_targets(probabilities, targets)
    # (p - 1)^2 in place of p^2 for the true class, without a one-hot copy of the batch.
    squares = np.vecdot(probabilities, probabilities) + (1.0 - 2.0 * p_target)
    # Certain and right, rounding can leave the row a hair below 0.
    return float(np.mean(np.maximum(squares, 0.0)))


def _of_targets(probabilities: Probabilities, targets: Targets) -> NDArray[np.float64]:
    n_rows, n_classes = probabilities.shape
    check_targets(targets, n_rows=n_rows, n_classes=n_classes)
    return probabilities[np.arange(n_rows), targets]
