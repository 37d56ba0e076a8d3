"""
From scores to decisions: the five steps, in order.

1. a logit is NaN or infinite          → fallback, non_finite
2. energy below the gate               → abstain, out_of_scope
3. route confidence at the threshold   → route, confident
4. the set spans 2 to `clarify` routes → clarify, ambiguous; where one of them has a threshold
5. otherwise                           → fallback, below_threshold

Where several labels may hold at once, each has its own threshold and the steps are three: a logit that is not finite;
a label that holds → route; none → fallback, no_label.

Pure: same scores, same routing, same decisions. Arrays have one entry per row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softgate.errors import UnknownProfile
from softgate.numerics.conformal import SET_SCORES, SetScore, mass_before, mass_before_rank, prediction_sets
from softgate.numerics.routes import Grouping, group, route_maxima, route_probabilities, routes_spanned
from softgate.runtime.calibration import DEFAULT_PROFILE, DEFAULT_SET_SCORE, Calibration
from softgate.runtime.card import RoutingCard
from softgate.types import Action, Candidate, Decisions, Floats, Indices, Reason, Scores


@dataclass(frozen=True, slots=True)
class Routing:
    """What a card and its calibration say about decisions, laid out for whole batches."""

    labels: Sequence[str]
    routes: Sequence[str]
    grouping: Grouping
    own_routes: bool
    """Whether each label is a route of its own, in the order of labels."""
    profiles: Mapping[str, int]
    """Row of `thresholds` for each profile; 0 is the default."""
    thresholds: Floats
    """
    Shape (n_profiles, n_routes), or (n_profiles, n_labels) where several labels may hold.

    NaN where there is none, which no confidence reaches.
    """
    rank: Indices
    """Shape (n_labels,): place in the card's priority; those it does not name share the last."""
    fallback: str
    abstain: str
    gate: float | None
    set_quantile: float | Floats | None
    set_score: SetScore
    clarify: int
    calibrated: bool


def routing(
    card: RoutingCard, calibration: Calibration | None, labels: Sequence[str], *, multi_label: bool = False
) -> Routing:
    """Lay out a card's [routing] and what its calibration adds. A threshold in the card overrides the fitted one."""
    route_of_label = [card.routes.get(label, label) for label in labels]
    index = {route: position for position, route in enumerate(dict.fromkeys(route_of_label))}
    place = {label: position for position, label in enumerate(card.priority)}
    profiles = {DEFAULT_PROFILE: 0} | {name: row for row, name in enumerate(card.profiles, start=1)}
    return Routing(
        labels=labels,
        routes=list(index),
        own_routes=len(index) == len(labels),
        grouping=group([index[route] for route in route_of_label]),
        profiles=profiles,
        thresholds=_thresholds(card, calibration, profiles, labels if multi_label else list(index)),
        rank=np.array([place.get(label, len(place)) for label in labels], dtype=np.intp),
        fallback=card.fallback,
        abstain=card.abstain,
        gate=None if calibration is None else calibration.gate,
        set_quantile=None if calibration is None else _laid_out(calibration.set_quantile),
        set_score=SET_SCORES[DEFAULT_SET_SCORE if calibration is None else calibration.set_score],
        clarify=card.clarify,
        calibrated=calibration is not None,
    )


def _laid_out(numbers: float | Sequence[float] | None) -> float | Floats | None:
    return np.array(numbers) if isinstance(numbers, Sequence) else numbers


def _thresholds(
    card: RoutingCard, calibration: Calibration | None, profiles: Mapping[str, int], names: Sequence[str]
) -> Floats:
    """
    Shape (n_profiles, n_names), NaN where there is none.

    The card's own by name, else the card's, else the one fitted for the profile and the name, else for the profile.
    """
    # One that the card states for all overrides whatever was fitted, by name or not.
    fitted = calibration if card.threshold is None else None
    thresholds = np.full((len(profiles), len(names)), np.nan if card.threshold is None else card.threshold)
    for profile, row in profiles.items():
        own: dict[str, float] = {}
        if fitted is not None:
            thresholds[row] = fitted.thresholds.get(profile, np.nan)
            own |= fitted.route_thresholds.get(profile, {})
        own |= card.thresholds
        for column, name in enumerate(names):
            if name in own:
                thresholds[row, column] = own[name]
    return thresholds


