"""The map from logits to probabilities: fitted by a recipe, so that it can be fitted again on a part of the rows."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softgate.numerics.activations import ACTIVATIONS
from softgate.numerics.bias import fit_biased_temperature
from softgate.numerics.interval import (
    Criterion,
    around,
    bootstrap_interval,
    brier_criterion,
    likelihood_criterion,
    robust_criterion,
    sandwich_interval,
    sigmoid_criterion,
)
from softgate.numerics.likelihood import pair_losses, row_blocks
from softgate.numerics.temperature import (
    fit_robust_temperature,
    fit_temperature,
    fit_temperature_by_brier,
    fit_temperature_sigmoid,
)
from softgate.policy.scoring import scale
from softgate.runtime.card import MULTI_LABEL
from softgate.types import Floats
from softgate.workbench.calibrate.labelled import Labelled

BIASED = "softmax"
# Up to here every draw of the bootstrap is a matter of seconds.
MOST_ROWS_BOOTSTRAPPED = 10_000
# A label's own temperature needs both its outcomes this often; the others share one.
LEAST_OUTCOMES = 10


@dataclass(frozen=True, slots=True)
class Recipe:
    activation: str
    robust: bool
    """Whether a share of wrong labels is fitted along: softmax only."""
    rich: bool = False
    """Whether each class gets a shift, or each of several labels that may hold a temperature of its own."""

    @property
    def method(self) -> str:
        if self.activation == MULTI_LABEL:
            return "pairs"
        if self.activation != BIASED:
            return "brier"
        return "robust" if self.robust else "plain"


@dataclass(frozen=True, slots=True)
class Fit:
    recipe: Recipe
    temperature: float | Floats
    clamped: bool
    noise: float | None = None
    """Share of the labels taken for wrong; None where the recipe knows no noise."""
    bias: Floats | None = None
    error: float | None = None
    """Standard error of ln T, where the fit found it along with its shifts."""

    def probabilities(self, logits: NDArray[np.floating]) -> Floats:
        return ACTIVATIONS[self.recipe.activation](scale(logits, temperature=self.temperature, bias=self.bias))


def unfitted(activation: str) -> Fit:
    """The map without a calibration: T = 1."""
    return Fit(Recipe(activation, robust=False), 1.0, clamped=False)


def fit(recipe: Recipe, rows: Labelled) -> Fit:
    """On the rows in scope. Raises ValueError where they carry no fit."""
    logits, truth = _in_scope(rows)
    if recipe.activation == MULTI_LABEL:
        shared = fit_temperature_sigmoid(logits, truth)
        temperature = _own_temperatures(logits, truth, shared.temperature) if recipe.rich else shared.temperature
        return Fit(recipe, temperature, shared.clamped)
    if recipe.activation != BIASED:
        # Exact zeros make the likelihood infinite; the Brier score stays finite.
        found = fit_temperature_by_brier(logits, truth, activation=ACTIVATIONS[recipe.activation])
        return Fit(recipe, found.temperature, found.clamped)
    found = (fit_robust_temperature if recipe.robust else fit_temperature)(logits, truth)
    noise = found.noise if recipe.robust else None
    if not recipe.rich:
        return Fit(recipe, found.temperature, found.clamped, noise)
    biased = fit_biased_temperature(logits, truth, noise=found.noise)
    return Fit(recipe, biased.temperature, biased.clamped, noise, biased.bias, biased.error)


def losses(fit: Fit, rows: Labelled) -> Floats:
    """What the recipe minimises, for each row in scope: nats, its share of wrong labels allowed for."""
    logits, truth = _in_scope(rows)
    if rows.several:
        return pair_losses(logits, truth, np.broadcast_to(1.0 / np.asarray(fit.temperature), logits.shape[1:]))
    noise = fit.noise or 0.0
    found = np.empty(len(logits))
    for part in row_blocks(logits):
        own = np.take_along_axis(fit.probabilities(logits[part]), truth[part, None], axis=1)[:, 0]
        found[part] = -np.log(np.maximum((1.0 - noise) * own + noise / logits.shape[1], np.finfo(np.float64).tiny))
    return found


def interval(fit: Fit, rows: Labelled) -> tuple[tuple[float, float], str] | None:
    """95 % interval of the temperature and how it was found; None where each label has its own."""
    if isinstance(fit.temperature, np.ndarray):
        return None
    if fit.error is not None:
        return around(fit.temperature, fit.error), "sandwich"
    criterion, n_rows = _criterion(fit, rows), int(rows.in_scope.sum())
    if n_rows <= MOST_ROWS_BOOTSTRAPPED:
        return bootstrap_interval(criterion, fit.temperature), "bootstrap"
    return sandwich_interval(criterion, fit.temperature), "sandwich"


def plain(recipe: Recipe) -> Recipe:
    return replace(recipe, robust=False, rich=False)


def _criterion(fit: Fit, rows: Labelled) -> Criterion:
    logits, truth = _in_scope(rows)
    if rows.several:
        return sigmoid_criterion(logits, truth)
    if fit.recipe.activation != BIASED:
        return brier_criterion(logits, truth, activation=ACTIVATIONS[fit.recipe.activation])
    return (robust_criterion if fit.recipe.robust else likelihood_criterion)(logits, truth)


def _in_scope(rows: Labelled) -> tuple[NDArray[np.floating], NDArray[Any]]:
    in_scope = rows.in_scope
    return (rows.logits, rows.truth) if in_scope.all() else (rows.logits[in_scope], rows.truth[in_scope])


def _own_temperatures(logits: NDArray[np.floating], truth: NDArray[Any], shared: float) -> Floats:
    temperatures = np.full(logits.shape[1], shared)
    for column in range(logits.shape[1]):
        held = int(truth[:, column].sum())
        if min(held, len(truth) - held) >= LEAST_OUTCOMES and logits[:, column].any():
            own = fit_temperature_sigmoid(logits[:, column, None], truth[:, column, None])
            temperatures[column] = shared if own.clamped else own.temperature
    return temperatures
