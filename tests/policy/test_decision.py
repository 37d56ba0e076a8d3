from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from softgate.errors import UnknownProfile
from softgate.numerics.confidence import entropy, margin
from softgate.policy.decision import decide, profile_row, routing, target
from softgate.runtime.calibration import Calibration
from softgate.runtime.card import Profile, RoutingCard
from softgate.types import Action, Candidate, Decisions, Reason, Scores

LABELS = ("transfer", "balance", "weather", "joke")
ROUTES = {"transfer": "banking", "balance": "banking"}


def card(**words: Any) -> RoutingCard:
    base: dict[str, Any] = {"precision": 0.95, "risk": 0.1, "out_of_scope": 0.05, "coverage": 0.95, "clarify": 3}
    base |= {"fallback": "human", "abstain": "bin", "threshold": 0.7, "thresholds": {}, "routes": ROUTES}
    return RoutingCard(**{**base, "priority": (), "profiles": {}, **words})


def calibrated(**words: Any) -> Calibration:
    base: dict[str, Any] = {"temperature": 1.0, "noise": 0.0, "gate": None, "set_quantile": None, "thresholds": {}}
    return Calibration(**{**base, "evidence": {}, "digest": "0" * 64, **words})


def scores(rows: Sequence[Sequence[float]], *, energy: Sequence[float] | None = None) -> Scores:
    probabilities = np.array(rows, dtype=np.float64)
    finite = np.all(np.isfinite(probabilities), axis=1)
    safe = np.where(finite[:, None], probabilities, 0.25)
    return Scores(
        logits=np.log(np.maximum(safe, 1e-300)),
        finite=finite,
        probabilities=safe,
        label=safe.argmax(axis=1),
        confidence=safe.max(axis=1),
        margin=margin(safe),
        entropy=entropy(safe),
        energy=None if energy is None else np.array(energy, dtype=np.float64),
    )


class Decided:
    """One row decided by a card and its calibration."""

    def __init__(
        self,
        row: Sequence[float],
        *,
        by: RoutingCard | None = None,
        calibration: Calibration | None = None,
        energy: float | None = None,
        profile: str | None = None,
    ) -> None:
        table = routing(by or card(), calibration, LABELS)
        row_scores = scores([row], energy=None if energy is None else [energy])
        self.whole: Decisions = decide(row_scores, table, np.array([profile_row(table, profile)]))
        action, route = int(self.whole.action[0]), int(self.whole.route[0])
        self.outcome = (Action(action).word, Reason(self.whole.reason[0]).word, target(table, action, route))
        self.candidate = table.routes[route]
        self.confidence = float(self.whole.confidence[0])
        self.threshold = float(self.whole.threshold[0])
        self.candidates = self.whole.candidates.get(0)


PLAIN = calibrated()
ROUTED = ("route", "confident", "banking")
BELOW = ("fallback", "below_threshold", "human")


def test_two_labels_of_one_route_count_together() -> None:
    decided = Decided([0.45, 0.45, 0.1, 0.0], by=card(threshold=0.9), calibration=PLAIN)

    assert decided.outcome == ROUTED
    assert decided.confidence == 0.9


def test_the_candidate_need_not_hold_the_top_label() -> None:
    decided = Decided([0.3, 0.3, 0.4, 0.0], by=card(threshold=0.6), calibration=PLAIN)

    assert (decided.outcome, decided.candidate) == (ROUTED, "banking")


def test_a_row_at_the_threshold_routes() -> None:
    assert Decided([0.7, 0.0, 0.2, 0.1], calibration=PLAIN).outcome == ROUTED


def test_a_row_just_below_the_threshold_falls_back() -> None:
    decided = Decided([float(np.nextafter(0.7, 0)), 0.0, 0.2, 0.1], calibration=PLAIN)

    assert (decided.outcome, decided.candidate) == (BELOW, "banking")


