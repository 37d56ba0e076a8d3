"""
A softmax together with what falls off it: the logarithm of its sum, and its entropy.

Convention:

    logits.shape == (n_rows, n_classes), finite, n_classes >= 1

Each taken by itself costs the exponentials, or as many logarithms, once more.
"""

from dataclasses import dataclass

import numpy as np

from softgate.numerics.activations import Logits, Probabilities
from softgate.numerics.confidence import Scores


@dataclass(frozen=True, slots=True)
class Partition:
    probabilities: Probabilities
    """Shape (n_rows, n_classes), float64: the very bits of `softmax`."""
    log_sum: Scores
    """Shape (n_rows,), in nats: ln sum_k exp(z[i, k])."""
    entropy: Scores
    """Shape (n_rows,), in nats, from 0 to ln n_classes."""


def partition(logits: Logits) -> Partition:
    """
    Softmax, log-sum-exp and entropy of each row.

    p[i, k] = exp(d[i, k]) / s[i], L[i] = max_j z[i, j] + ln s[i], H[i] = ln s[i] - sum_k p[i, k] d[i, k],
    with d[i, k] = z[i, k] - max_j z[i, j] and s[i] = sum_k exp(d[i, k])

    Both terms of H are at least 0, so nothing cancels: it is as exact as the sum over p ln p.

    Parameters
    ----------
    logits : array of shape (n_rows, n_classes)
        Finite scores, in nats.

    References
    ----------
    MacKay (2003), "Information theory, inference, and learning algorithms", 31.1. Same values as
    `scipy.special.softmax`, `scipy.special.logsumexp` and `scipy.stats.entropy`.
    """
    top = np.maximum.reduce(logits, axis=1, keepdims=True)
    with np.errstate(over="ignore"):
        below = np.subtract(logits, top, dtype=np.float64, order="C")
        e = np.exp(below)
        total = np.add.reduce(e, axis=1, keepdims=True)
        e /= total
        # A class so far below that the difference left the range: it has no mass, and 0 times infinity none either.
        np.maximum(below, -np.finfo(np.float64).max, out=below)
        log_total = np.log(total)[:, 0]
        return Partition(e, log_total + top[:, 0], log_total - np.vecdot(e, below))
