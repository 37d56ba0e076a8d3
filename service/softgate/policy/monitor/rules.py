"""The plain rules: bounds on means and shares, which everybody knows."""

from collections.abc import Mapping, Sequence

import numpy as np

from softgate.policy.monitor.told import Rule
from softgate.runtime.card import MonitoringCard
from softgate.runtime.reference import Histogram, Reference
from softgate.types import Action, Reason

ABOVE, BELOW = "mean_confidence_above", "mean_confidence_below"
NON_FINITE, UNDER, CLARIFY = "non_finite_above", "below_threshold_above", "clarify_above"

LEAST_ROWS = 100
"""A window of fewer rows is not judged; where only finite ones have a say, of fewer of those."""
_OF_ALL_ROWS = {NON_FINITE, CLARIFY}

# Where the reference itself lies beyond a bound, the bound is so far from it.
_APART = 0.05
# A share that the reference knows may grow by so much.
_MORE = 0.15


def bounds(card: MonitoringCard, reference: Reference | None, *, threshold: float | None) -> Mapping[str, float]:
    """The bound of each rule that can be judged; `threshold` is the default profile's, None where there is none."""
    found = {ABOVE: card.mean_confidence_above, BELOW: card.mean_confidence_below, NON_FINITE: card.non_finite_above}
    if reference is not None:
        mean = reference.histograms["label_confidence"].mean
        if mean > found[ABOVE]:
            found[ABOVE] = mean + _APART
        if mean < found[BELOW]:
            found[BELOW] = mean - _APART
    for rule, given, usual in (
        (UNDER, card.below_threshold_above, _share_below(reference, threshold)),
        (CLARIFY, card.clarify_above, _share_of(reference, Action.CLARIFY, Reason.AMBIGUOUS)),
    ):
        if given is not None:
            found[rule] = given
        elif usual is not None:
            found[rule] = min(1.0, usual + _MORE)
    return found


def judge(
    bounds: Mapping[str, float], values: Mapping[str, float], *, rows: float, finite_rows: float
) -> Sequence[Rule]:
    """Each rule that has a value in a window of so many rows."""

    def enough(rule: str) -> bool:
        return (rows if rule in _OF_ALL_ROWS else finite_rows) >= LEAST_ROWS

    return [
        Rule(rule, values[rule], bound, enough(rule) and _is_broken(rule, values[rule], bound))
        for rule, bound in bounds.items()
        if rule in values
    ]


def _is_broken(rule: str, value: float, bound: float) -> bool:
    return value < bound if rule == BELOW else value > bound


def _share_below(reference: Reference | None, threshold: float | None) -> float | None:
    held: Histogram | None = None if reference is None else reference.histograms.get("route_confidence")
    if held is None or threshold is None or held.counts.sum() == 0:
        return None
    # The edge of a threshold is the number before it.
    return float(held.counts[: np.searchsorted(held.upper_edges, threshold)].sum() / held.counts.sum())


def _share_of(reference: Reference | None, action: Action, reason: Reason) -> float | None:
    if reference is None or not reference.rows:
        return None
    return reference.decided(action, reason) / reference.rows
