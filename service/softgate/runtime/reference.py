"""The reference of a calibration: counts over fixed edges of what its rows gave, to compare live traffic with."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from softgate.numerics.histogram import Counts, Edges
from softgate.runtime.table import MISSING, Table
from softgate.types import Action, Reason

MEASURES = ("label_confidence", "label_confidence_deciles", "route_confidence", "margin", "entropy", "energy")

# Sums of them are exact in every type they meet.
_MOST = 10**15
_DECISIONS = {f"{action.word} {reason.word}" for action in Action for reason in Reason}


@dataclass(frozen=True, slots=True)
class Histogram:
    upper_edges: Edges
    counts: Counts
    """Shape (n_edges + 1,)."""
    mean: float
    standard_deviation: float


@dataclass(frozen=True, slots=True)
class Right:
    """How many of the reference's rows in scope got the true label, for estimates of accuracy."""

    rows: int
    right: int
    entropy: float
    """At or below it lies the same share of them as was right."""


@dataclass(frozen=True, slots=True)
class Reference:
    rows: int
    histograms: Mapping[str, Histogram]
    """By measure, see MEASURES; not all of them need be there."""
    in_scope_confidence: Counts | None
    """Label confidence of the rows in scope, over the edges of label_confidence; None: it is not told apart."""
    labels: Counts
    """Shape (n_labels,): rows whose most probable label it is."""
    routes: Counts
    decisions: Mapping[str, int]
    """By action and reason, "route confident"."""
    right: Right | None

    def decided(self, action: Action, reason: Reason) -> int:
        """Rows with this decision."""
        return self.decisions.get(f"{action.word} {reason.word}", 0)


def read_reference(table: Table, *, n_labels: int, all_in_scope: bool) -> Reference | None:
    """None where there is none. Mistakes are noted in the table; with any, what is returned has no meaning."""
    if not list(table.names()):
        return None
    if "label_confidence" not in table.names():
        table.note("label_confidence", "missing; wanted a table.")
        return None
    rows = table.integer("rows", low=1, high=_MOST)
    histograms = {name: _histogram(table.table(name), rows) for name in MEASURES if name in table.names()}
    whole = histograms["label_confidence"].counts
    entropy = histograms["entropy"].upper_edges if "entropy" in histograms else np.empty(0)
    return Reference(
        rows=rows,
        histograms=histograms,
        in_scope_confidence=_in_scope(table.table("in_scope"), whole, all_in_scope=all_in_scope),
        labels=_counts(table, "labels", n_labels, rows),
        routes=_counts(table, "routes", None, rows),
        decisions=_decisions(table, rows),
        right=_right(table.table("right"), entropy),
    )


def _histogram(table: Table, rows: Any) -> Histogram:
    edges = table.numbers("upper_edges", low=-math.inf, high=math.inf)
    if edges is not MISSING and (not edges or sorted(set(edges)) != list(edges)):
        table.note("upper_edges", "wanted one number or more, rising.")
    return Histogram(
        upper_edges=np.array(() if edges is MISSING else edges, dtype=np.float64),
        counts=_counts(table, "counts", None if edges is MISSING else len(edges) + 1, rows),
        mean=table.number("mean", low=-math.inf, high=math.inf),
        standard_deviation=table.number("standard_deviation", low=0.0, high=math.inf),
    )


def _counts(table: Table, key: str, length: int | None, rows: Any) -> Counts:
    """A count for each of so many bins or categories, of all rows together."""
    found = table.numbers(key, low=0, high=_MOST, lengths=None if length is None else (length,))
    if found is MISSING:
        return np.zeros(length or 0, dtype=np.intp)
    if any(number != int(number) for number in found):
        table.note(key, "wanted whole numbers.")
    elif rows is not MISSING and sum(found) != rows:
        table.note(key, f"got {int(sum(found))} in all, wanted the {rows} rows.")
    return np.array(found, dtype=np.intp)


def _in_scope(table: Table, whole: Counts, *, all_in_scope: bool) -> Counts | None:
    if not list(table.names()):
        return whole if all_in_scope else None
    given = _counts(table, "label_confidence", len(whole), MISSING)
    if given.sum() == 0 or (given > whole).any():
        table.note("label_confidence", "wanted at least one row, and in no bin more than there are.")
    return given


def _decisions(table: Table, rows: Any) -> Mapping[str, int]:
    if "decisions" not in table.names():
        table.note("decisions", "missing; wanted a table.")
    decisions = table.table("decisions")
    found = {name: decisions.integer(name, 0, low=0, high=_MOST) for name in decisions.names()}
    for name in found.keys() - _DECISIONS:
        decisions.note(name, "unknown; wanted an action and a reason.")
    if rows is not MISSING and sum(found.values()) != rows:
        table.note("decisions", f"got {sum(found.values())} in all, wanted the {rows} rows.")
    return found


def _right(table: Table, entropy: Edges) -> Right | None:
    if not list(table.names()):
        return None
    right = Right(
        rows=table.integer("rows", low=1, high=_MOST),
        right=table.integer("right", low=0, high=_MOST),
        entropy=table.number("entropy", low=-math.inf, high=math.inf),
    )
    if MISSING not in (right.rows, right.right) and right.right > right.rows:
        table.note("right", f"got {right.right}, wanted at most the {right.rows} rows.")
    if right.entropy is not MISSING and right.entropy not in entropy:
        table.note("entropy", f"got {right.entropy}, wanted one of the upper edges of entropy.")
    return right
