"""Decisions where several labels may hold at once, by hand and against a row-by-row reading of the rules."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softgate.policy.decision import Routing, decide_labels, in_order, routing, target, targets
from softgate.policy.scoring import score
from softgate.runtime.calibration import Calibration
from softgate.runtime.card import Profile, RoutingCard
from softgate.types import Action, Decisions, Floats, Reason, Scores

LABELS = ("cancel", "refund", "greet", "wifi")
CARD = RoutingCard(
    fallback="human",
    abstain="human",
    precision=0.95,
    risk=0.1,
    out_of_scope=0.05,
    coverage=0.95,
    clarify=3,
    threshold=0.5,
    thresholds={"wifi": 0.9},
    priority=("refund", "cancel"),
    routes={"cancel": "desk", "refund": "desk"},
    profiles={"bold": Profile(0.5, 0.1)},
)
CALIBRATION = Calibration(1.0, None, None, None, {"default": 0.5, "bold": 0.2}, {}, "0" * 64)


def scores(*rows: list[float]) -> Scores:
    probabilities = np.array(rows, dtype=np.float64)
    with np.errstate(divide="ignore"):
        logits = np.log(probabilities) - np.log1p(-probabilities)
    return score(logits, activation="sigmoid", temperature=1.0, with_energy=False)


def table(card: RoutingCard = CARD, calibration: Calibration | None = CALIBRATION) -> Routing:
    return routing(card, calibration, LABELS, multi_label=True)


def decide(*rows: list[float], by: Routing | None = None, profile: int = 0) -> Decisions:
    return decide_labels(scores(*rows), by or table(), np.full(len(rows), profile))


def held(row: list[float], by: Routing | None = None) -> list[str]:
    rules = by or table()
    found = decide_labels(scores(row), rules, np.zeros(1, dtype=np.intp))
    assert found.held is not None
    return [LABELS[column] for column in in_order(found.held[0], np.array(row), rules)]


def words(found: Decisions, by: Routing | None = None) -> tuple[str, str, str | None]:
    action, reason, route = int(found.action[0]), int(found.reason[0]), int(found.route[0])
    return Action(action).word, Reason(reason).word, target(by or table(), action, route)


def test_labels_at_their_threshold_hold() -> None:
    assert held([0.6, 0.4, 0.5, 0.89]) == ["cancel", "greet"]


def test_the_first_by_priority_leads_though_another_is_more_probable() -> None:
    found = decide([0.6, 0.55, 0.99, 0.1])

    assert held([0.6, 0.55, 0.99, 0.1]) == ["refund", "cancel", "greet"]
    assert words(found) == ("route", "confident", "desk")


def test_without_priority_the_most_probable_leads() -> None:
    by = table(replace(CARD, priority=()))

    assert held([0.6, 0.55, 0.99, 0.1], by) == ["greet", "cancel", "refund"]
    assert words(decide([0.6, 0.55, 0.99, 0.1], by=by), by) == ("route", "confident", "greet")


def test_a_routes_confidence_is_the_largest_among_its_labels() -> None:
    found = decide([0.8, 0.55, 0.1, 0.1])

    # refund leads, cancel of the same desk is more probable.
    assert found.confidence[0] == pytest.approx(0.8)
    assert found.threshold[0] == 0.5


def test_the_threshold_is_that_of_the_label_that_leads() -> None:
    assert decide([0.1, 0.1, 0.1, 0.95]).threshold[0] == 0.9


def test_no_label_falls_back_and_shows_how_near_the_best_came() -> None:
    found = decide([0.1, 0.2, 0.3, 0.89])

    assert words(found) == ("fallback", "no_label", "human")
    assert (found.confidence[0], found.threshold[0]) == (pytest.approx(0.89), 0.9)


def test_targets_are_the_routes_of_all_that_hold_each_once() -> None:
    assert targets([1, 0, 2], table()) == ["desk", "greet"]


def test_a_row_that_is_not_finite_holds_nothing() -> None:
    found = decide_labels(
        score(np.array([[np.nan, 9.0, 9.0, 9.0]]), activation="sigmoid", temperature=1.0, with_energy=False),
        table(),
        np.zeros(1, dtype=np.intp),
    )

    assert found.held is not None
    assert not found.held.any()
    assert words(found) == ("fallback", "non_finite", "human")


def test_without_a_calibration_the_cards_threshold_acts_and_the_reason_says_so() -> None:
    by = table(calibration=None)

    assert words(decide([0.9, 0.1, 0.1, 0.1], by=by), by) == ("route", "uncalibrated", "desk")
    assert words(decide([0.1, 0.1, 0.1, 0.1], by=by), by) == ("fallback", "uncalibrated", "human")


def test_without_any_threshold_nothing_holds() -> None:
    by = table(replace(CARD, threshold=None, thresholds={}), None)
    found = decide([0.99, 0.99, 0.99, 0.99], by=by)

    assert words(found, by) == ("fallback", "uncalibrated", "human")
    assert np.isnan(found.threshold[0])


def test_a_threshold_fitted_for_a_label_is_its_own_after_those_of_the_card() -> None:
    own = {"default": {"greet": 0.7, "wifi": 0.1}, "bold": {"refund": 0.3}}
    fitted = replace(CALIBRATION, route_thresholds=own)

    assert table(replace(CARD, threshold=None), fitted).thresholds.tolist() == [
        [0.5, 0.5, 0.7, 0.9],
        [0.2, 0.3, 0.2, 0.9],
    ]
    assert table(CARD, fitted).thresholds.tolist() == [[0.5, 0.5, 0.5, 0.9]] * 2


def test_a_profile_has_thresholds_of_its_own() -> None:
    by = table(replace(CARD, threshold=None))

    assert words(decide([0.3, 0.1, 0.1, 0.1], by=by, profile=0), by) == ("fallback", "no_label", "human")
    assert words(decide([0.3, 0.1, 0.1, 0.1], by=by, profile=1), by) == ("route", "confident", "desk")


def test_the_entropy_is_that_of_labels_that_stand_for_themselves() -> None:
    assert scores([0.5, 0.5, 0.5, 0.5]).entropy[0] == pytest.approx(4 * np.log(2))
    assert scores([0.0, 1.0, 0.0, 1.0]).entropy[0] == pytest.approx(0.0) or not scores([0.0, 1.0, 0.0, 1.0]).finite[0]


def expected(row: Floats, card: RoutingCard) -> tuple[str, str | None, list[str]]:
    """The rules of one row, read one by one."""
    holding = []
    for label, p in zip(LABELS, row.tolist(), strict=True):
        threshold = card.thresholds.get(label, card.threshold)
        if threshold is not None and p >= threshold:
            holding.append((label, p))
    listed = [name for name in card.priority if name in dict(holding)]
    rest = sorted((pair for pair in holding if pair[0] not in listed), key=lambda pair: -pair[1])
    names = listed + [label for label, _ in rest]
    if not names:
        return "no_label", "human", []
    return "confident", card.routes.get(names[0], names[0]), names


grid = st.integers(0, 20).map(lambda n: n / 20)


@given(
    st.lists(st.lists(grid, min_size=4, max_size=4, unique=True), min_size=1, max_size=5),
    st.one_of(st.none(), grid),
    st.dictionaries(st.sampled_from(LABELS), grid),
    st.lists(st.sampled_from(LABELS), unique=True),
)
def test_a_batch_is_decided_as_the_rules_decide_each_row(
    rows: list[list[float]], threshold: float | None, thresholds: dict[str, float], priority: list[str]
) -> None:
    card = replace(CARD, threshold=threshold, thresholds=thresholds, priority=tuple(priority))
    by = table(card, replace(CALIBRATION, thresholds={}))
    probabilities = np.array(rows)
    whole = replace(scores(*rows), probabilities=probabilities, finite=np.ones(len(rows), dtype=bool))

    found = decide_labels(whole, by, np.zeros(len(rows), dtype=np.intp))

    assert found.held is not None
    for row in range(len(rows)):
        names = [LABELS[column] for column in in_order(found.held[row], probabilities[row], by)]
        reason = Reason(found.reason[row]).word
        where = target(by, int(found.action[row]), int(found.route[row]))
        assert (reason, where, names) == expected(probabilities[row], card)