def test_a_threshold_of_zero_routes_all_and_one_of_one_only_the_certain() -> None:
    assert Decided([0.3, 0.0, 0.4, 0.3], by=card(threshold=0.0), calibration=PLAIN).outcome[0] == "route"
    assert Decided([0.99, 0.0, 0.01, 0.0], by=card(threshold=1.0), calibration=PLAIN).outcome == BELOW
    assert Decided([0.5, 0.5, 0.0, 0.0], by=card(threshold=1.0), calibration=PLAIN).outcome == ROUTED


def test_no_threshold_is_one_that_nothing_reaches() -> None:
    decided = Decided([1.0, 0.0, 0.0, 0.0], by=card(threshold=None), calibration=PLAIN)

    assert decided.outcome == BELOW
    assert np.isnan(decided.threshold)


def test_an_unfamiliar_row_abstains_however_confident() -> None:
    gated = calibrated(gate=2.0)

    assert Decided([1.0, 0.0, 0.0, 0.0], calibration=gated, energy=1.9).outcome == ("abstain", "out_of_scope", "bin")
    assert Decided([1.0, 0.0, 0.0, 0.0], calibration=gated, energy=2.0).outcome == ROUTED


def test_there_is_no_gate_without_an_energy_nor_where_the_calibration_has_none() -> None:
    assert Decided([1.0, 0.0, 0.0, 0.0], calibration=calibrated(gate=2.0)).outcome == ROUTED
    assert Decided([1.0, 0.0, 0.0, 0.0], calibration=PLAIN, energy=-1e9).outcome == ROUTED


def test_an_ambiguous_row_asks_back_and_has_no_target() -> None:
    decided = Decided([0.4, 0.05, 0.5, 0.05], calibration=calibrated(set_quantile=0.6))

    assert decided.outcome == ("clarify", "ambiguous", None)


def test_nobody_is_asked_where_no_answer_could_be_routed() -> None:
    decided = Decided([0.4, 0.05, 0.5, 0.05], by=card(threshold=None), calibration=calibrated(set_quantile=0.6))

    assert (decided.outcome, decided.candidates) == (BELOW, None)


def test_a_confident_row_routes_however_large_its_set() -> None:
    decided = Decided([0.4, 0.3, 0.2, 0.1], calibration=calibrated(set_quantile=0.8))

    assert (decided.outcome, decided.candidates) == (ROUTED, None)
    assert decided.whole.sets is not None
    assert decided.whole.sets.tolist() == [[True, True, True, False]]


def test_an_unfamiliar_row_abstains_before_it_is_ambiguous() -> None:
    decided = Decided([0.4, 0.1, 0.5, 0.0], calibration=calibrated(set_quantile=0.9, gate=0.0), energy=-1.0)

    assert (decided.outcome[0], decided.candidates) == ("abstain", None)


def test_a_set_within_one_route_is_not_ambiguous() -> None:
    decided = Decided([0.35, 0.3, 0.2, 0.15], calibration=calibrated(set_quantile=0.5))

    assert decided.outcome == BELOW


@pytest.mark.parametrize(
    ("clarify", "action"), [(0, "fallback"), (1, "fallback"), (2, "fallback"), (3, "clarify"), (4, "clarify")]
)
def test_a_set_may_span_up_to_clarify_routes(clarify: int, action: str) -> None:
    decided = Decided([0.4, 0.0, 0.3, 0.3], by=card(clarify=clarify), calibration=calibrated(set_quantile=0.7))

    assert decided.outcome[0] == action


def test_candidates_are_the_routes_of_the_set_with_its_labels_the_most_probable_first() -> None:
    decided = Decided([0.125, 0.1875, 0.4375, 0.25], calibration=calibrated(set_quantile=0.75))

    # The set is weather, joke, balance; transfer is none of it, yet it counts for its route.
    assert decided.candidates == (
        Candidate("weather", 0.4375, {"weather": 0.4375}),
        Candidate("banking", 0.3125, {"balance": 0.1875}),
        Candidate("joke", 0.25, {"joke": 0.25}),
    )


def test_labels_of_a_candidate_stand_in_the_order_of_their_probability() -> None:
    decided = Decided([0.125, 0.25, 0.5, 0.125], calibration=calibrated(set_quantile=0.75))

    assert decided.candidates is not None
    assert [(one.route, list(one.labels)) for one in decided.candidates] == [
        ("weather", ["weather"]),
        ("banking", ["balance", "transfer"]),
    ]


