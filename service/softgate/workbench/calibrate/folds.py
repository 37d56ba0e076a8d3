"""Folds: parts of the rows, each judged by what the others fitted."""

import numpy as np

from softgate.types import Indices
from softgate.workbench.calibrate.labelled import Labelled


def assign(rows: Labelled, *, n_folds: int, seed: int = 0) -> Indices:
    """
    The fold of each row, shape (n_rows,): every label spread evenly over the folds, the same for the same rows.

    Where several labels may hold, rows are spread evenly as they are.
    """
    order = np.random.default_rng(seed).permutation(len(rows))
    if not rows.several:
        order = order[np.argsort(rows.truth[order], kind="stable")]
    fold = np.empty(len(rows), dtype=np.intp)
    fold[order] = np.arange(len(rows)) % n_folds
    return fold