def profile_row(routing: Routing, profile: str | None) -> int:
    """The row of `routing.thresholds` that a request asks for. Raises UnknownProfile."""
    if profile is None:
        return 0
    row = routing.profiles.get(profile)
    if row is None:
        raise UnknownProfile(f"Expected a profile of the card: {', '.join(routing.profiles)}.")
    return row


def decide(scores: Scores, routing: Routing, profile: NDArray[np.intp]) -> Decisions:
    """
    The decision for each row.

    Parameters
    ----------
    scores : at the fitted temperature, n_rows rows
    profile : integers of shape (n_rows,)
        Row of `routing.thresholds` for each row.

    References
    ----------
    Chow (1970), "On optimum recognition error and reject tradeoff"; den Hengst et al. (2024), "Conformal intent
    classification and clarification", for asking back when the prediction set is small.
    """
    p, rows = scores.probabilities, np.arange(len(scores.label))
    by_route = p if routing.own_routes else route_probabilities(p, routing.grouping)
    candidate = scores.label if routing.own_routes else by_route.argmax(axis=1)
    confidence = by_route[rows, candidate]
    threshold = routing.thresholds[profile, candidate]
    sure = confidence >= threshold
    action = np.where(sure, _ROUTED, _FALLEN_BACK)
    reason = np.where(sure, _SURE, _UNSURE)
    # The steps before the third overrule it, and the fourth is for those that no other has settled.
    if routing.gate is not None and scores.energy is not None:
        outside = scores.energy < routing.gate
        if _any(outside):
            action[outside], reason[outside] = Action.ABSTAIN, Reason.OUT_OF_SCOPE
    if not _all(scores.finite):
        lost = ~scores.finite
        action[lost], reason[lost] = Action.FALLBACK, Reason.NON_FINITE
    sets = None if routing.set_quantile is None else _sets(scores, routing)
    candidates: Mapping[int, tuple[Candidate, ...]] = {}
    (unsettled,) = (reason == _UNSURE).nonzero()
    if sets is not None and len(unsettled):
        spanned = routes_spanned(sets[unsettled], routing.grouping)
        ambiguous = _asks_back(spanned, routing, profile[unsettled])
        asked = unsettled[ambiguous]
        action[asked], reason[asked] = Action.CLARIFY, Reason.AMBIGUOUS
        found = _candidates(routing, p[asked], by_route[asked], sets[asked])
        candidates = dict(zip(asked.tolist(), found, strict=True))
    if not routing.calibrated:
        reason[scores.finite] = Reason.UNCALIBRATED
    return Decisions(action, reason, candidate, confidence, threshold, sets, candidates)


def _sets(scores: Scores, routing: Routing) -> NDArray[np.bool_]:
    quantile, order = routing.set_quantile, scores.order
    assert quantile is not None, "Without a quantile there are no sets."
    if order is None or routing.set_score is not mass_before:
        return prediction_sets(scores.probabilities, quantile, score=routing.set_score)
    # The same, without ranking the classes once more.
    rows = np.arange(len(order))[:, None]
    inside = mass_before_rank(scores.probabilities[rows, order]) <= (
        quantile[order] if isinstance(quantile, np.ndarray) else quantile
    )
    sets = np.empty_like(inside)
    sets[rows, order] = inside
    return sets


