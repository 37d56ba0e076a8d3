"""
Drift: how far a window of live counts lies from the reference, and how far chance alone would take it.

Convention, for every function here:

    reference.shape == window.shape == (n_bins,), counts over the same bins, m and n observations in all, both >= 1
    upper_edges.shape == (n_bins - 1,), ascending; what lies above the last of them is taken to lie on it
    all in DRIFT_STATISTICS take the three of them, whether they look at the edges or not

Each number comes with what chance alone makes of it at these sample sizes. Whether it is alarming is
policy. ValueError is raised for counts that break the convention.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, kolmogorov

from softgate.numerics.histogram import Counts, Edges, check_pair

Shares = NDArray[np.float64]

# Mean of the Kolmogorov distribution: sqrt(pi / 2) * ln 2.
_KOLMOGOROV_MEAN = float(np.sqrt(np.pi / 2) * np.log(2))


class Distance(NamedTuple):
    value: float
    floor: float
    """Its mean if nothing had changed, at these sample sizes."""
    p_value: float | None
    """Chance of as much or more if nothing had changed; None where no such chance is known."""


def population_stability_index(reference: Counts, window: Counts, upper_edges: Edges) -> Distance:
    """
    Population stability index (PSI): the symmetrised Kullback-Leibler divergence.

    PSI = sum_b (q_b - p_b) * ln(q_b / p_b);  floor = (n_bins - 1) * (1 / m + 1 / n)

    Parameters
    ----------
    reference, window : counts of shape (n_bins,)
        One half is added to every bin of both, so that an empty bin gives a large number, not infinity.

    Returns
    -------
    Distance
        In nats, >= 0. The p-value is that of PSI / (1 / m + 1 / n) under chi-squared with n_bins - 1 degrees
        of freedom: calibrated at any sample size, unlike a fixed limit.

    References
    ----------
    Yurdakul & Naranjo (2020), "Statistical properties of the population stability index".
    """
    p, q = _smoothed(reference, window)
    value = float(np.sum((q - p) * np.log(q / p)))
    noise, freedom = _noise(reference, window), len(reference) - 1
    return Distance(value, freedom * noise, float(chdtrc(freedom, value / noise)) if freedom else 1.0)


def jensen_shannon_divergence(reference: Counts, window: Counts, upper_edges: Edges) -> Distance:
    """
    Jensen-Shannon divergence: mean divergence of each histogram from their mixture.

    JS = (sum_b p_b ln(p_b / r_b) + q_b ln(q_b / r_b)) / 2, r = (p + q) / 2;  floor = (n_bins - 1) / 8 * (1 / m + 1 / n)

    Parameters
    ----------
    reference, window : counts of shape (n_bins,)
        Smoothed as in PSI.

    Returns
    -------
    Distance
        In nats, from 0 to ln 2. Without a p-value: near 0 it is an eighth of PSI, and says the same.

    References
    ----------
    Lin (1991), "Divergence measures based on the Shannon entropy". The square of
    `scipy.spatial.distance.jensenshannon(p, q)`.
    """
    p, q = _smoothed(reference, window)
    middle = (p + q) / 2
    value = float(np.sum(p * np.log(p / middle) + q * np.log(q / middle)) / 2)
    return Distance(value, (len(reference) - 1) / 8 * _noise(reference, window), None)


def kolmogorov_smirnov(reference: Counts, window: Counts, upper_edges: Edges) -> Distance:
    """
    Largest gap between the two cumulative distributions, at the bins' edges.

    D = max_b |F_b - G_b|

    Parameters
    ----------
    reference, window : counts of shape (n_bins,)

    Returns
    -------
    Distance
        In [0, 1]. The p-value is the asymptotic one; what happens inside a bin is not seen, so it is conservative.

    References
    ----------
    Smirnov (1948), "Table for estimating the goodness of fit of empirical distributions".
    """
    f, g = _cumulative(reference, window)
    value, noise = float(np.max(np.abs(f - g), initial=0.0)), float(np.sqrt(_noise(reference, window)))
    return Distance(value, _KOLMOGOROV_MEAN * noise, float(kolmogorov(value / noise)))


def wasserstein(reference: Counts, window: Counts, upper_edges: Edges) -> Distance:
    """
    Mass times the distance it must travel, each bin's mass at its upper edge.

    W = sum_b |F_b - G_b| * w_b;  floor = sqrt(2 / pi * (1 / m + 1 / n)) * sum_b sqrt(F_b (1 - F_b)) * w_b,
    with w_b from one edge to the next

    Parameters
    ----------
    reference, window : counts of shape (n_bins,)
    upper_edges : array of shape (n_bins - 1,)

    Returns
    -------
    Distance
        In the unit of the axis. Without a p-value.

    References
    ----------
    Vallender (1974), "Calculation of the Wasserstein distance between probability distributions on the line". The same
    as `scipy.stats.wasserstein_distance` of the edges with the counts as weights.
    """
    widths = np.diff(upper_edges)
    f, g = (shares[: len(widths)] for shares in _cumulative(reference, window))
    spread = np.sqrt(f * (1.0 - f)) @ widths
    floor = float(np.sqrt(2 / np.pi * _noise(reference, window)) * spread)
    return Distance(float(np.abs(f - g) @ widths), floor, None)


def chi_squared(reference: Counts, window: Counts) -> Distance:
    """
    Whether two rows of counts may come from one mix of categories.

    X2 = sum over both rows and all categories of (observed - expected)^2 / expected

    Parameters
    ----------
    reference, window : counts of shape (n_categories,)
        Categories that occur in neither have no part.

    Returns
    -------
    Distance
        >= 0; the floor is its degrees of freedom, the categories that occur less one.

    References
    ----------
    Pearson (1900). The same as `scipy.stats.chi2_contingency([reference, window], correction=False)`.
    """
    check_pair(reference, window)
    seen = (reference + window) > 0
    rows = np.stack([reference[seen], window[seen]]).astype(np.float64)
    expected = rows.sum(axis=1, keepdims=True) * rows.sum(axis=0) / rows.sum()
    value, freedom = float(np.sum((rows - expected) ** 2 / expected)), int(seen.sum()) - 1
    return Distance(value, float(freedom), float(chdtrc(freedom, value)) if freedom else 1.0)


def _noise(reference: Counts, window: Counts) -> float:
    return float(1 / reference.sum() + 1 / window.sum())


def _smoothed(reference: Counts, window: Counts) -> tuple[Shares, Shares]:
    check_pair(reference, window)
    p, q = reference + 0.5, window + 0.5
    return p / p.sum(), q / q.sum()


def _cumulative(reference: Counts, window: Counts) -> tuple[Shares, Shares]:
    """At the upper edge of each bin but the last, where both are 1."""
    check_pair(reference, window)
    return np.cumsum(reference)[:-1] / reference.sum(), np.cumsum(window)[:-1] / window.sum()


DriftStatistic = Callable[[Counts, Counts, Edges], Distance]

DRIFT_STATISTICS: Mapping[str, DriftStatistic] = {
    "psi": population_stability_index,
    "js": jensen_shannon_divergence,
    "ks": kolmogorov_smirnov,
    "wasserstein": wasserstein,
}
