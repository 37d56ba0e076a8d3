"""
A richer map than one temperature: one that also shifts each class.

Convention, for every function here:

    logits.shape == (n_rows, n_classes), finite, cast to float64 before anything else
    targets: integers of shape (n_rows,), the truth of the same rows, on which the model was not trained

With a parameter per class it needs many rows per class, and may change which class
is the most probable. It is for models that a temperature cannot mend: some classes
are always taken for sure, others never.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from softgate.numerics.activations import Logits, softmax
from softgate.numerics.likelihood import row_blocks
from softgate.numerics.targets import Targets, check_exclusive
from softgate.numerics.temperature import TEMPERATURE_RANGE, fit_robust_temperature, fit_temperature

Floats = NDArray[np.float64]

# What a class is believed to be off by before its rows say otherwise. On three models of 150 classes with 20 rows
# each, half a nat gave the best likelihood on other people's rows; one nat made one of the three worse than T alone.
_PRIOR_DEVIATION = 0.5
_MAX_STEPS = 50
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class BiasFit:
    """A fitted temperature and shift of each class."""

    temperature: float
    bias: Floats
    """Shape (n_classes,), in nats; sums to 0."""
    loss: float
    """Mean negative log-likelihood at the fit, the noise allowed for, without the penalty."""
    error: float
    """Standard error of ln T: how far it may be off because other rows might have come."""
    clamped: bool
    """Whether the temperature is an end of TEMPERATURE_RANGE."""


def fit_biased_temperature(logits: Logits, targets: Targets, *, noise: float = 0.0) -> BiasFit:
    """
    Temperature and shifts that make the true classes most likely, the shifts held small.

    T, b = argmin sum_i -ln((1 - eps) * softmax(z[i] / T + b)[y_i] + eps / n_classes) + |b|^2 / (2 * 0.5^2)

    Parameters
    ----------
    logits : array of shape (n_rows, n_classes)
        At least one row and two classes. Costs n_rows * n_classes^2 a step: meant for up to some hundred classes.
    targets : integers of shape (n_rows,)
    noise : float
        In [0, 1): share eps of labels that are random, as `fit_robust_temperature` finds it.

    Returns
    -------
    BiasFit
        Without noise the global minimum: the loss is convex in 1 / T and b. With it, the one that the best T leads to.

    Raises
    ------
    ValueError
        As `fit_temperature`; also if the noise is outside [0, 1).

    References
    ----------
    Bias-corrected temperature scaling: Alexandari, Kundaje & Shrikumar (2020), "Maximum likelihood with
    bias-corrected calibration is hard-to-beat at label shift adaptation"; a normal prior on b. The error is
    Huber's (1967), as in `interval.sandwich_interval`.
    """
    check_exclusive(logits, targets)
    if not 0 <= noise < 1:
        raise ValueError(f"Expected noise of at least 0 and below 1; got {noise}.")
    low, high = 1 / TEMPERATURE_RANGE[1], 1 / TEMPERATURE_RANGE[0]
    fit = fit_temperature if noise == 0.0 else fit_robust_temperature
    x = np.append(np.zeros(logits.shape[1]), 1 / fit(logits, targets).temperature)
    at = _derivatives(logits, targets, x, noise)
    for _ in range(_MAX_STEPS):
        step = _step(at, at_end=(x[-1] == low and at.slope[-1] > 0) or (x[-1] == high and at.slope[-1] < 0))
        gain = -float(at.slope @ step)
        if gain <= _TOLERANCE * len(logits):
            break
        following, there = x, at
        # Some part of the step goes down, for the curvature is above 0 in every direction.
        for length in 0.5 ** np.arange(12):
            following = x + length * step
            following[-1] = np.clip(following[-1], low, high)
            there = _derivatives(logits, targets, following, noise)
            if there.loss <= at.loss - 1e-4 * length * gain:
                break
        if there.loss >= at.loss:
            break
        x, at = following, there
    beta, bias = float(x[-1]), x[:-1] - x[:-1].mean()
    return BiasFit(
        temperature=1 / beta,
        bias=bias,
        loss=(at.loss - _penalty(x[:-1])) / len(logits),
        error=_standard_error(logits, targets, x, noise, at.curvature) / beta,
        clamped=beta in (low, high),
    )


def _standard_error(logits: Logits, targets: Targets, x: Floats, noise: float, curvature: Floats) -> float:
    """Of beta: sqrt(v' B v), with B the scatter of the rows' slopes and v the last row of the inverse curvature."""
    direction = np.linalg.solve(curvature, np.append(np.zeros(len(x) - 1), 1.0))
    square = 0.0
    for rows in row_blocks(logits):
        z, y = logits[rows].astype(np.float64), targets[rows, None]
        p = softmax(x[-1] * z + x[:-1])
        own = np.take_along_axis(p, y, axis=1)
        mixed = (1 - noise) * own + noise / p.shape[1]
        clean = np.divide((1 - noise) * own, mixed, out=np.ones_like(own), where=mixed > 0)[:, 0]
        # The slope of a row along the direction: its part in b, then in beta.
        along = z * direction[-1] + direction[:-1]
        slopes = clean * (np.vecdot(p, along) - np.take_along_axis(along, y, axis=1)[:, 0])
        square += float(slopes @ slopes)
    return float(np.sqrt(square))


class _Derivatives(NamedTuple):
    loss: float
    """Penalised, summed over the rows."""
    slope: Floats
    curvature: Floats
    """That of the rows, each weighed by how surely its label is no noise: never below 0, unlike the loss's own."""


def _step(at: _Derivatives, *, at_end: bool) -> Floats:
    """Newton's; of the shifts alone where the temperature is pulled out of its range."""
    free = len(at.slope) - at_end
    step = np.zeros_like(at.slope)
    step[:free] = np.linalg.solve(at.curvature[:free, :free], -at.slope[:free])
    return step


def _derivatives(logits: Logits, targets: Targets, x: Floats, noise: float) -> _Derivatives:
    """At x = (b, beta)."""
    n_classes = logits.shape[1]
    bias, beta = x[:-1], x[-1]
    loss, slope = _penalty(bias), np.append(bias / _PRIOR_DEVIATION**2, 0.0)
    # The last entry keeps the matrix regular where all logits of a row are alike.
    curvature = np.diag(np.append(np.full(n_classes, 1 / _PRIOR_DEVIATION**2), 1e-12))
    for rows in row_blocks(logits):
        z, y = logits[rows].astype(np.float64), targets[rows, None]
        p = softmax(beta * z + bias)
        own = np.take_along_axis(p, y, axis=1)
        mixed = (1 - noise) * own + noise / n_classes
        # A target that underflowed to 0 is as unlikely as a float can say.
        loss -= float(np.log(np.maximum(mixed, np.finfo(np.float64).tiny)).sum())
        clean = np.divide((1 - noise) * own, mixed, out=np.ones_like(own), where=mixed > 0)
        mean = np.vecdot(p, z)[:, None]
        expected = (clean * p).sum(axis=0)
        slope[:-1] += expected - np.bincount(y[:, 0], clean[:, 0], n_classes)
        slope[-1] += float(np.sum(clean * (mean - np.take_along_axis(z, y, axis=1))))
        curvature[:-1, :-1] += np.diag(expected) - (clean * p).T @ p
        cross = np.einsum("ik,ik->k", clean * p, z - mean)
        curvature[:-1, -1] += cross
        curvature[-1, :-1] += cross
        curvature[-1, -1] += float(np.sum(clean[:, 0] * np.vecdot(p, (z - mean) ** 2)))
    return _Derivatives(loss, slope, curvature)


def _penalty(bias: Floats) -> float:
    return float(bias @ bias) / (2 * _PRIOR_DEVIATION**2)
