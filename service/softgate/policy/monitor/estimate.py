"""Accuracy without labels: what it is estimated to be, and whether the estimate may be believed."""

from collections.abc import Mapping

import numpy as np

from softgate.numerics.accuracy import atc_estimate, average_confidence, share_shift
from softgate.policy.monitor.board import Watched
from softgate.policy.monitor.detectors import BROKEN, REJECTED, n_answered
from softgate.policy.monitor.told import Estimate
from softgate.types import Action, Floats, Reason

AVERAGE, ATC = "average_confidence", "atc_negative_entropy"
LEAST_ROWS = 100
# Of as many rows past the gate, if no more than at calibration time were out of scope.
_CHANCE = 0.001


def estimators(watched: Watched) -> tuple[str, ...]:
    """Those that the model's calibration allows: none without, none where several labels may hold at once."""
    if watched.reference is None or watched.axes.multi_label:
        return ()
    return (AVERAGE,) if watched.reference.right is None else (AVERAGE, ATC)


def estimates(watched: Watched, counted: Mapping[str, Floats], *, since: float) -> Mapping[str, Estimate]:
    """Of the rows that were counted since a moment, unix time, those of `estimators`; nothing for no rows."""
    n_rows, reference = round(float(counted["label_confidence"].sum())), watched.reference
    if not n_rows or reference is None or watched.axes.multi_label:
        return {}
    values = {AVERAGE: average_confidence(float(counted["sums"][0]), n_rows)}
    whole = np.rint(counted["entropy"]).astype(np.intp)
    # A row that is being counted may not have got there yet.
    if reference.right is not None and whole.sum():
        values[ATC] = atc_estimate(whole, watched.axes.edges["entropy"], reference.right.entropy)
    why_not = _why_not(watched, counted, n_rows, since)
    return {name: Estimate(value, why_not is None, why_not) for name, value in values.items()}


def _why_not(watched: Watched, counted: Mapping[str, Floats], n_rows: int, since: float) -> str | None:
    # Acknowledged or not: the rows are among these.
    alarmed = [
        detector.name
        for detector, state in zip(watched.detectors, watched.states, strict=True)
        if state["alarm"] or (state["latest_at"] and state["latest_at"] >= since)
    ]
    if alarmed:
        return f"alarm: {', '.join(alarmed)}"
    if n_rows < LEAST_ROWS:
        return f"{n_rows} rows; wanted {LEAST_ROWS}"
    calibration, reference = watched.bundle.calibration, watched.reference
    if calibration is None or calibration.gate is None or reference is None:
        return None
    before = reference.decided(Action.ABSTAIN, Reason.OUT_OF_SCOPE)
    decisions = counted["decisions"]
    turned_away, rows = round(float(decisions[REJECTED])), round(n_answered(decisions) - float(decisions[BROKEN]))
    if share_shift(before, reference.rows, turned_away, rows) < _CHANCE:
        return "the gate turns away more rows than at calibration time"
    return None
