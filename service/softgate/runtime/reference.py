"""The reference of a calibration: counts over fixed edges of what its rows gave, to compare live traffic with."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from softgate.numerics.histogram import Counts, Edges
from softgate.runtime.table import Table
from softgate.types import Action, Reason

MEASURES = ("label_confidence", "label_confidence_deciles", "route_confidence", "margin", "entropy", "energy")


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
    in_scope_confidence: Counts
    """Label confidence of the rows in scope, over the edges of label_confidence."""
    labels: Counts
    """Shape (n_labels,): rows whose most probable label it is."""
    routes: Counts
    decisions: Mapping[str, int]
    """By action and reason, "route confident"."""
    right: Right | None

    def decided(self, action: Action, reason: Reason) -> int:
        """Rows with this decision."""
        return self.decisions.get(f"{action.word} {reason.word}", 0)


def read_reference(table: Table, *, n_labels: int) -> Reference | None:
    """None where there is none. Mistakes are noted in the table."""
    if not list(table.names()):
        return None
    histograms = {name: _histogram(table.table(name)) for name in MEASURES if name in table.names()}
    if "label_confidence" not in histograms:
        table.note("label_confidence", "missing; wanted a table.")
        return None
    whole = histograms["label_confidence"].counts
    decisions = table.table("decisions")
    return Reference(
        rows=table.integer("rows", 0, low=1, high=10**15),
        histograms=histograms,
        in_scope_confidence=_in_scope(table.table("in_scope"), whole),
        labels=_counts(table.numbers("labels", (), low=0, high=10**15, lengths=(n_labels,))),
        routes=_counts(table.numbers("routes", (), low=0, high=10**15)),
        decisions={name: decisions.integer(name, 0, low=0, high=10**15) for name in decisions.names()},
        right=_right(table.table("right")),
    )


def _histogram(table: Table) -> Histogram:
    edges = table.numbers("upper_edges", (), low=-math.inf, high=math.inf)
    if sorted(set(edges)) != list(edges):
        table.note("upper_edges", "wanted numbers that rise.")
    counts = table.numbers("counts", (0,) * (len(edges) + 1), low=0, high=10**15, lengths=(len(edges) + 1,))
    return Histogram(
        upper_edges=np.array(edges, dtype=np.float64),
        counts=_counts(counts),
        mean=table.number("mean", 0.0, low=-math.inf, high=math.inf),
        standard_deviation=table.number("standard_deviation", 0.0, low=0.0, high=math.inf),
    )


def _in_scope(table: Table, whole: Counts) -> Counts:
    """All rows are in scope where nothing says otherwise."""
    given = table.numbers("label_confidence", None, low=0, high=10**15, lengths=(len(whole),))
    return whole if given is None else _counts(given)


def _right(table: Table) -> Right | None:
    if not list(table.names()):
        return None
    return Right(
        rows=table.integer("rows", 0, low=1, high=10**15),
        right=table.integer("right", 0, low=0, high=10**15),
        entropy=table.number("entropy", 0.0, low=-math.inf, high=math.inf),
    )


def _counts(numbers: Sequence[float]) -> Counts:
    return np.array(numbers, dtype=np.intp)
