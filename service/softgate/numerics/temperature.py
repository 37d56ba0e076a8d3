"""
Temperature: what logits are divided by, so that probabilities mean what they say.

Convention, for every function here:

    logits.shape == (n_rows, n_classes), finite, cast to float64 before anything else
    targets: the truth of the same rows, on which the model was not trained

A fit looks for T within `TEMPERATURE_RANGE`. Data that pull it to an end, such as
rows that are all right, get that end and `clamped`: too few, or seen in training.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softgate.numerics.activations import Activation, Logits
from softgate.numerics.likelihood import binary_likelihood, noisy_likelihood, row_blocks, target_likelihood
from softgate.numerics.minimum import best_of_grid, golden_section_minimum, newton_minimum
from softgate.numerics.scores import brier_score
from softgate.numerics.targets import Targets, check_exclusive, check_logits

TEMPERATURE_RANGE = (0.05, 20.0)

# Newton works on beta = 1 / T, in which the plain losses are convex.
_BETA_LOW, _BETA_HIGH = 1 / TEMPERATURE_RANGE[1], 1 / TEMPERATURE_RANGE[0]
# Where a loss may have several minima, the best of these is refined; it includes T = 1.
_BETA_GRID: list[float] = np.geomspace(_BETA_LOW, _BETA_HIGH, 17).tolist()


@dataclass(frozen=True, slots=True)
class TemperatureFit:
    """A fitted temperature and how well it does on the rows it was fitted to."""

    temperature: float
    noise: float
    """Share of labels taken for random, in [0, 0.2]; 0 for the fits that know no noise."""
    loss: float
    """What was minimised, at the fit: mean negative log-likelihood in nats, or Brier score."""
    clamped: bool
    """Whether the temperature is an end of TEMPERATURE_RANGE, because the data pulled it there or beyond."""


def apply_temperature(logits: Logits, temperature: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """
    Divide logits by a temperature: above 1 flattens the probabilities, below 1 sharpens them.

    z'[i, k] = z[i, k] / T, or / T[k]

    Parameters
    ----------
    logits : array of shape (n_rows, n_classes)
        Finite scores, in nats.
    temperature : float, or array of shape (n_classes,)
        T > 0 and finite. One per class is for labels that may hold at the same time: each is a problem of its own.

    Returns
    -------
    array of shape (n_rows, n_classes), float64
        A new C-ordered array. One temperature leaves the order within a row as it is; one per class, only the signs.

    Raises
    ------
    ValueError
        If a temperature is not positive and finite, or there is not one per class.

    References
    ----------
    Guo, Pleiss, Sun & Weinberger (2017), "On calibration of modern neural networks".
    """
    if isinstance(temperature, np.ndarray):
        if temperature.shape != logits.shape[1:]:
            raise ValueError(f"Expected one temperature per class, {logits.shape[1]}; got shape {temperature.shape}.")
        if not ((temperature > 0) & (temperature < np.inf)).all():
            raise ValueError(f"Expected finite temperatures above 0; got {temperature.tolist()}.")
    elif not 0 < temperature < np.inf:
        raise ValueError(f"Expected a finite temperature above 0; got {temperature}.")
    # Row by row in memory whatever the caller's layout: a dot product of a strided row may round otherwise.
    return np.divide(logits, temperature, dtype=np.float64, order="C")


def fit_temperature(logits: Logits, targets: Targets) -> TemperatureFit:
    """
    Temperature of the softmax that makes the true classes most likely.

    T = argmin mean_i -ln softmax(z[i] / T)[y_i]

    Parameters
    ----------
    logits : array of shape (n_rows, n_classes)
        Finite scores, in nats; at least one row and two classes.
    targets : integers of shape (n_rows,)
        In [0, n_classes). Every wrong one raises T: see `fit_robust_temperature`.

    Returns
    -------
    TemperatureFit
        The global minimum: the loss is convex in 1 / T.

    Raises
    ------
    ValueError
        If there is nothing to fit, or the arrays do not match.

    References
    ----------
    Guo et al. (2017), as above. Same value as scikit-learn's
    `CalibratedClassifierCV(method="temperature")`.
    """
    check_exclusive(logits, targets)

    def derivatives(beta: float) -> tuple[float, float]:
        rows = target_likelihood(logits, targets, beta)
        return float(-np.mean(rows.slope)), float(-np.mean(rows.curvature))

    beta = newton_minimum(derivatives, low=_BETA_LOW, high=_BETA_HIGH, start=1.0)
    return _fit(beta, loss=float(0.0 - np.mean(target_likelihood(logits, targets, beta).log_p)))


def fit_robust_temperature(logits: Logits, targets: Targets) -> TemperatureFit:
    """
    Temperature of the softmax when some labels may be wrong: fits their share as well.

    T, eps = argmin mean_i -ln((1 - eps) * softmax(z[i] / T)[y_i] + eps / n_classes)

    Parameters
    ----------
    logits : array of shape (n_rows, n_classes)
        Finite scores, in nats; at least one row and two classes.
    targets : integers of shape (n_rows,)
        In [0, n_classes). A share of them may be random; it costs little if none is.

    Returns
    -------
    TemperatureFit
        With the share as `noise`; the best of 17 starts over the range, refined.

    Raises
    ------
    ValueError
        If there is nothing to fit, or the arrays do not match.

    References
    ----------
    Guo et al. (2017), as above, for T; a uniform mixture for the labels, as in Mnih & Hinton (2012),
    "Learning to label aerial images from noisy data".
    """
    check_exclusive(logits, targets)

    def loss(beta: float) -> float:
        return noisy_likelihood(logits, targets, beta).loss

    def derivatives(beta: float) -> tuple[float, float]:
        at_beta = noisy_likelihood(logits, targets, beta)
        return at_beta.slope, at_beta.curvature

    low, start, high = best_of_grid(loss, _BETA_GRID)
    found = newton_minimum(derivatives, low=low, high=high, start=start)
    beta = min(start, found, key=loss)
    best = noisy_likelihood(logits, targets, beta)
    return _fit(beta, loss=best.loss, noise=best.noise)


def fit_temperature_by_brier(logits: Logits, targets: Targets, *, activation: Activation) -> TemperatureFit:
    """
    Temperature of any activation whose rows sum to 1, by the Brier score.

    T = argmin mean_i sum_k (activation(z[i] / T)[k] - [k = y_i])^2

    Parameters
    ----------
    logits : array of shape (n_rows, n_classes)
        Finite scores; at least one row and two classes.
    targets : integers of shape (n_rows,)
        In [0, n_classes).
    activation : function of logits
        sparsemax and entmax15 need this fit: they give exact zeros, and one zero
        on a true class makes the likelihood infinite.

    Returns
    -------
    TemperatureFit
        The best of 17 starts over the whole range, refined to 5 digits.

    Raises
    ------
    ValueError
        If there is nothing to fit, or the arrays do not match.

    References
    ----------
    Brier (1950), "Verification of forecasts expressed in terms of probability".
    """
    check_exclusive(logits, targets)

    def loss(beta: float) -> float:
        return sum(
            brier_score(activation(beta * logits[rows].astype(np.float64)), targets[rows]) * len(targets[rows])
            for rows in row_blocks(logits)
        ) / len(logits)

    low, start, high = best_of_grid(loss, _BETA_GRID)
    log_beta = golden_section_minimum(
        lambda log_beta: loss(math.exp(log_beta)), low=math.log(low), high=math.log(high), tolerance=1e-5
    )
    # Golden section never tries the ends of its bracket, and an end of the range may be the best.
    beta = min(start, math.exp(log_beta), key=loss)
    return _fit(beta, loss=loss(beta))


def fit_temperature_sigmoid(logits: Logits, targets: NDArray[np.generic]) -> TemperatureFit:
    """
    One temperature for labels that may hold at the same time, over all (row, label) pairs.

    T = argmin mean_ik -ln q[i, k], with q = p where y[i, k] = 1, else 1 - p, and p = sigmoid(z / T)

    Parameters
    ----------
    logits : array of shape (n_rows, n_classes)
        Finite log-odds, in nats; at least one row. One class is enough.
    targets : array of shape (n_rows, n_classes)
        1 where the label holds, else 0; truth values will do.

    Returns
    -------
    TemperatureFit
        The global minimum: the loss, per pair, is convex in 1 / T.

    Raises
    ------
    ValueError
        If there is nothing to fit, or the arrays do not match.

    References
    ----------
    Guo et al. (2017), as above, applied to each label as a problem of two classes.
    """
    check_logits(logits)
    if targets.shape != logits.shape:
        raise ValueError(f"Expected targets of the shape of the logits, {logits.shape}; got {targets.shape}.")
    if not np.isin(targets, (0, 1)).all():
        raise ValueError("Expected targets of 0 and 1; got other values.")
    if not logits.any():
        raise ValueError("Expected logits other than 0; got none, so any temperature fits.")
    beta = newton_minimum(
        lambda beta: binary_likelihood(logits, targets, beta)[1:], low=_BETA_LOW, high=_BETA_HIGH, start=1.0
    )
    return _fit(beta, loss=binary_likelihood(logits, targets, beta)[0])


def _fit(beta: float, *, loss: float, noise: float = 0.0) -> TemperatureFit:
    return TemperatureFit(1.0 / beta, noise, loss, clamped=beta in (_BETA_LOW, _BETA_HIGH))
