"""
Activations: logits in, probabilities out.

Convention, for every function here:

    logits.shape == probabilities.shape == (n_rows, n_classes), n_classes >= 1

Rows are independent: a row gets the same bits alone as within a batch. Results
are float64 whatever the input dtype, so that what follows (calibration,
thresholds) does not depend on the engine's dtype. Logits are finite; a row with
NaN or infinity gives numbers without meaning, but neither a warning nor harm to
other rows, so callers mask it by the logits.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.floating]
Probabilities = NDArray[np.float64]
Activation = Callable[[Logits], Probabilities]


def softmax(logits: Logits) -> Probabilities:
    """
    Normalised exponential, for classes that exclude each other.

    p[i, k] = exp(z[i, k]) / sum_j exp(z[i, j])

    Parameters
    ----------
    logits : array of shape (n_rows, n_classes)
        Finite scores, in nats; any shift of a whole row leaves the result as is.

    Returns
    -------
    array of shape (n_rows, n_classes), float64
        Each row is in [0, 1] and sums to 1.

    References
    ----------
    Bridle (1990), "Probabilistic interpretation of feedforward classification
    network outputs". Same values as `scipy.special.softmax(logits, axis=1)`.
    """
    e = _below_maximum(logits)
    np.exp(e, out=e)
    e /= np.add.reduce(e, axis=1, keepdims=True)
    return e


def log_softmax(logits: Logits) -> NDArray[np.float64]:
    """
    Logarithm of softmax, exact where softmax itself would underflow to 0.

    l[i, k] = z[i, k] - ln sum_j exp(z[i, j])

    Parameters
    ----------
    logits : array of shape (n_rows, n_classes)
        Finite scores, in nats.

    Returns
    -------
    array of shape (n_rows, n_classes), float64
        Log-probabilities in nats, <= 0; the exponentials of a row sum to 1.

    References
    ----------
    Same values as `scipy.special.log_softmax(logits, axis=1)`.
    """
    z = _below_maximum(logits)
    z -= np.log(np.add.reduce(np.exp(z), axis=1, keepdims=True))
    return z


def sigmoid(logits: Logits) -> Probabilities:
    """
    Logistic function, for labels that may hold at the same time.

    p[i, k] = 1 / (1 + exp(-z[i, k]))

    Parameters
    ----------
    logits : array of shape (n_rows, n_classes)
        Finite log-odds, in nats.

    Returns
    -------
    array of shape (n_rows, n_classes), float64
        Each value is in [0, 1]; rows need not sum to 1.

    References
    ----------
    Same values as `scipy.special.expit(logits)`.
    """
    z = np.asarray(logits, np.float64)
    # exp of a non-positive number cannot overflow; pick the matching form.
    e = np.exp(-np.abs(z))
    p = np.where(z >= 0, 1.0, e)
    e += 1.0
    p /= e
    return p


def sparsemax(logits: Logits) -> Probabilities:
    """
    Euclidean projection onto the probability simplex: unlikely classes get exactly 0.

    p[i, k] = max(z[i, k] - tau[i], 0), with tau[i] such that the row sums to 1

    Parameters
    ----------
    logits : array of shape (n_rows, n_classes)
        Finite scores; any shift of a whole row leaves the result as is.

    Returns
    -------
    array of shape (n_rows, n_classes), float64
        Each row is in [0, 1] and sums to 1.

    References
    ----------
    Martins & Astudillo (2016), "From softmax to sparsemax: a sparse model of
    attention and multi-label classification", algorithm 1.
    """
    # tau is never below maximum - 1, so whatever lies deeper gets 0 and its depth is of no account.
    # Cutting it off, well below, keeps the sums small and so exact with 10 000 logits of -10 000.
    z = np.maximum(_below_maximum(logits), -2.0)
    ranked = np.sort(z, axis=1)[:, ::-1]
    sums = np.cumsum(ranked, axis=1)
    sizes = np.arange(1, z.shape[1] + 1)
    taus = (sums - 1.0) / sizes
    z -= _at_support(taus, ranked=ranked)
    return np.maximum(z, 0.0, out=z)


def entmax15(logits: Logits) -> Probabilities:
    """
    1.5-entmax: between softmax and sparsemax, with exact zeros but smooth at their edge.

    p[i, k] = max(z[i, k] / 2 - tau[i], 0)^2, with tau[i] such that the row sums to 1

    Parameters
    ----------
    logits : array of shape (n_rows, n_classes)
        Finite scores; any shift of a whole row leaves the result as is.

    Returns
    -------
    array of shape (n_rows, n_classes), float64
        Each row is in [0, 1] and sums to 1.

    References
    ----------
    Peters, Niculae & Martins (2019), "Sparse sequence-to-sequence models",
    algorithm 2.
    """
    z = _below_maximum(logits)
    z *= 0.5
    # As in sparsemax: tau >= maximum - 1. Here the squares would lose all digits as well.
    np.maximum(z, -2.0, out=z)
    ranked = np.sort(z, axis=1)[:, ::-1]
    sizes = np.arange(1, z.shape[1] + 1)
    means = np.cumsum(ranked, axis=1) / sizes
    variances = np.cumsum(ranked * ranked, axis=1) / sizes - means * means
    taus = means - np.sqrt(np.maximum(1.0 / sizes - variances, 0.0))
    z -= _at_support(taus, ranked=ranked)
    np.maximum(z, 0.0, out=z)
    z *= z
    return z


def _below_maximum(logits: Logits) -> NDArray[np.float64]:
    """A new C-ordered float64 array: every row minus its maximum, so that its largest value is 0."""
    # Subtract the row *maximum*, not the largest magnitude: with [3, -90] the
    # latter asks float32 for exp(93), which is inf, and inf / inf is NaN.
    top = np.maximum.reduce(logits, axis=1, keepdims=True)
    with np.errstate(invalid="ignore", over="ignore"):
        return np.subtract(logits, top, dtype=np.float64, order="C")


def _at_support(taus: NDArray[np.float64], *, ranked: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the taus for 1, 2, ... classes that keep mass, the one that fits: as many scores lie above it; (n_rows, 1)."""
    # Above NaN lies nothing; such a row takes its first entry, NaN as well.
    size = np.maximum(np.count_nonzero(ranked > taus, axis=1), 1)
    # Rounding may put tau below its bound of -1, and so the largest value above 1.
    return np.maximum(np.take_along_axis(taus, size[:, None] - 1, axis=1), -1.0)


# To add one: write the function above, name it here, and give it a row in
# tests/numerics/test_activations.py::KNOWN_VALUES. Nothing else.
ACTIVATIONS: Mapping[str, Activation] = {
    "softmax": softmax,
    "sigmoid": sigmoid,
    "sparsemax": sparsemax,
    "entmax15": entmax15,
}
