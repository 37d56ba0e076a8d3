"""
The alarm: an e-detector, whose false alarms keep to a budget, however its quantity is distributed.

Convention, for every function here:

    x is a quantity in [0, 1] of each row; as long as nothing has changed its mean, given what went before, is at most
    `mean_bound`
    counts.shape == values.shape == (n_bins,): rows seen in this step by the value of x in their bin

The detector bets, with several stakes at once, that x has become larger. Its evidence grows only if
that is so: while the mean stays at or below `mean_bound`, at least `budget` rows pass on average
before it alarms, at any step size. No distribution is assumed. Of several detectors that run side by
side each takes the budget times their number, and that of all of them is kept.

ValueError is raised for arguments that break the convention.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtri

from softgate.numerics.histogram import Counts, Edges

Floats = NDArray[np.float64]

N_BETS = 8
# Stakes from those that find a change of a few per cent late to those that find a large one at once.
_SMALLEST, _LARGEST = 0.02, 0.9
# So that the mean of the evidence is finite however much there is.
_LARGEST_EVIDENCE = float(np.finfo(np.float64).max) / N_BETS


def stakes(mean_bound: float) -> Floats:
    """
    What is bet, as a share of the evidence per unit of x.

    l[k] = g[k] / m0, with g from 0.02 to 0.9, evenly spaced by ratio

    Parameters
    ----------
    mean_bound : float
        m0, in (0, 1].

    Returns
    -------
    array of shape (8,), rising
        1 + l * (x - m0) stays above 0 for every x in [0, 1].

    References
    ----------
    Shin, Ramdas & Rinaldo (2022), "E-detectors: a nonparametric framework for sequential change detection".
    """
    if not 0 < mean_bound <= 1:
        raise ValueError(f"Expected a mean bound above 0 and at most 1; got {mean_bound}.")
    return np.geomspace(_SMALLEST, _LARGEST, N_BETS) / mean_bound


def start() -> Floats:
    """The evidence of a detector that has seen nothing, shape (8,)."""
    return np.zeros(N_BETS)


def step(evidence: Floats, counts: Counts, values: Floats, *, mean_bound: float) -> Floats:
    """
    The evidence after more rows.

    M[k] <- (M[k] + n) * prod_b (1 + l[k] * (x[b] - m0))^c[b]

    Parameters
    ----------
    evidence : array of shape (8,)
    counts : integers of shape (n_bins,), n in all
    values : array of shape (n_bins,)
        In [0, 1]: for each bin the largest x that it holds, so that binning never hides a change.
    mean_bound : float
        m0, in (0, 1].

    Returns
    -------
    array of shape (8,)
        Every row of the step starts a bet of its own before the first is settled, so the run length counts in rows.

    References
    ----------
    Shin, Ramdas & Rinaldo (2022), as above: the e-SR detector, in steps.
    """
    n = int(counts.sum())
    if n == 0:
        return evidence
    with np.errstate(over="ignore"):
        growth = np.log1p(np.outer(stakes(mean_bound), values - mean_bound)) @ counts
        return np.minimum((evidence + n) * np.exp(growth), _LARGEST_EVIDENCE)


def is_alarm(evidence: Floats, *, budget: float) -> bool:
    """
    Whether the evidence has reached the budget.

    mean_k M[k] >= A

    Parameters
    ----------
    evidence : array of shape (8,)
    budget : float
        A, in rows: at most one false alarm in so many, on average.

    Returns
    -------
    bool
    """
    return bool(evidence.mean() >= budget)


class Walk(NamedTuple):
    evidence: Floats
    """Shape (8,), after the last row."""
    alarms: Sequence[int]
    """Rows, from 0, at which the evidence reached the budget; after each the detector starts again."""


def walk(evidence: Floats, bins: NDArray[np.integer], values: Floats, *, mean_bound: float, budget: float) -> Walk:
    """
    The same row by row: what an alarm that looks after every row would have done.

    M[k] <- (M[k] + 1) * (1 + l[k] * (x[bins[i]] - m0)) for each row i

    Parameters
    ----------
    evidence : array of shape (8,)
    bins : integers of shape (n_rows,)
        The bin that each row lies in.
    values : array of shape (n_bins,)
        As for `step`.
    mean_bound, budget : float
        As for `step` and `is_alarm`.

    Returns
    -------
    Walk

    References
    ----------
    Shin, Ramdas & Rinaldo (2022), as above.
    """
    factors = 1.0 + np.outer(values - mean_bound, stakes(mean_bound))
    alarms = []
    for row, row_factors in enumerate(factors[bins]):
        evidence = (evidence + 1.0) * row_factors
        if is_alarm(evidence, budget=budget):
            alarms.append(row)
            evidence = start()
    return Walk(evidence, alarms)


def falling(upper_edges: Edges) -> Floats:
    """
    The x of each bin of confidence, for a detector of confidence that falls.

    x[b] = 1 - the lower edge of bin b

    Parameters
    ----------
    upper_edges : array of shape (n_edges,)
        Of confidence, in (0, 1], the last 1.

    Returns
    -------
    array of shape (n_edges + 1,), in [0, 1]
        Above the last edge lies nothing but a 1 that was rounded up: x is 0 there.
    """
    return 1.0 - np.concatenate([[0.0], upper_edges])


def rising(upper_edges: Edges) -> Floats:
    """
    The x of each bin of confidence, for a detector of confidence that rises.

    x[b] = the upper edge of bin b; of the last, which has none, that before it: 1

    Parameters
    ----------
    upper_edges : array of shape (n_edges,)
        Of confidence, in (0, 1], the last 1.

    Returns
    -------
    array of shape (n_edges + 1,), in [0, 1]
    """
    return np.concatenate([upper_edges, upper_edges[-1:]])


def mean_upper_bound(counts: Counts, values: Floats, *, certainty: float = 0.95) -> float:
    """
    Upper bound of the mean of x, from the reference's counts: what must not be exceeded for an alarm to be false.

    m0 = mean + max(z * s / sqrt(m) + (2 z^2 + 1) / 6 * g * s / m, (1 - mean) * (1 - (1 - certainty)^(1 / m))),
    with g the skewness where it is positive, else 0

    Parameters
    ----------
    counts : integers of shape (n_bins,), at least one observation, m in all
    values : array of shape (n_bins,), in [0, 1]
        The same as in `step`.
    certainty : float
        In (0, 1).

    Returns
    -------
    float, in (0, 1]

    References
    ----------
    Johnson (1978), "Modified t tests and confidence intervals for asymmetrical populations": the normal bound, and what
    a long tail adds to it. The other term is the largest share of rows at 1 of which m rows may well have shown none:
    it counts where the reference has hardly any spread. With the plain mean in place of a bound, a third to a half
    of all detectors alarm before their time.
    """
    m = int(counts.sum())
    if m == 0:
        raise ValueError("Expected at least one observation in the reference; got none.")
    share = counts / m
    mean = float(share @ values)
    variance, third = (float(share @ (values - mean) ** order) for order in (2, 3))
    z, margin = float(ndtri(certainty)), 0.0
    if variance > 0:
        margin = z * math.sqrt(variance / m) + (2 * z * z + 1) / 6 * max(0.0, third) / variance / m
    unseen = 1.0 - math.pow(1.0 - certainty, 1.0 / m)
    return min(1.0, mean + max(margin, (1.0 - mean) * unseen))


def share_upper_bound(hits: int, rows: int, *, certainty: float = 0.95) -> float:
    """
    Upper bound of a share, exact: the `mean_upper_bound` of an x that is 0 or 1.

    m0 = the share at which as few hits, or fewer, have a chance of 1 - certainty

    Parameters
    ----------
    hits, rows : int
        0 <= hits <= rows, at least one row.
    certainty : float
        In (0, 1).

    Returns
    -------
    float, in (0, 1]

    References
    ----------
    Clopper & Pearson (1934), one-sided. Where a hit is an energy below a gate that is itself the (hits + 1)-th smallest
    of these rows, it is exact as well: the share below such a gate has that very beta distribution.
    """
    if rows < 1 or not 0 <= hits <= rows:
        raise ValueError(f"Expected 0 to all of at least one row to be hits; got {hits} of {rows}.")
    return 1.0 if hits == rows else float(betaincinv(hits + 1.0, rows - hits, certainty))