def _asks_back(spanned: NDArray[np.bool_], routing: Routing, profile: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Where the set spans few enough routes, and one of them has a threshold: else the question would lead nowhere."""
    n_spanned = np.add.reduce(spanned, axis=1, dtype=np.intp)
    useful = _any(spanned & ~np.isnan(routing.thresholds[profile]), axis=1)
    few: NDArray[np.bool_] = (n_spanned >= 2) & (n_spanned <= routing.clarify) & useful
    return few


def _candidates(
    routing: Routing, probabilities: Floats, by_route: Floats, sets: NDArray[np.bool_]
) -> Sequence[tuple[Candidate, ...]]:
    """The routes that each row's prediction set spans, most probable first, each with its labels of the set."""
    rows, columns = sets.nonzero()
    order = np.lexsort((-probabilities[rows, columns], rows))
    rows, columns = rows[order], columns[order]
    routes = routing.grouping.route_of_class[columns]
    labels: list[dict[int, dict[str, float]]] = [{} for _ in sets]
    members = (rows, columns, routes, probabilities[rows, columns])
    for row, column, route, probability in zip(*(part.tolist() for part in members), strict=True):
        labels[row].setdefault(route, {})[routing.labels[column]] = probability
    return [offered(spanned, by_route[row], routing) for row, spanned in enumerate(labels)]


def offered(spanned: Mapping[int, Mapping[str, float]], by_route: Floats, routing: Routing) -> tuple[Candidate, ...]:
    """Of one row: these routes, with their labels of the prediction set, most probable first."""
    confidence = {route: by_route.item(route) for route in spanned}
    # Of equals the route that comes first in the card.
    ranked = sorted(sorted(spanned), key=confidence.__getitem__, reverse=True)
    return tuple([Candidate(routing.routes[route], confidence[route], spanned[route]) for route in ranked])


def decide_labels(scores: Scores, routing: Routing, profile: NDArray[np.intp]) -> Decisions:
    """
    The decision for each row where several labels may hold at once.

    A label holds where its probability reaches its threshold. The first of them by priority, the most probable among
    equals, sends the row to its route; the route's confidence is the largest probability among its labels.

    Parameters
    ----------
    scores : at the fitted temperature, n_rows rows
    profile : integers of shape (n_rows,)
        Row of `routing.thresholds` for each row.
    """
    p = scores.probabilities
    rows = np.arange(len(p))
    held = (p >= routing.thresholds[profile]) & scores.finite[:, None]
    some = held.any(axis=1)
    # Among those that hold, or all where none does, the best place; among the best placed, the most probable.
    rank = np.where(held, routing.rank, np.where(some, len(routing.rank) + 1, 0)[:, None])
    first = np.where(rank == rank.min(axis=1, keepdims=True), p, -1.0).argmax(axis=1)
    route = routing.grouping.route_of_class[first]
    action = np.where(some, np.int8(Action.ROUTE), np.int8(Action.FALLBACK))
    reason = np.where(some, np.int8(Reason.CONFIDENT), np.int8(Reason.NO_LABEL))
    if not routing.calibrated:
        reason[:] = Reason.UNCALIBRATED
    reason[~scores.finite] = Reason.NON_FINITE
    return Decisions(
        action,
        reason,
        route,
        confidence=route_maxima(p, routing.grouping)[rows, route],
        threshold=routing.thresholds[profile, first],
        sets=None,
        candidates={},
        held=held,
        first=first,
    )


def in_order(held: NDArray[np.bool_], probabilities: Floats, routing: Routing) -> Sequence[int]:
    """The labels of one row that hold, those that count first before the others, then the most probable."""
    columns = np.flatnonzero(held)
    found: Sequence[int] = columns[np.lexsort((-probabilities[columns], routing.rank[columns]))].tolist()
    return found


def targets(columns: Sequence[int], routing: Routing) -> Sequence[str]:
    """The routes of these labels, in their order, each once."""
    return list(dict.fromkeys(routing.routes[routing.grouping.route_of_class[column]] for column in columns))


def target(routing: Routing, action: int, route: int) -> str | None:
    """Where a decision sends its row; None for a clarifying question."""
    if action == _ROUTE:
        return routing.routes[route]
    if action == _CLARIFY:
        return None
    return routing.abstain if action == _ABSTAIN else routing.fallback


_ROUTE, _CLARIFY, _ABSTAIN = int(Action.ROUTE), int(Action.CLARIFY), int(Action.ABSTAIN)
# As arrays hold them; and reductions as functions, half the way of an array's methods.
_ROUTED, _FALLEN_BACK = np.int8(Action.ROUTE), np.int8(Action.FALLBACK)
_SURE, _UNSURE = np.int8(Reason.CONFIDENT), np.int8(Reason.BELOW_THRESHOLD)
_any, _all = np.logical_or.reduce, np.logical_and.reduce