def test_a_row_that_is_not_finite_falls_back_before_anything_else() -> None:
    everything = calibrated(gate=100.0, set_quantile=0.9)
    row = [float("nan"), 0.0, 0.0, 1.0]

    for calibration in (everything, PLAIN, None):
        decided = Decided(row, by=card(threshold=0.0), calibration=calibration, energy=0.0)
        assert (decided.outcome, decided.candidates) == (("fallback", "non_finite", "human"), None)


def test_without_a_calibration_a_threshold_decides_and_the_reason_says_so() -> None:
    assert Decided([0.7, 0.0, 0.3, 0.0]).outcome == ("route", "uncalibrated", "banking")
    assert Decided([0.6, 0.0, 0.4, 0.0]).outcome == ("fallback", "uncalibrated", "human")


def test_without_a_calibration_and_a_threshold_all_falls_back() -> None:
    decided = Decided([1.0, 0.0, 0.0, 0.0], by=card(threshold=None))

    assert decided.outcome == ("fallback", "uncalibrated", "human")
    assert np.isnan(decided.threshold)


def test_a_fitted_threshold_counts_where_the_card_has_none() -> None:
    fitted = calibrated(thresholds={"default": 0.5})

    assert Decided([0.5, 0.0, 0.25, 0.25], by=card(threshold=None), calibration=fitted).outcome == ROUTED
    assert Decided([0.4, 0.0, 0.3, 0.3], by=card(threshold=None), calibration=fitted).outcome == BELOW


def test_a_threshold_of_the_card_overrides_the_fitted_one() -> None:
    fitted = calibrated(thresholds={"default": 0.5, "bold": 0.1})
    by = card(threshold=0.7, profiles={"bold": Profile(0.5, 0.1)})

    assert Decided([0.6, 0.0, 0.4, 0.0], by=by, calibration=fitted).threshold == 0.7
    assert Decided([0.6, 0.0, 0.4, 0.0], by=by, calibration=fitted, profile="bold").threshold == 0.7


def test_a_profile_has_the_threshold_fitted_for_it() -> None:
    profiles = {"bold": Profile(0.5, 0.1), "careful": Profile(0.99, 0.1), "new": Profile(0.9, 0.1)}
    fitted = calibrated(thresholds={"default": 0.7, "bold": 0.3, "careful": 0.9})
    by = card(threshold=None, profiles=profiles)
    actions = {
        name: Decided([0.6, 0.2, 0.2, 0.0], by=by, calibration=fitted, profile=name).outcome[0]
        for name in (None, "default", *profiles)
    }

    assert actions == {None: "route", "default": "route", "bold": "route", "careful": "fallback", "new": "fallback"}


def test_a_route_may_have_a_threshold_of_its_own() -> None:
    by = card(threshold=0.7, thresholds={"banking": 0.9, "joke": 0.2})

    assert Decided([0.8, 0.0, 0.2, 0.0], by=by, calibration=PLAIN).outcome == BELOW
    assert Decided([0.2, 0.0, 0.3, 0.5], by=by, calibration=PLAIN).outcome == ("route", "confident", "joke")
    assert Decided([0.1, 0.1, 0.7, 0.1], by=by, calibration=PLAIN).outcome == ("route", "confident", "weather")


def test_a_threshold_fitted_for_a_route_overrides_the_one_fitted_for_all() -> None:
    fitted = calibrated(thresholds={"default": 0.9}, route_thresholds={"default": {"banking": 0.5, "joke": 1.0}})
    by = card(threshold=None)

    assert Decided([0.3, 0.3, 0.4, 0.0], by=by, calibration=fitted).outcome == ROUTED
    assert Decided([0.1, 0.0, 0.0, 0.9], by=by, calibration=fitted).outcome == BELOW
    assert Decided([0.1, 0.0, 0.9, 0.0], by=by, calibration=fitted).outcome == ("route", "confident", "weather")


