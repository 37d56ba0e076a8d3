"""
Intervals: how far a fitted temperature may be off, because other rows might have come.

Convention, for every function here:

    a criterion is what a fit minimises, kept apart row by row, as a function of beta = 1 / T
    an interval is (low, high), temperatures within TEMPERATURE_RANGE, of a stated certainty

The bootstrap asks what other rows would have given; the sandwich what the curvature of
the criterion and the scatter of its rows say. Both allow for a model that is wrong.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from softgate.numerics.activations import Activation, Logits
from softgate.numerics.likelihood import most_likely_noise, pair_losses, row_blocks, target_likelihood
from softgate.numerics.targets import Targets
from softgate.numerics.temperature import TEMPERATURE_RANGE

Column = NDArray[np.float64]
Interval = tuple[float, float]

# Of ln beta. Wide enough to even out the kinks of activations that give exact zeros.
_STEP = 0.1
# Half a standard error apart, five to either side: no draw of thousands falls outside.
_GRID = np.linspace(-5.0, 5.0, 21)


@dataclass(frozen=True, slots=True)
class Criterion:
    """What a fit minimises; arrays of shape (n_rows,)."""

    column: Callable[[float], Column]
    """What is needed of each row at a beta."""
    losses: Callable[[Column, Column | None], Column]
    """The loss of each row of such a column, given the rows' weights, where a nuisance is fitted along."""


def likelihood_criterion(logits: Logits, targets: Targets) -> Criterion:
    """That of `fit_temperature`."""
    return Criterion(lambda beta: -target_likelihood(logits, targets, beta).log_p, lambda column, _: column)


def robust_criterion(logits: Logits, targets: Targets) -> Criterion:
    """That of `fit_robust_temperature`, its share of wrong labels fitted along."""
    uniform = 1.0 / logits.shape[1]

    def losses(log_p: Column, weights: Column | None) -> Column:
        p = np.exp(log_p)
        noise = most_likely_noise(p, uniform, weights)
        return -log_p if noise == 0.0 else -np.log(p + noise * (uniform - p))

    return Criterion(lambda beta: target_likelihood(logits, targets, beta).log_p, losses)


def brier_criterion(logits: Logits, targets: Targets, *, activation: Activation) -> Criterion:
    """That of `fit_temperature_by_brier`."""

    def column(beta: float) -> Column:
        losses = np.empty(len(logits))
        for rows in row_blocks(logits):
            p = activation(beta * logits[rows].astype(np.float64))
            own = np.take_along_axis(p, targets[rows, None], axis=1)[:, 0]
            losses[rows] = np.vecdot(p, p) - 2.0 * own + 1.0
        return losses

    return Criterion(column, lambda column, _: column)


def sigmoid_criterion(logits: Logits, targets: NDArray[np.generic]) -> Criterion:
    """That of `fit_temperature_sigmoid`; a row's labels stay together."""
    return Criterion(
        lambda beta: pair_losses(logits, targets, np.full(logits.shape[1], beta)), lambda column, _: column
    )


def sandwich_interval(criterion: Criterion, temperature: float, *, certainty: float = 0.95) -> Interval:
    """
    Interval of a temperature from the curvature of its criterion and the scatter of its rows.

    se = sqrt(mean s[i]^2 / n) / h, with s[i] the slope of row i's loss and h the mean curvature, by ln beta

    Parameters
    ----------
    criterion : Criterion
    temperature : float
        Its minimum.
    certainty : float
        In (0, 1).

    Returns
    -------
    (low, high)
        T * exp(-+ z * se), with z the normal quantile; the whole range where the criterion is flat.

    References
    ----------
    Huber (1967), "The behavior of maximum likelihood estimates under nonstandard conditions". A nuisance that is
    fitted along is allowed for: its slope is part of the slope along the valley.
    """
    return around(temperature, _standard_error(criterion, temperature), certainty=certainty)


def around(temperature: float, error: float, *, certainty: float = 0.95) -> Interval:
    """
    Interval of a temperature of known standard error.

    low, high = T * exp(-+ z * se)

    Parameters
    ----------
    temperature : float
    error : float
        Of ln T, at least 0; infinite where nothing is known.
    certainty : float
        In (0, 1).

    Returns
    -------
    (low, high)
    """
    half = error * float(ndtri(0.5 + certainty / 2))
    with np.errstate(over="ignore"):
        return _within_range(temperature * np.exp(-half), temperature * np.exp(half))


def bootstrap_interval(
    criterion: Criterion, temperature: float, *, n_draws: int = 200, certainty: float = 0.95, seed: int = 0
) -> Interval:
    """
    Interval of a temperature from what resampled rows would have given.

    T[d] = argmin of the criterion over n rows drawn with replacement; low, high = its quantiles over the draws

    Parameters
    ----------
    criterion : Criterion
    temperature : float
        Its minimum; draws are looked for within five standard errors of it, by ln beta.
    n_draws, seed : int
        The same seed gives the same interval.
    certainty : float
        In (0, 1).

    Returns
    -------
    (low, high)

    References
    ----------
    Efron (1979), "Bootstrap methods: another look at the jackknife". Each minimum is that of a parabola through
    the three lowest points of a grid half a standard error wide: rows are evaluated once for all draws.
    """
    step = min(_standard_error(criterion, temperature), 1.0)
    beta = 1.0 / temperature
    columns = [criterion.column(beta * float(np.exp(step * offset))) for offset in _GRID]
    n_rows = len(columns[0])
    random = np.random.default_rng(seed)
    offsets = np.empty(n_draws)
    for draw in range(n_draws):
        weights = np.bincount(random.integers(0, n_rows, n_rows), minlength=n_rows).astype(np.float64)
        offsets[draw] = _lowest([float(weights @ criterion.losses(column, weights)) for column in columns])
    tail = (1.0 - certainty) / 2
    # Beta falls as T rises.
    low, high = np.quantile(temperature * np.exp(-step * offsets), (tail, 1.0 - tail))
    return _within_range(low, high)


def _standard_error(criterion: Criterion, temperature: float) -> float:
    """Of ln T; infinite where the criterion is flat or its minimum is elsewhere."""
    below, at, above = (
        criterion.losses(criterion.column(np.exp(step) / temperature), None) for step in (-_STEP, 0.0, _STEP)
    )
    slope = (above - below) / (2 * _STEP)
    curvature = float(np.mean(above - 2 * at + below)) / _STEP**2
    # Below this, rounding is all there is.
    if not curvature > 1e-8 * float(np.mean(np.abs(at))):
        return np.inf
    return float(np.sqrt(np.mean(slope * slope) / len(slope))) / curvature


def _lowest(totals: list[float]) -> float:
    """Where on the grid the total loss is least: the vertex of the parabola through its three lowest neighbours."""
    place = int(np.argmin(totals))
    if place in (0, len(totals) - 1):
        return float(_GRID[place])
    left, middle, right = totals[place - 1 : place + 2]
    bend = left - 2 * middle + right
    width = float(_GRID[1] - _GRID[0])
    return float(_GRID[place]) + (width * (left - right) / (2 * bend) if bend > 0 else 0.0)


def _within_range(low: float, high: float) -> Interval:
    bottom, top = TEMPERATURE_RANGE
    return float(np.clip(low, bottom, top)), float(np.clip(high, bottom, top))
