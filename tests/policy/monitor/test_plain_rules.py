from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graphs import linear, write_model
from softgate.policy.monitor import rules
from softgate.policy.monitor.rules import bounds, judge
from softgate.policy.monitor.told import Rule
from softgate.runtime.card import MonitoringCard
from softgate.runtime.reference import Histogram, Reference
from softgate.runtime.repository import read_bundle
from watched import Fleet, logits, referenced

CARD = MonitoringCard(
    alarm_every=10_000,
    mean_confidence_above=0.95,
    mean_confidence_below=0.20,
    non_finite_above=0.001,
    below_threshold_above=None,
    clarify_above=None,
)
ABOVE, BELOW = "mean_confidence_above", "mean_confidence_below"
NON_FINITE, UNDER, CLARIFY = "non_finite_above", "below_threshold_above", "clarify_above"


def reference(mean: float = 0.8) -> Reference:
    """100 rows: 10 clarify, 30 have a route confidence below 0.7 and 20 above 0.9."""
    edges = np.array([0.5, np.nextafter(0.7, 0.0), 0.9])
    return Reference(
        rows=100,
        histograms={
            "label_confidence": Histogram(np.array([1.0]), np.array([100, 0]), mean, 0.1),
            "route_confidence": Histogram(edges, np.array([10, 20, 50, 20]), 0.8, 0.1),
        },
        in_scope_confidence=np.array([100, 0]),
        labels=np.array([100]),
        routes=np.array([100]),
        decisions={"clarify ambiguous": 10, "route confident": 90},
        right=None,
    )


def broken(rule: str, value: float, **rows: float) -> bool:
    found = bounds(CARD, reference(), threshold=0.7)
    (told,) = judge({rule: found[rule]}, {rule: value}, **{"rows": 1000, "finite_rows": 1000, **rows})
    return told.broken


def test_without_a_reference_the_bounds_are_the_card_s() -> None:
    assert bounds(CARD, None, threshold=0.7) == {ABOVE: 0.95, BELOW: 0.20, NON_FINITE: 0.001}


def test_shares_may_grow_by_fifteen_hundredths_over_the_reference_s() -> None:
    assert bounds(CARD, reference(), threshold=0.7) == pytest.approx(
        {ABOVE: 0.95, BELOW: 0.20, NON_FINITE: 0.001, UNDER: 0.45, CLARIFY: 0.25}
    )


def test_a_row_at_the_threshold_is_not_below_it() -> None:
    assert bounds(CARD, reference(), threshold=0.5)[UNDER] == pytest.approx(0.15)
    assert bounds(CARD, reference(), threshold=0.9)[UNDER] == pytest.approx(0.45)
    assert bounds(CARD, reference(), threshold=0.91)[UNDER] == pytest.approx(0.95)


def test_a_share_s_bound_is_at_most_all_rows() -> None:
    assert bounds(CARD, replace(reference(), decisions={"clarify ambiguous": 95}), threshold=None)[CLARIFY] == 1.0


def test_what_the_card_states_comes_first() -> None:
    card = replace(CARD, below_threshold_above=0.01, clarify_above=0.02, mean_confidence_above=0.9)

    found = bounds(card, reference(), threshold=0.7)

    assert (found[UNDER], found[CLARIFY], found[ABOVE]) == (0.01, 0.02, 0.9)


@pytest.mark.parametrize(
    ("mean", "above", "below"),
    [(0.96, 1.01, 0.20), (0.95, 0.95, 0.20), (0.2, 0.95, 0.20), (0.19, 0.95, 0.14), (0.03, 0.95, -0.02)],
)
def test_a_bound_that_the_reference_is_beyond_is_that_far_from_it(mean: float, above: float, below: float) -> None:
    found = bounds(CARD, reference(mean), threshold=None)

    assert (found[ABOVE], found[BELOW]) == pytest.approx((above, below))


def test_without_a_threshold_no_share_is_below_it() -> None:
    assert UNDER not in bounds(CARD, reference(), threshold=None)


