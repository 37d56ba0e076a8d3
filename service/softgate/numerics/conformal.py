"""
Prediction sets: the labels that contain the truth with a stated coverage.

Convention, for every function here:

    probabilities.shape == (n_rows, n_classes), each row summing to 1

Classes are ranked by falling probability, the lower index first among equals.
The score of a class is the mass that ranks before it, 0 for the first: a set
takes classes in that order until the mass already taken exceeds the quantile.
Nothing is drawn at random, so the same text always gets the same set. Coverage
is promised for rows like those the quantile was taken from: in scope, that is.
"""

import numpy as np
from numpy.typing import NDArray

from softgate.numerics.activations import Probabilities


def mass_before(probabilities: Probabilities) -> NDArray[np.float64]:
    """
    Mass that ranks before each class of a row: the score behind the sets.

    s[i, k] = sum of p[i, j] over the classes j that rank before k

    Parameters
    ----------
    probabilities : array of shape (n_rows, n_classes)
        Finite; each row is in [0, 1] and sums to 1.

    Returns
    -------
    array of shape (n_rows, n_classes), float64
        In [0, 1]; 0 for the class that ranks first.

    References
    ----------
    Romano, Sesia & Candes (2020), "Classification with valid and adaptive
    coverage", without their random share of the class itself.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    rows = np.arange(len(order))[:, None]
    before = np.zeros(order.shape)
    np.cumsum(probabilities[rows, order[:, :-1]], axis=1, out=before[:, 1:])
    # A sum that rounds above 1 would keep a class out of the set that holds every class.
    np.minimum(before, 1.0, out=before)
    scores = np.empty(order.shape)
    scores[rows, order] = before
    return scores


def prediction_sets(probabilities: Probabilities, quantile: float) -> NDArray[np.bool_]:
    """
    Which classes belong to the prediction set of each row.

    set[i] = { k : mass before k in row i <= quantile }

    Parameters
    ----------
    probabilities : array of shape (n_rows, n_classes)
        Finite; each row is in [0, 1] and sums to 1.
    quantile : float
        At least 0: the ceil((n + 1) * coverage)-th smallest of the n scores that
        the true classes of the calibration rows have under `mass_before`;
        1, every class, where n carries no such rank.

    Returns
    -------
    array of shape (n_rows, n_classes), bool
        At least one class per row: the one that ranks first is always in.

    Raises
    ------
    ValueError
        If the quantile is negative or NaN.

    References
    ----------
    Angelopoulos & Bates (2023), "Conformal prediction: a gentle introduction".
    """
    if not quantile >= 0:
        raise ValueError(f"Expected a quantile of at least 0; got {quantile}.")
    return mass_before(probabilities) <= quantile
