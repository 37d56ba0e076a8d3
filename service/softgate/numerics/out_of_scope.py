"""
Out of scope: turning away what the model was never taught, at a stated cost to what it was.

Convention, for every function here:

    logits.shape == (n_rows, n_classes), raw: before any softmax or temperature
    energy.shape == (n_rows,), as `confidence.energy` gives it: high means familiar
    a row is turned away where its energy < gate

A gate is set on in-scope rows alone; no out-of-scope row is needed. Logits are
taken block by block, so the memory is that of the input and a few MiB.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from softgate.numerics.activations import Logits
from softgate.numerics.confidence import energy
from softgate.numerics.likelihood import row_blocks
from softgate.numerics.targets import check_logits

Energy = NDArray[np.float64]

# In nats. What float16 leaves of 10 000 log-probabilities adds up to 1 but for 0.4 %; raw logits differ by far more.
_ROUNDING = 0.01


def is_log_softmax(logits: Logits) -> bool:
    """
    Whether the rows are log-probabilities: a softmax has been taken, and with it what the energy would tell.

    |ln sum_k exp(z[i, k])| <= 0.01 for every row i

    Parameters
    ----------
    logits : array of shape (n_rows, n_classes)
        Minus infinity, the logarithm of 0, is allowed.

    Returns
    -------
    bool
        False where there are no rows.
    """
    return _every_block(logits, lambda block: np.abs(energy(block, 1.0)) <= _ROUNDING)


def is_softmax(logits: Logits) -> bool:
    """
    Whether the rows are probabilities: not below 0, and each adds up to 1 within 0.01.

    Parameters
    ----------
    logits : array of shape (n_rows, n_classes)

    Returns
    -------
    bool
        False where there are no rows.
    """
    return _every_block(
        logits,
        lambda block: (block.min(axis=1) >= -_ROUNDING) & (np.abs(block.sum(axis=1, dtype=float) - 1) <= _ROUNDING),
    )


def out_of_scope_gate(logits: Logits, *, temperature: float, share: float) -> float:
    """
    The energy below which a row is turned away, so that few in-scope rows are.

    gate = the floor(share * (n + 1))-th smallest of T * ln sum_k exp(z[i, k] / T)

    Parameters
    ----------
    logits : array of shape (n_rows, n_classes)
        Finite raw scores of in-scope rows, on which the model was not trained.
    temperature : float
        T > 0, as fitted: at another T the energy may say nothing.
    share : float
        In (0, 1): the largest share of in-scope rows that may be turned away.

    Returns
    -------
    float
        In the unit of the logits, for `energy(rows, temperature) < gate`.

    Raises
    ------
    ValueError
        If the rows are log-probabilities or probabilities, or not finite; as `energy_gate` and `energy`.

    References
    ----------
    Liu, Wang, Owens & Li (2020), "Energy-based out-of-distribution detection".
    """
    check_logits(logits)
    if is_log_softmax(logits):
        raise ValueError(
            "Expected raw logits; got log-probabilities, whose energy at T = 1 is 0 for every row: "
            "the softmax has taken away what it would tell."
        )
    if is_softmax(logits):
        raise ValueError("Expected raw logits; got probabilities, whose energy says nothing of what is familiar.")
    return energy_gate(np.concatenate([energy(logits[rows], temperature) for rows in row_blocks(logits)]), share=share)


def energy_gate(energy: Energy, *, share: float) -> float:
    """
    The gate of rows whose energy is known.

    P(energy of the next in-scope row < gate) <= floor(share * (n + 1)) / (n + 1) <= share

    Parameters
    ----------
    energy : array of shape (n_rows,)
        Of in-scope rows, at the fitted temperature.
    share : float
        In (0, 1). Needs 1 / share - 1 rows, rounded up.

    Returns
    -------
    float
        One of the energies: rows equal to it are kept.

    Raises
    ------
    ValueError
        If the share is none, the rows are too few to keep it, or an energy is not finite.

    References
    ----------
    Vovk, Gammerman & Shafer (2005), "Algorithmic learning in a random world": the p-value of one new row.
    """
    if not 0 < share < 1:
        raise ValueError(f"Expected a share between 0 and 1; got {share}.")
    if energy.ndim != 1 or not np.isfinite(energy).all():
        raise ValueError(f"Expected finite energies of shape (n_rows,); got shape {energy.shape}, or NaN or infinity.")
    rank = _largest_rank(share, len(energy) + 1)
    if rank == 0:
        raise ValueError(
            f"Expected at least {_least_total(share) - 1} in-scope rows to turn away at most {share:.3%} of such; "
            f"got {len(energy)}."
        )
    return float(np.partition(energy, rank - 1)[rank - 1])


def area_under_roc(in_scope: Energy, out_of_scope: Energy) -> float:
    """
    Chance that an in-scope row looks more familiar than an out-of-scope one (AUROC).

    A = P(E_in > E_out) + P(E_in = E_out) / 2

    Parameters
    ----------
    in_scope, out_of_scope : arrays of shape (n_rows,)
        A score that is high where a row is familiar; no NaN.

    Returns
    -------
    float
        In [0, 1]: 1 if the score tells them apart, 0.5 if it says nothing.

    Raises
    ------
    ValueError
        If either is empty, or a score is NaN.

    References
    ----------
    Mann & Whitney (1947). Same value as `sklearn.metrics.roc_auc_score` with the in-scope rows as positives.
    """
    if not in_scope.size or not out_of_scope.size:
        raise ValueError(
            f"Expected rows of both kinds; got {in_scope.size} in scope and {out_of_scope.size} out of it."
        )
    if np.isnan(in_scope).any() or np.isnan(out_of_scope).any():
        raise ValueError("Expected scores without NaN; got some.")
    ordered = np.sort(in_scope)
    below_or_equal = np.searchsorted(ordered, out_of_scope, side="right")
    below = np.searchsorted(ordered, out_of_scope, side="left")
    return float(1.0 - np.mean(below_or_equal + below) / (2 * in_scope.size))


def _largest_rank(share: float, total: int) -> int:
    """floor(share * total) with the share as written: 0.29 of 100 is 29, though the product rounds below it."""
    rank = math.floor(share * total)
    return rank + 1 if (rank + 1) / total <= share else rank - (rank / total > share)


def _least_total(share: float) -> int:
    """The least total of which a share is at least one."""
    total = math.ceil(1 / share)
    return total - 1 if total > 1 and 1 / (total - 1) <= share else total + (1 / total > share)


def _every_block(logits: Logits, holds: Callable[[Logits], NDArray[np.bool_]]) -> bool:
    return len(logits) > 0 and all(bool(holds(logits[rows]).all()) for rows in row_blocks(logits))
