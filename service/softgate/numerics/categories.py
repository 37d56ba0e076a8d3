"""
Categories whose share of a window is not that of the reference: labels that vanished, exploded or moved.

Convention, for every function here:

    reference.shape == window.shape == (n_categories,), counts of the same categories

Of m observations of the reference and n of the window, with one mix behind both, each occurrence of a category falls to
the window with chance n / (m + n): the noise of both sides is in it, however much longer than the reference the window
is.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

from softgate.numerics.histogram import Counts

Floats = NDArray[np.float64]

SURPRISE = 20.0
"""In nats: what chance would give once in e^20 windows."""
LEAST_TIMES = 5.0
CHANCE = 1e-6


def smoothed_shares(reference: Counts) -> Floats:
    """
    Share of each category.

    p[c] = (n[c] + 1 / 2) / (n + n_categories / 2): one that the reference lacks is rare, not impossible.

    Returns
    -------
    array of shape (n_categories,), above 0, summing to 1

    References
    ----------
    The mean of a Dirichlet posterior under Jeffreys' prior.
    """
    counts = reference + 0.5
    return np.asarray(counts / counts.sum())


def vanished(reference: Counts, window: Counts | Floats) -> NDArray[np.bool_]:
    """
    Categories that the window lacks, though the reference has too many of them for that to be chance.

    r * ln(1 + n / m) >= 20, with r of the m observations of the reference in the category

    Returns
    -------
    array of shape (n_categories,)
        A false one has a chance of at most e^-20 per category and window.

    References
    ----------
    Fisher (1935), the exact test, in the binomial limit: all r fall to the reference with chance (m / (m + n))^r. In a
    window much shorter than the reference that is where 20 or more are expected.
    """
    m, n = float(reference.sum()), float(window.sum())
    surprise = reference * (math.log1p(n / m) if m else 0.0)
    return np.asarray((window == 0) & (surprise >= SURPRISE))


def exploded(reference: Counts, window: Counts | Floats) -> NDArray[np.bool_]:
    """
    Categories with 5 times their share or more, which chance would give once in a million.

    w >= 5 n p, with p smoothed, and P(X >= w) < 1e-6, X = how many of the r + w of both fall to the window

    Returns
    -------
    array of shape (n_categories,)

    References
    ----------
    Fisher (1935), as above; the binomial tail P(X >= w) = I_q(w, r + 1), q = n / (m + n), is `scipy.special.betainc`.
    """
    m, n = float(reference.sum()), float(window.sum())
    if n == 0:
        return np.zeros(len(window), dtype=np.bool_)
    by_chance = betainc(np.maximum(window, 1.0), reference + 1.0, n / (m + n))
    many = (window >= 1) & (window >= LEAST_TIMES * smoothed_shares(reference) * n)
    return np.asarray(many & (by_chance < CHANCE))


def z_of_shares(reference: Counts, window: Counts | Floats) -> Floats:
    """
    How many standard errors each category's share has moved.

    z = (q - p) / sqrt(r (1 - r) (1 / m + 1 / n)), with r the share of both together

    Returns
    -------
    array of shape (n_categories,)
        0 where the category occurs in neither, and where there are no observations at all.

    References
    ----------
    The two-sample test of proportions, pooled.
    """
    m, n = float(reference.sum()), float(window.sum())
    if m == 0 or n == 0:
        return np.zeros(len(window))
    pooled = (reference + window) / (m + n)
    error = np.sqrt(pooled * (1 - pooled) * (1 / m + 1 / n))
    difference = window / n - reference / m
    return np.divide(difference, error, out=np.zeros(len(window)), where=error > 0)


def pooled_rare(reference: Counts, window: Counts, *, least: float = 5.0) -> tuple[Counts, Counts]:
    """
    Categories too rare for a chi-squared test, taken together as one.

    Parameters
    ----------
    least : float
        Observations that a category should have in the smaller sample, if both have one mix.

    Returns
    -------
    (reference, window), each of shape (n_kept + 1,): the last holds the rare ones, and is left out where there are none

    References
    ----------
    Cochran (1954), "Some methods for strengthening the common chi-squared tests", on least expected counts.
    """
    both = reference + window
    total = both.sum()
    smaller = min(reference.sum(), window.sum())
    rare = both * (smaller / total if total else 0.0) < least
    if not rare.any():
        return reference, window
    together = [np.append(counts[~rare], counts[rare].sum()) for counts in (reference, window)]
    return together[0], together[1]
