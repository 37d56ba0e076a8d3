"""Everything once more on parts of the rows: what is fitted on some is judged on the others."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softgate.numerics.conformal import SET_SCORES
from softgate.policy.decision import Routing
from softgate.types import Indices
from softgate.workbench.calibrate.fit import Fit, Recipe, fit
from softgate.workbench.calibrate.folds import assign
from softgate.workbench.calibrate.judged import Judged, Truths, gathered, judge, set_outcomes
from softgate.workbench.calibrate.labelled import Labelled
from softgate.workbench.calibrate.limits import Aims, Limits, choose, outcomes_at, routed

# From strict to lax, close at the strict end: for the curve of labels that may hold at the same time.
TRIED = np.concatenate([1.0 - np.geomspace(1e-4, 0.02, 21), np.linspace(0.97, 0.0, 98)])


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Of rows that had no part in what they are judged by; arrays of shape (n_rows,)."""

    judged: Judged
    losses: NDArray[Any]
    """Nats, of the rows in scope as they are, no wrong label allowed for; NaN out of scope."""
    rejected: Truths
    """By the gate."""
    sizes: Indices | None
    """Of the prediction sets of the rows in scope."""
    covered: Truths | None
    """Whether these hold the true label."""
    routed: Mapping[str, tuple[Truths, Truths]]
    """By profile: which rows are routed, and which of them to the right place."""
    probabilities: NDArray[Any] | None
    """Shape (n_rows, n_classes) where several labels may hold: each pair counts."""
    along: Indices | None
    """Where several labels may hold, shape (n_tried, 2): rows routed at each of `TRIED`, and right of them."""


def judge_apart(rows: Labelled, found: Fit, routing: Routing, limits: Limits, aims: Aims) -> HeldOut:
    """Rows of another file, by what is already found."""
    score = SET_SCORES[aims.set_score]
    judged = judge(rows, found, grouping=routing.grouping, score=score, with_energy=aims.no_gate is None)
    sizes = covered = None
    if limits.set_quantile is not None:
        sizes, covered = set_outcomes(rows, found, limits.set_quantile, score=score, keep=rows.in_scope)
    return HeldOut(
        judged=judged,
        losses=_losses(rows, found, judged),
        rejected=np.zeros(len(rows), dtype=bool) if limits.gate is None else judged.energy < limits.gate,
        sizes=sizes,
        covered=covered,
        routed={name: routed(rows, judged, found, routing, limits, profile=name) for name in limits.promises},
        probabilities=found.probabilities(rows.logits) if rows.several else None,
        along=_along(rows, judged, found, routing) if rows.several else None,
    )


def _along(rows: Labelled, judged: Judged, found: Fit, routing: Routing) -> Indices:
    """Which label sends a row off may depend on the threshold, so no order of the rows gives the curve."""
    outcomes = (outcomes_at(rows, judged, found, routing, threshold) for threshold in TRIED.tolist())
    return np.array([(taken.sum(), right.sum()) for taken, right in outcomes], dtype=np.intp)


def cross_fit(rows: Labelled, recipe: Recipe, routing: Routing, aims: Aims, *, n_folds: int) -> HeldOut:
    """
    Each fold by what the others give: temperature, gate, quantile and thresholds.

    Raises ValueError where the others carry no fit.
    """
    fold = assign(len(rows), n_folds=n_folds)
    score = SET_SCORES[aims.set_score]
    parts = []
    for k in range(n_folds):
        others, own = rows.take(fold != k), rows.take(fold == k)
        found = fit(recipe, others)
        seen = judge(others, found, grouping=routing.grouping, score=score, with_energy=aims.no_gate is None)
        limits = choose(others, seen, found, routing, aims)
        parts.append((fold == k, judge_apart(own, found, routing, limits, aims)))
    return _joined(parts, rows.in_scope)


def _losses(rows: Labelled, found: Fit, judged: Judged) -> NDArray[Any]:
    if not rows.several:
        with np.errstate(divide="ignore"):
            own: NDArray[Any] = -np.log(judged.own)
        return own
    p = found.probabilities(rows.logits)
    own = np.where(rows.truth, p, 1.0 - p)
    mean: NDArray[Any] = -np.log(np.maximum(own, np.finfo(np.float64).tiny)).mean(axis=1)
    return mean


def _joined(parts: list[tuple[NDArray[np.bool_], HeldOut]], in_scope: Truths) -> HeldOut:
    def whole(name: str, places: list[NDArray[Any]]) -> Any:
        found = [getattr(one, name) for _, one in parts]
        return None if found[0] is None else np.concatenate(found)[np.argsort(np.concatenate(places))]

    rows = [np.flatnonzero(part) for part, _ in parts]
    # Sets are of the rows in scope alone.
    scoped = [np.flatnonzero(part & in_scope) for part, _ in parts]
    order = np.argsort(np.concatenate(rows))
    along = [one.along for _, one in parts if one.along is not None]
    return HeldOut(
        judged=gathered([(part, one.judged) for part, one in parts]),
        losses=whole("losses", rows),
        rejected=whole("rejected", rows),
        sizes=whole("sizes", scoped),
        covered=whole("covered", scoped),
        routed={
            name: (
                np.concatenate([one.routed[name][0] for _, one in parts])[order],
                np.concatenate([one.routed[name][1] for _, one in parts])[order],
            )
            for name in parts[0][1].routed
        },
        probabilities=whole("probabilities", rows),
        along=np.sum(along, axis=0) if along else None,
    )
