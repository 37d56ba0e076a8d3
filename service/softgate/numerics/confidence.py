"""
Scores of a row: how sure is the model, and how familiar is what it sees.

Convention, for every function here:

    probabilities.shape == logits.shape == (n_rows, n_classes), n_classes >= 1
    the score has shape (n_rows,) and is float64

Rows are independent. One score per question: `max_probability` for "is the label
right", `margin` for "is there a rival", `entropy` for "how many candidates are
there", `energy` for "has the model seen anything like this".
"""

import numpy as np
from numpy.typing import NDArray

from softgate.numerics.activations import Logits, Probabilities

Scores = NDArray[np.float64]


def max_probability(probabilities: Probabilities) -> Scores:
    """
    Probability of the most probable class.

    c[i] = max_k p[i, k]

    Parameters
    ----------
    probabilities : array of shape (n_rows, n_classes)
        Values in [0, 1].

    Returns
    -------
    array of shape (n_rows,), float64
        In [0, 1]; at least 1 / n_classes where the row sums to 1.

    References
    ----------
    Hendrycks & Gimpel (2017), "A baseline for detecting misclassified and
    out-of-distribution examples in neural networks".
    """
    scores: Scores = np.maximum.reduce(probabilities, axis=1)
    return scores


def margin(probabilities: Probabilities) -> Scores:
    """
    Lead of the most probable class over the next.

    m[i] = p[i, (1)] - p[i, (2)], with (r) the class of rank r

    Parameters
    ----------
    probabilities : array of shape (n_rows, n_classes)
        Values in [0, 1]. With one class there is no rival, and the margin is
        the probability itself.

    Returns
    -------
    array of shape (n_rows,), float64
        In [0, 1]; 0 where the two best are tied.

    References
    ----------
    Scheffer, Decomain & Wrobel (2001), "Active hidden Markov models for
    information extraction".
    """
    n_classes = probabilities.shape[1]
    if n_classes == 1:
        return max_probability(probabilities)
    best = np.partition(probabilities, n_classes - 2, axis=1)
    return best[:, -1] - best[:, -2]


def entropy(probabilities: Probabilities) -> Scores:
    """
    Shannon entropy: how far the mass is spread over the classes.

    H[i] = -sum_k p[i, k] * ln p[i, k], with 0 * ln 0 = 0

    Parameters
    ----------
    probabilities : array of shape (n_rows, n_classes)
        Each row is in [0, 1] and sums to 1. Under a sigmoid, where it does not,
        the number is the same sum but no entropy of a distribution.

    Returns
    -------
    array of shape (n_rows,), float64
        In nats, from 0 (all mass on one class) to ln n_classes (all equal).

    References
    ----------
    Shannon (1948), "A mathematical theory of communication". Same values as
    `scipy.stats.entropy(probabilities, axis=1)`.
    """
    # The smallest normal number stands in for 0: its logarithm is finite, and times 0 it is 0.
    logarithms = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    # Taken from 0, not negated: the entropy of a certain row is 0.0, never -0.0.
    scores: Scores = 0.0 - np.vecdot(probabilities, logarithms)
    return scores


def entropy_of_labels(probabilities: Probabilities) -> Scores:
    """
    Shannon entropy of labels that hold or not independently of each other.

    H[i] = -sum_k (p[i, k] * ln p[i, k] + (1 - p[i, k]) * ln (1 - p[i, k])), with 0 * ln 0 = 0

    Parameters
    ----------
    probabilities : array of shape (n_rows, n_classes)
        In [0, 1]; they need not sum to 1.

    Returns
    -------
    array of shape (n_rows,), float64
        In nats, from 0 (every label certain) to n_classes * ln 2 (each at one half).

    References
    ----------
    Cover & Thomas (2006), "Elements of information theory", theorem 2.6.6: entropies of independent variables add.
    Same values as `(scipy.special.entr(p) + scipy.special.entr(1 - p)).sum(axis=1)`.
    """
    return entropy(probabilities) + entropy(1.0 - probabilities)


def energy(logits: Logits, temperature: float) -> Scores:
    """
    Free energy with its sign turned: the out-of-scope score. High means familiar.

    E[i] = T * ln sum_k exp(z[i, k] / T)

    Parameters
    ----------
    logits : array of shape (n_rows, n_classes)
        Finite *raw* scores, before any temperature. Log-probabilities will not
        do: at T = 1 their energy is 0 for every row.
    temperature : float
        T > 0, as fitted.

    Returns
    -------
    array of shape (n_rows,), float64
        In the unit of the logits; between the largest logit of the row and
        that plus T * ln n_classes.

    Raises
    ------
    ValueError
        If the temperature is not positive and finite.

    References
    ----------
    Liu, Wang, Owens & Li (2020), "Energy-based out-of-distribution detection".
    Same values as `T * scipy.special.logsumexp(logits / T, axis=1)`.
    """
    if not 0 < temperature < np.inf:
        raise ValueError(f"Expected a finite temperature above 0; got {temperature}.")
    with np.errstate(invalid="ignore", over="ignore"):
        z = np.divide(logits, temperature, dtype=np.float64, order="C")
        top = np.maximum.reduce(z, axis=1, keepdims=True)
        z -= top
    np.exp(z, out=z)
    scores: Scores = np.log(np.add.reduce(z, axis=1))
    scores += top[:, 0]
    scores *= temperature
    return scores
