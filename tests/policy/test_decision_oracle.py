"""The five steps once more, a row at a time and as plainly as they can be said, against `decide`."""

from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from softgate.policy.decision import decide, routing
from softgate.runtime.calibration import Calibration
from softgate.runtime.card import Profile, RoutingCard
from softgate.types import Action, Decisions, Reason, Scores

# Every number is a multiple of 1/64, so that sums are exact in any order, and ties and hits of a threshold common.
UNIT = 64
parts = st.integers(0, UNIT).map(lambda n: n / UNIT)
maybe_parts = st.none() | parts


@dataclass(frozen=True)
class Row:
    probabilities: list[float]
    energy: float
    finite: bool
    profile: int


@dataclass(frozen=True)
class Case:
    labels: list[str]
    card: RoutingCard
    calibration: Calibration | None
    rows: list[Row]
    has_energy: bool


@st.composite
def rows(draw: st.DrawFn, *, n_labels: int, n_profiles: int) -> Row:
    cuts = sorted(draw(st.lists(st.integers(0, UNIT), min_size=n_labels - 1, max_size=n_labels - 1)))
    probabilities = [(high - low) / UNIT for low, high in zip([0, *cuts], [*cuts, UNIT], strict=True)]
    energy = draw(st.integers(-4, 4)) / 2
    return Row(probabilities, energy, draw(st.sampled_from([True] * 9 + [False])), draw(st.integers(0, n_profiles - 1)))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    labels = [f"label{number}" for number in range(draw(st.integers(1, 6)))]
    routes = draw(st.dictionaries(st.sampled_from(labels), st.sampled_from(["a", "b", labels[0]])))
    known = sorted({routes.get(label, label) for label in labels})
    profiles = draw(st.sampled_from([[], ["bold"], ["bold", "careful"]]))
    card = RoutingCard(
        fallback="human",
        abstain="bin",
        precision=0.95,
        risk=0.1,
        out_of_scope=0.05,
        coverage=0.95,
        clarify=draw(st.integers(0, 4)),
        threshold=draw(maybe_parts),
        priority=(),
        thresholds=draw(st.dictionaries(st.sampled_from(known), parts)),
        routes=routes,
        profiles=dict.fromkeys(profiles, Profile(0.9, 0.1)),
    )
    calibration = Calibration(
        temperature=1.0,
        noise=0.0,
        gate=draw(st.none() | st.integers(-4, 4).map(lambda n: n / 2)),
        set_quantile=draw(maybe_parts | st.tuples(*[parts] * len(labels))),
        set_score=draw(st.sampled_from(["topp", "lac"])),
        thresholds=draw(st.dictionaries(st.sampled_from(["default", *profiles]), parts)),
        route_thresholds=draw(
            st.dictionaries(
                st.sampled_from(["default", *profiles]), st.dictionaries(st.sampled_from(known), parts, max_size=2)
            )
        ),
        evidence={},
        digest="",
    )
    some_rows = st.lists(rows(n_labels=len(labels), n_profiles=1 + len(profiles)), max_size=8)
    return Case(labels, card, draw(st.none() | st.just(calibration)), draw(some_rows), draw(st.booleans()))


def plain_set(row: Row, calibration: Calibration) -> list[int]:
    """Columns of the prediction set, the most probable first."""
    inside, before = [], 0.0
    for column in sorted(range(len(row.probabilities)), key=lambda column: (-row.probabilities[column], column)):
        probability = row.probabilities[column]
        quantile = calibration.set_quantile
        if isinstance(quantile, tuple):
            quantile = quantile[column]
        assert quantile is not None
        if (before if calibration.set_score == "topp" else 1 - probability) <= quantile:
            inside.append(column)
        before += probability
    return inside


def plain_threshold(case: Case, row: Row, route: str) -> float | None:
    if route in case.card.thresholds:
        return case.card.thresholds[route]
    if case.card.threshold is not None or case.calibration is None:
        return case.card.threshold
    profile = ["default", *case.card.profiles][row.profile]
    own = case.calibration.route_thresholds.get(profile, {})
    return own[route] if route in own else case.calibration.thresholds.get(profile)