@pytest.mark.parametrize(
    ("rule", "well", "ill"),
    [
        (ABOVE, 0.95, 0.951),
        (BELOW, 0.20, 0.199),
        (NON_FINITE, 0.001, 0.0011),
        (UNDER, 0.449, 0.451),
        (CLARIFY, 0.249, 0.251),
    ],
)
def test_a_rule_is_broken_beyond_its_bound_and_not_at_it(rule: str, well: float, ill: float) -> None:
    assert not broken(rule, well)
    assert broken(rule, ill)


@pytest.mark.parametrize(("rule", "ill"), [(ABOVE, 1.0), (BELOW, 0.0), (NON_FINITE, 1.0), (UNDER, 1.0), (CLARIFY, 1.0)])
def test_a_window_of_few_rows_breaks_none(rule: str, ill: float) -> None:
    assert not broken(rule, ill, rows=99, finite_rows=99)
    assert broken(rule, ill, rows=100, finite_rows=100)


@pytest.mark.parametrize(("rule", "ill"), [(ABOVE, 1.0), (BELOW, 0.0), (UNDER, 1.0)])
def test_few_finite_rows_among_many_break_none(rule: str, ill: float) -> None:
    assert not broken(rule, ill, rows=10_000, finite_rows=99)


def test_a_rule_without_a_value_is_left_out() -> None:
    assert judge({ABOVE: 0.95, CLARIFY: 0.2}, {CLARIFY: 0.1}, rows=200, finite_rows=200) == [
        Rule(CLARIFY, 0.1, 0.2, broken=False)
    ]


def told(fleet: Fleet) -> dict[str, Rule]:
    return {rule.rule: rule for rule in fleet.window().rules}


def test_rules_of_live_rows_are_their_means_and_shares(tmp_path: Path) -> None:
    fleet = Fleet(referenced(tmp_path / "toy", logits(1000), thresholds={"default": 0.7}, set_quantile=0.9, gate=0.0))
    rows = logits(400, scale=2.0, seed=1)
    rows[:4, 0] = np.nan
    answers = fleet.answer(rows)
    finite, decisions = answers.scores.finite, answers.decisions

    found = told(fleet)

    assert found[ABOVE].value == pytest.approx(answers.scores.confidence[finite].mean()) == found[BELOW].value
    assert found[NON_FINITE].value == 0.01
    assert found[UNDER].value == (decisions.confidence[finite] < 0.7).mean()
    assert found[CLARIFY].value == (decisions.action == 1).mean() > 0
    assert {rule for rule in found if found[rule].broken} == {NON_FINITE, UNDER, CLARIFY}


def test_the_reference_s_own_rows_break_no_rule(tmp_path: Path) -> None:
    rows = logits(1000)
    fleet = Fleet(referenced(tmp_path / "toy", rows, thresholds={"default": 0.7}, set_quantile=0.9))
    fleet.answer(rows)

    found = told(fleet)

    assert not any(rule.broken for rule in found.values())
    assert found[UNDER].bound == pytest.approx(found[UNDER].value + 0.15)
    assert found[CLARIFY].bound == pytest.approx(found[CLARIFY].value + 0.15)


def test_a_model_without_a_calibration_has_the_rules_of_its_card(tmp_path: Path) -> None:
    fleet = Fleet(read_bundle(write_model(tmp_path / "toy", linear(np.eye(4, dtype=np.float32)), routing="")))
    fleet.answer(np.zeros((100, 4)))

    found = told(fleet)

    assert {rule: found[rule].value for rule in found} == {
        ABOVE: 0.25,
        BELOW: 0.25,
        NON_FINITE: 0.0,
    }
    assert rules.LEAST_ROWS == 100
    fleet.answer(np.full((300, 4), np.nan))
    assert told(fleet)[NON_FINITE].broken


def test_a_live_row_at_the_threshold_is_not_below_it(tmp_path: Path) -> None:
    fleet = Fleet(referenced(tmp_path / "toy", logits(200), thresholds={"default": 0.25}))
    fleet.answer(np.zeros((10, 4)))

    assert told(fleet)[UNDER].value == 0


def test_a_window_without_rows_has_no_rules(tmp_path: Path) -> None:
    fleet = Fleet(referenced(tmp_path / "toy", logits(100)))

    assert told(fleet) == {}
