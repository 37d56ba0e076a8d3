"""
Selection: which classes of a row to show, and which one to draw.

Convention, for every function here:

    probabilities.shape == (n_rows, n_classes), finite
    ranked_probabilities.shape == (n_rows, n_ranked), each row in falling order,
        as `np.take_along_axis(probabilities, top_k(probabilities, k), axis=1)` gives it
    the result is of dtype intp

The order is always temperature, then `top_k`, then `top_p`. A temperature changes
the mass in front of a cut, so another order would cut elsewhere. Nothing is
renormalised for display: a shown probability stays what it was. Only `sample`
draws from the renormalised cut.
"""

import numpy as np
from numpy.typing import NDArray

from softgate.numerics.activations import Probabilities

Indices = NDArray[np.intp]

# Below, sorting the whole row costs less than finding its best few first.
_SORT_WHOLE_ROW_UP_TO = 1024
# So many maxima cost less than sorting more classes than those.
_PICK_UP_TO = 16


def top_k(probabilities: Probabilities, k: int) -> Indices:
    """
    Indices of the k most probable classes, most probable first.

    Parameters
    ----------
    probabilities : array of shape (n_rows, n_classes)
        Finite values. Among equal ones the lower index ranks first, at the
        edge of the cut as well.
    k : int
        At least 1; more than n_classes means all.

    Returns
    -------
    array of shape (n_rows, min(k, n_classes)), intp
        Column indices.

    Raises
    ------
    ValueError
        If k is below 1.

    References
    ----------
    Same values as `np.argsort(-probabilities, axis=1, kind="stable")[:, :k]`.
    """
    if k < 1:
        raise ValueError(f"Expected k of at least 1; got {k}.")
    n_classes = probabilities.shape[1]
    if n_classes <= _SORT_WHOLE_ROW_UP_TO:
        ranked: Indices = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
        return ranked
    return _largest(probabilities, k) if k <= _PICK_UP_TO else _ranking(probabilities)[:, :k]


def _largest(probabilities: Probabilities, k: int) -> Indices:
    """One maximum after the other, which finds the lower index first among equals."""
    left, rows = probabilities.copy(), np.arange(len(probabilities))
    found = np.empty((len(left), k), dtype=np.intp)
    for rank in range(k):
        np.argmax(left, axis=1, out=found[:, rank])
        left[rows, found[:, rank]] = -np.inf
    return found


def _ranking(probabilities: Probabilities) -> Indices:
    """
    All classes by one sort of integers, which numpy does several times as fast as a stable one of floats.

    The bits of floats that are not negative are in the order of the floats. The lowest of them make room for the class,
    so that among equals the lower index ranks first; rows in which they were needed are ranked the slow way.
    """
    n_classes = probabilities.shape[1]
    room = (1 << n_classes.bit_length()) - 1
    # Adding 0 makes a copy, and 0 of a negative 0. Logits may be of a smaller type than probabilities.
    bits = np.add(probabilities, 0.0, order="C", dtype=np.float64).view(np.int64)
    keys = (bits & ~room) | (room - np.arange(n_classes))
    keys.sort(axis=1)
    order: Indices = room - (keys[:, ::-1] & room)
    ranked = np.take_along_axis(probabilities, order, axis=1)
    wrong = (ranked[:, 1:] > ranked[:, :-1]).any(axis=1) | (bits < 0).any(axis=1)
    if wrong.any():
        order[wrong] = np.argsort(-probabilities[wrong], axis=1, kind="stable")
    return order


def top_p(ranked_probabilities: Probabilities, p: float) -> Indices:
    """
    How many leading entries of a ranked row to keep so that their mass reaches p.

    n[i] = min { m >= 1 : sum_{r <= m} p[i, (r)] >= p }

    Parameters
    ----------
    ranked_probabilities : array of shape (n_rows, n_ranked)
        Values in [0, 1], each row in falling order.
    p : float
        In [0, 1]. A mass within n_ranked times the rounding unit of p counts as
        reached, so that 0.7 + 0.2 is 0.9. With p = 1 every entry that has mass
        is kept, however small.

    Returns
    -------
    array of shape (n_rows,), intp
        At least 1. Where the mass never reaches p, every entry that has any.

    Raises
    ------
    ValueError
        If p is outside [0, 1].

    References
    ----------
    Holtzman et al. (2020), "The curious case of neural text degeneration".
    """
    if not 0 <= p <= 1:
        raise ValueError(f"Expected p between 0 and 1; got {p}.")
    n_ranked = ranked_probabilities.shape[1]
    # Up to that many additions round; and 1 - tolerance would drop a tail of 1e-20, so 1 is never "reached".
    goal = p - n_ranked * np.finfo(np.float64).eps if p < 1 else np.inf
    short = np.count_nonzero(np.cumsum(ranked_probabilities, axis=1) < goal, axis=1)
    with_mass = np.count_nonzero(ranked_probabilities, axis=1)
    keep: Indices = np.maximum(np.minimum(short + 1, with_mass), 1)
    return keep


def sample(ranked_probabilities: Probabilities, keep: Indices, *, seed: int) -> Indices:
    """
    One position per row, drawn from the first keep[i] entries, renormalised.

    P(r) = p[i, (r)] / sum_{s <= keep[i]} p[i, (s)]

    Parameters
    ----------
    ranked_probabilities : array of shape (n_rows, n_ranked)
        Values in [0, 1], each row in falling order and its first entry above 0.
    keep : array of shape (n_rows,)
        How many leading entries take part, 1 to n_ranked, as `top_p` gives it.
    seed : int
        Not negative. The same seed and the same rows give the same draw.

    Returns
    -------
    array of shape (n_rows,), intp
        Position in the ranking, 0 to keep[i] - 1; not an index of a class.

    Raises
    ------
    ValueError
        If there is not one `keep` per row, or one is not 1 to n_ranked.

    References
    ----------
    Devroye (1986), "Non-uniform random variate generation", III.2 (inversion).
    """
    n_rows, n_ranked = ranked_probabilities.shape
    if keep.shape != (n_rows,):
        raise ValueError(f"Expected one keep per row; got shape {keep.shape} for {n_rows} rows.")
    if n_rows == 0:
        return np.empty(0, np.intp)
    if keep.min() < 1 or keep.max() > n_ranked:
        raise ValueError(f"Expected keep between 1 and {n_ranked}; got {keep.min()} to {keep.max()}.")
    mass = np.cumsum(ranked_probabilities, axis=1)
    total = np.take_along_axis(mass, keep[:, None] - 1, axis=1)
    drawn = np.random.default_rng(seed).random((n_rows, 1)) * total
    # The product may round up to the total itself: the last kept entry is meant then.
    position: Indices = np.minimum(np.count_nonzero(mass <= drawn, axis=1), keep - 1)
    return position
