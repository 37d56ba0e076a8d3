"""How good probabilities are: the figures of a calibration's evidence, before it and after."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softgate.numerics.histogram import CONFIDENCE_EDGES
from softgate.numerics.reliability import (
    debiased_calibration_error,
    equal_mass_calibration_error,
    expected_calibration_error,
    null_band,
    p_value,
    reliability_bins,
)
from softgate.numerics.selective import area_under_risk_coverage, excess_area_under_risk_coverage
from softgate.types import Floats
from softgate.workbench.calibrate.judged import Judged, Truths
from softgate.workbench.calibrate.labelled import Labelled

# Of equal width alone, and from the finer edges that a monitor has: what a histogram of few hundred rows can fill.
HISTOGRAM_EDGES = [*CONFIDENCE_EDGES[:19].tolist(), 1.0]
# Chance is simulated on at most so many rows: a band from more differs in a digit that nobody reads.
MOST_ROWS_DRAWN = 100_000


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What reliability is about: of rows in scope their label; where several may hold, all pairs of row and label."""

    confidence: Floats
    correct: Truths
    losses: Floats
    """In nats; infinite where a true label got a probability of exactly 0."""
    brier: float


def outcomes(rows: Labelled, judged: Judged, losses: NDArray[Any], probabilities: NDArray[Any] | None) -> Outcomes:
    in_scope = rows.in_scope
    if probabilities is not None:
        gap = probabilities - rows.truth
        return Outcomes(probabilities.ravel(), rows.truth.ravel(), losses, float(np.mean(gap * gap)))
    scoped = judged.take(in_scope)
    brier = float(np.mean(np.maximum(scoped.squares - 2.0 * scoped.own + 1.0, 0.0)))
    # A sum of roundings may lie above 1 by one.
    return Outcomes(np.minimum(scoped.confidence, 1.0), scoped.correct, losses[in_scope], brier)


def quality(found: Outcomes, *, several: bool, with_null: bool) -> Mapping[str, Any]:
    confidence, correct = found.confidence, found.correct
    right = (confidence >= 0.5) == correct if several else correct
    nll = float(np.mean(found.losses))
    values: dict[str, Any] = {
        "accuracy": float(right.mean()),
        **({"nll": nll} if math.isfinite(nll) else {}),
        "brier": found.brier,
        "ece15": expected_calibration_error(confidence, correct),
        "ece15_equal_mass": equal_mass_calibration_error(confidence, correct),
    }
    if len(confidence) > 1:
        values["l2_debiased"] = debiased_calibration_error(confidence, correct)
    if with_null and len(confidence) > 1:
        values |= _null(confidence, correct)
    if not several:
        values["aurc"] = area_under_risk_coverage(confidence, correct)
        values["excess_aurc"] = excess_area_under_risk_coverage(confidence, correct)
    return values


def reliability(found: Outcomes) -> Mapping[str, Any]:
    bins = reliability_bins(found.confidence, found.correct)
    return {
        "upper_edges": bins.upper_edges.tolist(),
        "rows": bins.rows.tolist(),
        "confidence": listed(bins.confidence),
        "accuracy": listed(bins.accuracy),
    }


def listed(values: NDArray[np.floating]) -> Sequence[float | None]:
    """JSON has no NaN: what there is none of is null."""
    return [value if math.isfinite(value) else None for value in values.tolist()]


def _null(confidence: Floats, correct: Truths) -> Mapping[str, Any]:
    if len(confidence) > MOST_ROWS_DRAWN:
        chosen = np.random.default_rng(0).permutation(len(confidence))[:MOST_ROWS_DRAWN]
        confidence, correct = confidence[chosen], correct[chosen]
    bands, chances = {}, {}
    for name, statistic in (("ece15", expected_calibration_error), ("l2_debiased", debiased_calibration_error)):
        draws = null_band(confidence, statistic)
        bands[name] = [float(draws.mean()), float(np.quantile(draws, 0.95))]
        chances[name] = p_value(statistic(confidence, correct), draws)
    return {"null": bands, "p_value": chances}
