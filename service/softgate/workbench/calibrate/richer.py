"""Whether a richer map than one temperature is worth its parameters: rows that did not fit it decide."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softgate.runtime.card import MULTI_LABEL
from softgate.workbench.calibrate.fit import BIASED, Recipe, fit, losses
from softgate.workbench.calibrate.folds import assign
from softgate.workbench.calibrate.labelled import Labelled

# A step of the fit costs rows times classes squared.
MOST_CLASSES = 500
LEAST_ROWS_PER_CLASS = 5
# More do not change the verdict, only the time it takes.
MOST_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Richer:
    map: str
    gain: float
    """Mean fall of the loss on rows that were not fitted, in nats."""
    standard_error: float
    chosen: bool


def compare(recipe: Recipe, rows: Labelled, *, n_folds: int) -> Richer | None:
    """Cross-validated: chosen where the loss falls by more than one standard error. None where it is no question."""
    rows = rows.take(np.flatnonzero(rows.in_scope))
    if not _worth_a_try(recipe, rows):
        return None
    if len(rows) > MOST_ROWS:
        rows = rows.take(np.sort(np.random.default_rng(0).permutation(len(rows))[:MOST_ROWS]))
    fold = assign(len(rows), n_folds=n_folds)
    gains: NDArray[Any] = np.empty(len(rows))
    for k in range(n_folds):
        others, own = rows.take(fold != k), rows.take(fold == k)
        try:
            gains[fold == k] = losses(fit(recipe, others), own) - losses(fit(replace(recipe, rich=True), others), own)
        except ValueError:
            # A fold without the rows that a fit needs: too few for a question of this kind.
            return None
    gain, error = float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(len(gains)))
    return Richer("per_label" if recipe.activation == MULTI_LABEL else "bias", gain, error, chosen=gain > error)


def _worth_a_try(recipe: Recipe, rows: Labelled) -> bool:
    n_classes = rows.logits.shape[1]
    if recipe.activation not in {BIASED, MULTI_LABEL} or n_classes < 2 or n_classes > MOST_CLASSES:
        return False
    return bool(len(rows) >= LEAST_ROWS_PER_CLASS * n_classes)
