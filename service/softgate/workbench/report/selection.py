"""What of the evidence is worth a reader's time: the worst classes, the uncertainty of a share, filled bins."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from softgate.workbench.report.subject import Part, Subject

# Of a normal distribution: two-sided 95 %.
NORMAL_QUANTILE = 1.959964
MAX_SIZE = 10


@dataclass(frozen=True, slots=True)
class ClassRow:
    label: str
    rows: int
    recall: float
    highest: float
    """The upper end of the recall's interval: what it may be at best."""
    precision: float | None
    confidence: float | None
    f1: float | None
    threshold: float | None


def share_interval(share: float, rows: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of so many rows."""
    if rows <= 0:
        return 0.0, 1.0
    square = NORMAL_QUANTILE**2
    middle = (share + square / (2 * rows)) / (1 + square / rows)
    half = NORMAL_QUANTILE / (1 + square / rows) * math.sqrt(share * (1 - share) / rows + square / (4 * rows**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def worst_classes(classes: Part, limit: int) -> Sequence[ClassRow]:
    """
    Those with a missed row, worst first, by the best that their recall may be.

    So that a class of two rows, one of them missed, does not stand above one of 200 rows, 90 of them missed.
    """
    labels: Sequence[str] = classes.get("label") or ()
    absent = [None] * len(labels)
    columns = zip(labels, *(classes.get(name) or absent for name in COLUMNS), strict=True)
    found = [
        ClassRow(label, rows, recall, share_interval(recall, rows)[1], *others)
        for label, rows, recall, *others in columns
        if rows and recall is not None and recall < 1
    ]
    return sorted(found, key=lambda row: (row.highest, row.recall, row.label))[:limit]


def recalls(classes: Part) -> Sequence[float]:
    return [recall for recall in classes.get("recall") or () if recall is not None]


def unseen(classes: Part) -> int:
    """Classes without a row: nothing is known of them."""
    return sum(rows == 0 for rows in classes.get("rows") or ())


def edges_and_counts(edges: Sequence[float], counts: Sequence[float]) -> tuple[list[float], list[float]]:
    """Every bin with both its ends: the first, and one above the last edge, are given the width of their neighbour."""
    width = edges[1] - edges[0] if len(edges) > 1 else 1.0
    ends = [edges[0] - width, *edges]
    return (ends if len(counts) == len(edges) else [*ends, ends[-1] + width]), list(counts)


def set_sizes(sizes: Sequence[int]) -> list[tuple[str, float]]:
    """Share of the rows by size of their set, the last for all that are larger; empty ends are left out."""
    total = sum(sizes) or 1
    sizes = [*sizes[: MAX_SIZE + 1], sum(sizes[MAX_SIZE + 1 :])] if len(sizes) > MAX_SIZE + 2 else sizes
    names = [*map(str, range(len(sizes) - 1)), f"> {len(sizes) - 2}"]
    filled = [place for place, rows in enumerate(sizes) if rows]
    first, last = (min(filled[0], 1), filled[-1]) if filled else (1, 1)
    return [(names[place], sizes[place] / total) for place in range(first, last + 1)]


def kept(promise: Part) -> Sequence[Part]:
    """The thresholds that a promise stands behind: the pooled one, and those of routes by themselves."""
    found = (promise, *(promise.get("routes") or {}).values())
    return [part for part in found if part.get("threshold") is not None and part.get("accepted")]


def operating_point(subject: Subject, threshold: float) -> tuple[float, float] | None:
    """Coverage and precision of the curve at a threshold."""
    curve = subject.part("risk_coverage")
    points = zip(curve.get("threshold", ()), curve.get("coverage", ()), curve.get("precision", ()), strict=True)
    accepted = [point for point in points if None not in point and point[0] >= threshold]
    return max(accepted, key=lambda point: point[1])[1:] if accepted else None


COLUMNS = ("rows", "recall", "precision", "confidence", "f1", "thresholds")
