"""
Predictions as Python values: what an encoder writes and a counter adds.

A value read from an array by itself costs as much as a hundred read together, so a batch is read out once, for all the
requests that share it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softgate.policy.decision import Routing, in_order
from softgate.policy.scoring import MOST_RANKED, Shown
from softgate.types import Action, Candidate, Decisions, Floats, Indices, Reason


class Readout(NamedTuple):
    """One entry per row; those of rows that are not finite hold no meaning, but for the decision's."""

    finite: Sequence[bool]
    shown: Sequence[Sequence[str]] | Indices
    """Labels to show, most probable first; of more than MOST_RANKED classes their columns, (n_rows, n_shown)."""
    probabilities: Sequence[Sequence[float]] | Floats
    """Of the labels shown."""
    label: Sequence[int]
    confidence: Sequence[float]
    margin: Sequence[float]
    entropy: Sequence[float]
    energy: Sequence[float] | None
    sets: Sequence[Sequence[str]] | None
    """The labels of each prediction set, most probable first."""
    action: Sequence[int]
    reason: Sequence[int]
    route: Sequence[int]
    route_confidence: Sequence[float]
    threshold: Sequence[float]
    """NaN where there is none."""
    candidates: Mapping[int, Sequence[Candidate]]
    held: Sequence[Sequence[int]] | None = None
    """Where several labels may hold: those that do, those that count first before the others."""
    first: Sequence[int] | None = None
    first_confidence: Sequence[float] | None = None


def read_out(
    shown: Shown, decisions: Decisions, *, fitted: Floats, names: NDArray[np.object_], routing: Routing
) -> Readout:
    """`fitted`: probabilities at the fitted temperature, whatever is shown. `names`: the labels, shape (n_classes,)."""
    scores, order = shown.scores, shown.order
    rows = np.arange(len(order))[:, None]
    labels: Any = order
    probabilities: Any = scores.probabilities[rows, order]
    if len(names) <= MOST_RANKED:
        labels, probabilities = names[order].tolist(), probabilities.tolist()
    if (shown.keep < order.shape[1]).any():
        keep = shown.keep.tolist()
        labels, probabilities = (
            [values[:n] for values, n in zip(part, keep, strict=True)] for part in (labels, probabilities)
        )
    held = first = first_confidence = None
    if decisions.held is not None and decisions.first is not None:
        held = [in_order(inside, p, routing) for inside, p in zip(decisions.held, fitted, strict=True)]
        first = decisions.first.tolist()
        first_confidence = scores.probabilities[rows[:, 0], decisions.first].tolist()
    return Readout(
        finite=scores.finite.tolist(),
        shown=labels,
        probabilities=probabilities,
        label=scores.label.tolist(),
        confidence=scores.confidence.tolist(),
        margin=scores.margin.tolist(),
        entropy=scores.entropy.tolist(),
        energy=None if scores.energy is None else scores.energy.tolist(),
        sets=None if decisions.sets is None else _members(decisions.sets, scores.probabilities, names),
        action=decisions.action.tolist(),
        reason=decisions.reason.tolist(),
        route=decisions.route.tolist(),
        route_confidence=decisions.confidence.tolist(),
        threshold=decisions.threshold.tolist(),
        candidates=decisions.candidates,
        held=held,
        first=first,
        first_confidence=first_confidence,
    )


def unanswered(n_rows: int, reason: Reason, *, multi_label: bool) -> Readout:
    """Of rows that the graph has not answered: each falls back, and says nothing else."""
    none, zeros = [()] * n_rows, [0] * n_rows
    nans = [math.nan] * n_rows
    return Readout(
        finite=[False] * n_rows,
        shown=none,
        probabilities=none,
        label=zeros,
        confidence=nans,
        margin=nans,
        entropy=nans,
        energy=None,
        sets=None,
        action=[int(Action.FALLBACK)] * n_rows,
        reason=[int(reason)] * n_rows,
        route=zeros,
        route_confidence=nans,
        threshold=nans,
        candidates={},
        held=none if multi_label else None,
        first=zeros if multi_label else None,
        first_confidence=nans if multi_label else None,
    )


def _members(sets: NDArray[np.bool_], probabilities: Floats, names: NDArray[np.object_]) -> Sequence[Sequence[str]]:
    """Sets are mostly small: their members are ranked among themselves."""
    rows, columns = sets.nonzero()
    ranked = names[columns[np.lexsort((-probabilities[rows, columns], rows))]].tolist()
    stops = np.searchsorted(rows, np.arange(len(sets)), side="right").tolist()
    return [ranked[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]
