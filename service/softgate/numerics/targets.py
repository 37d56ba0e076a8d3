"""
Targets: the true class of each row, as its index, and what makes them and their logits fit to work with.

Convention, for every function here:

    targets.shape == (n_rows,)
    logits.shape == (n_rows, n_classes)

A check returns nothing; it raises ValueError with what was got and what was wanted.
"""

import numpy as np
from numpy.typing import NDArray

from softgate.numerics.activations import Logits

Targets = NDArray[np.integer]


def check_targets(targets: Targets, *, n_rows: int, n_classes: int) -> None:
    """
    Refuse targets that do not belong to an array of shape (n_rows, n_classes).

    Parameters
    ----------
    targets : integers of shape (n_rows,)
        In [0, n_classes).
    n_rows, n_classes : int
        Shape of the logits or probabilities.

    Raises
    ------
    ValueError
        If there are no rows, not one target per row, or a target is not the
        index of a class.
    """
    if targets.ndim != 1:
        raise ValueError(f"Expected targets of shape (n_rows,); got shape {targets.shape}.")
    if len(targets) != n_rows:
        raise ValueError(f"Expected one target per row; got {n_rows} rows and {len(targets)} targets.")
    if n_rows == 0:
        raise ValueError("Expected at least one row; got none.")
    if targets.dtype.kind not in "iu":
        raise ValueError(f"Expected targets to be integers; got {targets.dtype}.")
    low, high = int(targets.min()), int(targets.max())
    if low < 0 or high >= n_classes:
        raise ValueError(f"Expected targets from 0 to {n_classes - 1}; got {low} to {high}.")


def check_logits(logits: Logits) -> None:
    """
    Refuse logits that nothing can be fitted to.

    Parameters
    ----------
    logits : array of shape (n_rows, n_classes)
        Finite scores.

    Raises
    ------
    ValueError
        If the array is not two-dimensional, is empty, or holds NaN or infinity.
    """
    if logits.ndim != 2:
        raise ValueError(f"Expected logits of shape (n_rows, n_classes); got shape {logits.shape}.")
    if logits.size == 0:
        raise ValueError(f"Expected at least one row and one class of logits; got shape {logits.shape}.")
    n_bad = len(logits) - np.count_nonzero(np.isfinite(logits).all(axis=1))
    if n_bad:
        raise ValueError(f"Expected finite logits; got NaN or infinity in {n_bad} of {len(logits)} rows.")


def check_exclusive(logits: Logits, targets: Targets) -> None:
    """
    Refuse logits and targets of classes that exclude each other where no temperature can be told from them.

    Parameters
    ----------
    logits : array of shape (n_rows, n_classes)
        Finite scores, at least two classes.
    targets : integers of shape (n_rows,)
        In [0, n_classes).

    Raises
    ------
    ValueError
        As `check_logits` and `check_targets`; also if there is only one class,
        or no row whose logits differ.
    """
    check_logits(logits)
    n_rows, n_classes = logits.shape
    if n_classes == 1:
        raise ValueError("Expected at least two classes; got one, whose probability is 1 at any temperature.")
    check_targets(targets, n_rows=n_rows, n_classes=n_classes)
    if (logits == logits[:, :1]).all():
        raise ValueError("Expected logits that differ within a row; got none, so any temperature fits.")
