"""
Likelihood of the truth as a function of beta = 1 / T, with its derivatives.

Convention, for every function here:

    logits.shape == (n_rows, n_classes), finite, cast to float64 before anything else
    results are float64

This is what the fits in `temperature.py` minimise. Rows are taken block by block:
a fit of 100 000 rows needs a few MiB beside its input, and a block stays in the
processor's cache.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from softgate.numerics.activations import Logits
from softgate.numerics.minimum import newton_minimum

Column = NDArray[np.float64]

# Beyond one label in five it is the model that errs, not the labels; and with more, the noise would
# explain a model's confident errors away and leave it as overconfident as it was.
MAX_NOISE = 0.2
_BLOCK_VALUES = 2**17


class TargetLikelihood(NamedTuple):
    """ln p[i, y_i] of every row and its first two derivatives by beta; each of shape (n_rows,)."""

    log_p: Column
    slope: Column
    curvature: Column


class NoisyLikelihood(NamedTuple):
    """Mean loss under label noise, the noise that makes it least, and the loss's derivatives by beta along it."""

    loss: float
    noise: float
    slope: float
    curvature: float


def row_blocks(logits: Logits) -> Iterator[slice]:
    """Slices that cover all rows, each of about a MiB of float64."""
    n_rows, n_classes = logits.shape
    size = max(1, _BLOCK_VALUES // n_classes)
    return (slice(i, i + size) for i in range(0, n_rows, size))


def target_likelihood(logits: Logits, targets: NDArray[np.integer], beta: float) -> TargetLikelihood:
    """
    Log-likelihood of the true class under softmax(beta * z), row by row.

    l = beta * z_y - ln sum_k exp(beta * z_k);  l' = z_y - E_p[z];  l'' = -Var_p[z]

    Parameters
    ----------
    logits : array of shape (n_rows, n_classes)
    targets : integers of shape (n_rows,), in [0, n_classes)
    beta : float, > 0

    Returns
    -------
    three arrays of shape (n_rows,)
        In nats; l and l'' are <= 0.
    """
    log_p, slope, curvature = np.empty((3, len(logits)))
    for rows in row_blocks(logits):
        z = logits[rows].astype(np.float64)
        z -= z.max(axis=1, keepdims=True)
        z_target = z[np.arange(len(z)), targets[rows]]
        e = np.exp(beta * z)
        total = e.sum(axis=1)
        mean = np.vecdot(e, z) / total
        z *= z
        log_p[rows] = beta * z_target - np.log(total)
        slope[rows] = z_target - mean
        curvature[rows] = mean * mean - np.vecdot(e, z) / total
    return TargetLikelihood(log_p, slope, np.minimum(curvature, 0.0))


def noisy_likelihood(logits: Logits, targets: NDArray[np.integer], beta: float) -> NoisyLikelihood:
    """
    Mean negative log-likelihood when a share of the labels is drawn at random, at the most likely share.

    f(beta) = min_eps mean -ln m, with m = (1 - eps) * p_y + eps / n_classes

    Parameters
    ----------
    logits : array of shape (n_rows, n_classes)
    targets : integers of shape (n_rows,), in [0, n_classes)
    beta : float, > 0

    Returns
    -------
    NoisyLikelihood
        Loss in nats; noise eps in [0, MAX_NOISE].
    """
    rows = target_likelihood(logits, targets, beta)
    p, uniform = np.exp(rows.log_p), 1.0 / logits.shape[1]
    noise = most_likely_noise(p, uniform)
    if noise == 0.0:
        # Not through p: ln p is exact where p is not.
        means = np.mean(rows, axis=1)
        return NoisyLikelihood(float(0.0 - means[0]), 0.0, float(-means[1]), float(-means[2]))
    m = p + noise * (uniform - p)
    clean = (1.0 - noise) * p / m
    slope = -np.mean(clean * rows.slope)
    curvature = -np.mean(clean * rows.curvature + clean * (1.0 - clean) * rows.slope**2)
    if noise < MAX_NOISE:
        # The noise follows beta along the valley, which is flatter than the cut at a fixed noise.
        cross = np.mean(p * uniform * rows.slope / m**2)
        curvature -= cross**2 / np.mean(((uniform - p) / m) ** 2)
    return NoisyLikelihood(float(-np.mean(np.log(m))), noise, float(slope), float(curvature))


def binary_likelihood(logits: Logits, targets: NDArray[np.generic], beta: float) -> tuple[float, float, float]:
    """
    Mean negative log-likelihood of all (row, label) pairs under sigmoid(beta * z), and its derivatives.

    f = mean ln(1 + exp(a)) - y * a, with a = beta * z;  f' = mean (p - y) * z;  f'' = mean p * (1 - p) * z^2

    Parameters
    ----------
    logits : array of shape (n_rows, n_classes)
    targets : array of shape (n_rows, n_classes), 0 and 1
    beta : float, > 0

    Returns
    -------
    (f, f', f'')
        In nats per pair.
    """
    sums = np.zeros(3)
    for rows in row_blocks(logits):
        z = logits[rows].astype(np.float64)
        y = targets[rows].astype(np.float64)
        a = beta * z
        e = np.exp(-np.abs(a))
        p = np.where(a >= 0, 1.0, e) / (1.0 + e)
        sums += (
            np.sum(np.maximum(a, 0.0) - y * a + np.log1p(e)),
            np.sum((p - y) * z),
            np.sum(e / (1.0 + e) ** 2 * z * z),
        )
    loss, slope, curvature = (sums / logits.size).tolist()
    return loss, slope, curvature


def pair_losses(logits: Logits, targets: NDArray[np.generic], beta: Column) -> Column:
    """
    Mean negative log-likelihood of each row's labels under sigmoid(beta * z).

    l[i] = mean_k ln(1 + exp(a[i, k])) - y[i, k] * a[i, k], with a[i, k] = beta[k] * z[i, k]

    Parameters
    ----------
    logits : array of shape (n_rows, n_classes)
    targets : array of shape (n_rows, n_classes), 0 and 1
    beta : array of shape (n_classes,), > 0

    Returns
    -------
    array of shape (n_rows,)
        In nats per pair.
    """
    losses = np.empty(len(logits))
    for rows in row_blocks(logits):
        a = logits[rows] * beta
        losses[rows] = np.mean(
            np.maximum(a, 0.0) - targets[rows].astype(np.float64) * a + np.log1p(np.exp(-np.abs(a))), axis=1
        )
    return losses


def most_likely_noise(p: Column, uniform: float, weights: Column | None = None) -> float:
    """
    The share of random labels that makes the labels as they are most likely.

    eps = argmin mean -ln(p + eps * (uniform - p)), which is convex in eps

    Parameters
    ----------
    p : array of shape (n_rows,)
        Probability of the true class.
    uniform : float
        That of a label drawn at random: 1 / n_classes.
    weights : array of shape (n_rows,), or None
        How often each row counts; None: once.

    Returns
    -------
    float, in [0, MAX_NOISE]
    """
    share = np.full(len(p), 1.0 / len(p)) if weights is None else weights / weights.sum()

    def derivatives(noise: float) -> tuple[float, float]:
        # With noise 0, a p that underflowed to 0 gives an infinite slope: a true answer, not an accident.
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            ratio = (uniform - p) / (p + noise * (uniform - p))
            slope, curvature = float(-(share @ ratio)), float(share @ (ratio * ratio))
        # A row that does not count does not count, be it infinite.
        return (-np.inf, np.inf) if np.isnan(slope) else (slope, curvature)

    return newton_minimum(derivatives, low=0.0, high=MAX_NOISE, start=MAX_NOISE / 10)
