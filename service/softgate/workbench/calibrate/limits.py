"""
Limits: the numbers that a decision compares its scores with, each chosen to keep what the card promises.

The gate, on energies of rows in scope; the set quantile, on rows in scope; the thresholds, on all rows past the gate
but those that a threshold of the card decides.
Temperature, gate and, where they are chosen, the shifts of the classes are fitted to the same rows; that they cost the
promise nothing that can be measured is tested by simulation on whole populations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from softgate.numerics.conformal import class_quantiles, conformal_quantile
from softgate.numerics.out_of_scope import energy_gate
from softgate.numerics.thresholds import (
    N_STARTS,
    Counts,
    PrecisionThreshold,
    precision_threshold,
    rows_needed,
    threshold_by_counts,
    threshold_grid,
)
from softgate.policy.decision import Routing, decide_labels
from softgate.policy.scoring import score
from softgate.runtime.card import Profile
from softgate.types import Action, Floats, Indices
from softgate.workbench.calibrate.fit import Fit
from softgate.workbench.calibrate.judged import Judged, Truths
from softgate.workbench.calibrate.labelled import Labelled


@dataclass(frozen=True, slots=True)
class Aims:
    """What is asked for, by the card and on the command line."""

    share: float
    """Of rows in scope that the gate may turn away; 0: no gate."""
    no_gate: str | None
    """Why there can be no gate, whatever is asked for."""
    coverage: float
    set_score: str
    sets_per_class: bool
    profiles: Mapping[str, Profile]
    """What each profile promises; empty where the card sets the threshold itself."""
    per_route: bool
    """Whether the promise is for each route by itself."""


@dataclass(frozen=True, slots=True)
class Promise:
    aim: Profile
    pooled: PrecisionThreshold | None
    """Of all rows past the gate; of those of routes without a threshold of their own. None: there are no such."""
    own: Mapping[int, PrecisionThreshold] = field(default_factory=dict)
    """By route."""
    level: float = 0.0
    """The risk that each of these tests was given."""


@dataclass(frozen=True, slots=True)
class Limits:
    gate: float | None
    no_gate: str | None
    """Why there is none."""
    set_quantile: float | Floats | None
    promises: Mapping[str, Promise]


def choose(rows: Labelled, judged: Judged, fit: Fit, routing: Routing, aims: Aims) -> Limits:
    """On rows that `judged` is of."""
    gate, no_gate = _gate(judged.energy[rows.in_scope], aims)
    quantile: float | Floats | None = None
    if not rows.several:
        scores, truth = judged.set_score[rows.in_scope], rows.truth[rows.in_scope]
        quantile = conformal_quantile(scores, coverage=aims.coverage)
        if aims.sets_per_class:
            quantile = class_quantiles(scores, truth, n_classes=rows.logits.shape[1], coverage=aims.coverage)
    promises = {
        name: _by_label_order(rows, judged, fit, routing, aim)
        if rows.several
        else _promise(judged.take(promised(judged, routing, gate)), aim, aims)
        for name, aim in aims.profiles.items()
    }
    return Limits(gate, no_gate, quantile, promises)


def stated(routing: Routing) -> Truths:
    """Which routes, or labels where several may hold, have a threshold in the card: there nothing is promised."""
    own: Truths = ~np.isnan(routing.thresholds[0])
    return own


def stated_names(routing: Routing) -> Sequence[str]:
    own = stated(routing)
    names = routing.routes if len(routing.routes) == len(own) else routing.labels
    return [names[place] for place in np.flatnonzero(own).tolist()]


def promised(judged: Judged, routing: Routing, gate: float | None) -> Truths:
    """The rows that a promise is about, where labels exclude each other."""
    rows: Truths = ~stated(routing)[judged.route]
    return rows if gate is None else rows & (judged.energy >= gate)


def routed(
    rows: Labelled, judged: Judged, fit: Fit, routing: Routing, limits: Limits, *, profile: str
) -> tuple[Truths, Truths]:
    """Which of the rows that the promise is about these limits route, and which of them to the right place."""
    promise = limits.promises[profile]
    if rows.several:
        threshold = promise.pooled.threshold if promise.pooled else None
        return outcomes_at(rows, judged, fit, routing, np.inf if threshold is None else threshold)
    thresholds = np.full(len(routing.routes), _value(promise.pooled))
    for route, found in promise.own.items():
        thresholds[route] = _value(found)
    accepted = promised(judged, routing, limits.gate) & (judged.route_confidence >= thresholds[judged.route])
    return accepted, accepted & judged.route_correct


def needed(promise: Promise) -> int:
    """The fewest rows, all right, that such a promise takes: of each test."""
    return rows_needed(promise.aim.precision, promise.level / N_STARTS)


def _value(found: PrecisionThreshold | None) -> float:
    return np.inf if found is None or found.threshold is None else found.threshold


def _gate(energies: Floats, aims: Aims) -> tuple[float | None, str | None]:
    if aims.no_gate is not None:
        return None, aims.no_gate
    if aims.share == 0:
        return None, "the card allows no row in scope to be turned away"
    try:
        return energy_gate(energies, share=aims.share), None
    except ValueError as exc:
        return None, str(exc)


def _promise(judged: Judged, aim: Profile, aims: Aims) -> Promise:
    def tested(rows: Truths, level: float) -> PrecisionThreshold:
        return precision_threshold(
            judged.route_confidence[rows], judged.route_correct[rows], precision=aim.precision, risk=level
        )

    every = np.ones(len(judged.route), dtype=bool)
    if not aims.per_route:
        return Promise(aim, tested(every, aim.risk), level=aim.risk)
    able, level = _able_routes(judged.route, aim)
    others = ~np.isin(judged.route, able)
    return Promise(
        aim,
        pooled=tested(others, level) if others.any() or not len(able) else None,
        own={route: tested(judged.route == route, level) for route in able},
        level=level,
    )


def _able_routes(route: Indices, aim: Profile) -> tuple[Sequence[int], float]:
    """
    The routes with rows enough for a threshold of their own, and the risk left for each test.

    All promises together keep the risk: each route's test, and the one of the rows that are left, gets an equal share.
    Which routes these are depends on how many rows they have, not on whether those are right.
    """
    found, counts = np.unique(route, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    for n_own in range(len(found), 0, -1):
        tests = n_own + (n_own < len(found))
        if counts[order[n_own - 1]] >= rows_needed(aim.precision, aim.risk / tests / N_STARTS):
            return sorted(found[order[:n_own]].tolist()), aim.risk / tests
    return [], aim.risk / max(1, len(found))


def _by_label_order(rows: Labelled, judged: Judged, fit: Fit, routing: Routing, aim: Profile) -> Promise:
    """Which label sends a row off may depend on which others hold, and so on the threshold: each is tried as served."""
    thresholds = threshold_grid(judged.confidence)
    counts = [outcomes_at(rows, judged, fit, routing, threshold) for threshold in thresholds.tolist()]
    accepted: Counts = np.array([taken.sum() for taken, _ in counts], dtype=np.intp)
    errors = accepted - np.array([right.sum() for _, right in counts], dtype=np.intp)
    found = threshold_by_counts(thresholds, accepted, errors, precision=aim.precision, risk=aim.risk)
    return Promise(aim, found, level=aim.risk)


def outcomes_at(rows: Labelled, judged: Judged, fit: Fit, routing: Routing, threshold: float) -> tuple[Truths, Truths]:
    """Which rows one threshold for all labels routes, and which of them to the right place, as served."""
    own = stated(routing)
    if (routing.rank == routing.rank[0]).all() and not own.any():
        accepted = judged.confidence >= threshold
        return accepted, accepted & judged.route_correct
    scores = score(
        rows.logits, activation=fit.recipe.activation, temperature=fit.temperature, bias=fit.bias, with_energy=False
    )
    at = replace(routing, thresholds=np.where(own, routing.thresholds[:1], threshold))
    decisions = decide_labels(scores, at, np.zeros(len(rows), dtype=np.intp))
    accepted = (decisions.action == Action.ROUTE) & ~own[decisions.first]
    route_of_class = routing.grouping.route_of_class
    right = (rows.truth & (route_of_class == decisions.route[:, None])).any(axis=1)
    return accepted, accepted & right
