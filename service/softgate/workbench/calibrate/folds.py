"""Folds: parts of the rows, each judged by what the others fitted."""

import numpy as np

from softgate.types import Indices


def assign(n_rows: int, *, n_folds: int, seed: int = 0) -> Indices:
    """
    The fold of each row, shape (n_rows,): drawn at random, as many in each, the same for as many rows.

    Labels are not spread evenly: how often each occurs is chance too, and a fold that shares the others' chance
    speaks for shifts per class that fit nothing else.
    """
    fold = np.empty(n_rows, dtype=np.intp)
    fold[np.random.default_rng(seed).permutation(n_rows)] = np.arange(n_rows) % n_folds
    return fold