def test_a_route_may_have_the_only_threshold_there_is() -> None:
    fitted = calibrated(route_thresholds={"default": {"joke": 0.5}})

    assert Decided([0.0, 0.0, 0.5, 0.5], by=card(threshold=None), calibration=fitted).threshold != 0.5
    assert Decided([0.0, 0.0, 0.4, 0.6], by=card(threshold=None), calibration=fitted).threshold == 0.5
    assert np.isnan(Decided([0.9, 0.0, 0.1, 0.0], by=card(threshold=None), calibration=fitted).threshold)


def test_thresholds_of_the_card_override_those_fitted_for_a_route() -> None:
    own = {"banking": 0.2, "joke": 0.3, "weather": 0.4}
    fitted = calibrated(thresholds={"default": 0.1}, route_thresholds={"default": own})

    def thresholds(by: RoutingCard) -> list[float]:
        found: list[float] = routing(by, fitted, LABELS).thresholds[0].tolist()
        return found

    # Banking, weather, joke; the card's by name, the card's, the route's, the pooled one.
    assert thresholds(card(threshold=0.7, thresholds={"joke": 0.8})) == [0.7, 0.7, 0.8]
    assert thresholds(card(threshold=None, thresholds={"joke": 0.8})) == [0.2, 0.4, 0.8]
    own.pop("weather")
    assert thresholds(card(threshold=None)) == [0.2, 0.1, 0.3]


def test_thresholds_of_routes_are_those_of_their_profile() -> None:
    by = card(threshold=None, profiles={"bold": Profile(0.5, 0.1)})
    fitted = calibrated(thresholds={"default": 0.9, "bold": 0.6}, route_thresholds={"bold": {"banking": 0.3}})

    assert routing(by, fitted, LABELS).thresholds.tolist() == [[0.9, 0.9, 0.9], [0.3, 0.6, 0.6]]


def test_a_set_of_another_score_holds_what_is_probable_enough() -> None:
    decided = Decided([0.3, 0.05, 0.6, 0.05], calibration=calibrated(set_score="lac", set_quantile=0.75))

    assert decided.outcome == ("clarify", "ambiguous", None)
    assert decided.candidates is not None
    assert [one.labels for one in decided.candidates] == [{"weather": 0.6}, {"transfer": 0.3}]


def test_an_empty_set_asks_nothing() -> None:
    decided = Decided([0.3, 0.2, 0.4, 0.1], calibration=calibrated(set_score="lac", set_quantile=0.5))

    assert decided.whole.sets is not None
    assert not decided.whole.sets.any()
    assert (decided.outcome, decided.candidates) == (BELOW, None)


def test_every_label_may_have_a_quantile_of_its_own() -> None:
    quantiles = (0.5, 1.0, 0.5, 0.75)
    decided = Decided([0.3, 0.05, 0.4, 0.25], calibration=calibrated(set_score="lac", set_quantile=quantiles))

    assert decided.whole.sets is not None
    assert decided.whole.sets.tolist() == [[False, True, False, True]]
    assert decided.outcome == ("clarify", "ambiguous", None)


def test_a_label_without_a_route_is_its_own() -> None:
    table = routing(card(routes={}), None, LABELS)

    assert list(table.routes) == list(LABELS)


def test_an_unknown_profile_is_refused_with_those_there_are() -> None:
    table = routing(card(profiles={"bold": Profile(0.5, 0.1)}), None, LABELS)

    with pytest.raises(UnknownProfile, match=r"^Expected a profile of the card: default, bold\.$"):
        profile_row(table, "<script>")


def test_rows_of_one_batch_may_have_a_profile_each() -> None:
    fitted = calibrated(thresholds={"default": 0.7, "bold": 0.3})
    table = routing(card(threshold=None, profiles={"bold": Profile(0.5, 0.1)}), fitted, LABELS)

    decisions = decide(scores([[0.5, 0.0, 0.5, 0.0]] * 2), table, np.array([0, 1]))

    assert decisions.action.tolist() == [Action.FALLBACK, Action.ROUTE]