def plain(case: Case, row: Row) -> tuple[Action, Reason, str, float, list[tuple[str, float, list[str]]]]:
    """Action, reason, candidate, its probability, and the routes of a question with the labels of each."""
    card, calibration = case.card, case.calibration
    by_route: dict[str, float] = {}
    for label, probability in zip(case.labels, row.probabilities, strict=True):
        route = card.routes.get(label, label)
        by_route[route] = by_route.get(route, 0.0) + probability
    # max takes the first of equals, and a route's place is that of its first label.
    best = max(by_route, key=lambda route: by_route[route])
    confidence = by_route[best]
    threshold = plain_threshold(case, row, best)
    reaches = threshold is not None and confidence >= threshold
    if not row.finite:
        return Action.FALLBACK, Reason.NON_FINITE, best, confidence, []
    if calibration is None:
        return (Action.ROUTE if reaches else Action.FALLBACK), Reason.UNCALIBRATED, best, confidence, []
    if calibration.gate is not None and case.has_energy and row.energy < calibration.gate:
        return Action.ABSTAIN, Reason.OUT_OF_SCOPE, best, confidence, []
    if reaches:
        return Action.ROUTE, Reason.CONFIDENT, best, confidence, []
    if calibration.set_quantile is not None:
        labels_of: dict[str, list[str]] = {}
        for column in plain_set(row, calibration):
            label = case.labels[column]
            labels_of.setdefault(card.routes.get(label, label), []).append(label)
        useful = any(plain_threshold(case, row, route) is not None for route in labels_of)
        if useful and 2 <= len(labels_of) <= card.clarify:
            order = sorted(labels_of, key=lambda route: (-by_route[route], list(by_route).index(route)))
            candidates = [(route, by_route[route], labels_of[route]) for route in order]
            return Action.CLARIFY, Reason.AMBIGUOUS, best, confidence, candidates
    return Action.FALLBACK, Reason.BELOW_THRESHOLD, best, confidence, []


def decided(case: Case, some: list[Row]) -> Decisions:
    probabilities = np.array([row.probabilities for row in some]).reshape(len(some), len(case.labels))
    zeros = np.zeros(len(some))
    scores = Scores(
        logits=probabilities,
        finite=np.array([row.finite for row in some], dtype=np.bool_),
        probabilities=probabilities,
        label=probabilities.argmax(axis=1),
        confidence=probabilities.max(axis=1),
        margin=zeros,
        entropy=zeros,
        energy=np.array([row.energy for row in some]) if case.has_energy else None,
    )
    table = routing(case.card, case.calibration, case.labels)
    return decide(scores, table, np.array([row.profile for row in some], dtype=np.intp))


@settings(deadline=None, derandomize=True, max_examples=300)
@given(case=cases())
def test_a_batch_is_decided_as_the_five_steps_decide_each_row(case: Case) -> None:
    decisions = decided(case, case.rows)

    names = list(routing(case.card, case.calibration, case.labels).routes)
    for index, row in enumerate(case.rows):
        action, reason, best, confidence, candidates = plain(case, row)
        assert (decisions.action[index], decisions.reason[index]) == (action, reason)
        assert (names[decisions.route[index]], decisions.confidence[index]) == (best, confidence)
        threshold = plain_threshold(case, row, best)
        assert_array_equal(decisions.threshold[index], np.nan if threshold is None else threshold)
        asked = decisions.candidates.get(index, ())
        assert [(one.route, one.confidence, list(one.labels)) for one in asked] == candidates
        if case.calibration is not None and case.calibration.set_quantile is not None:
            assert decisions.sets is not None
            inside = plain_set(row, case.calibration)
            assert np.flatnonzero(decisions.sets[index]).tolist() == sorted(inside)


@settings(deadline=None, derandomize=True)
@given(case=cases())
def test_a_row_is_decided_alone_as_in_its_batch(case: Case) -> None:
    together = decided(case, case.rows)

    for index, row in enumerate(case.rows):
        alone = decided(case, [row])
        assert alone.candidates.get(0) == together.candidates.get(index)
        for name in ("action", "reason", "route", "confidence", "threshold"):
            assert_array_equal(getattr(alone, name)[0], getattr(together, name)[index])
