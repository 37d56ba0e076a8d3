"""
The text that Prometheus reads, made from a template.

Which series there are is known when the models are loaded, so names and labels are written once; a scrape fills in the
numbers.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import numpy as np

from softgate.numerics.histogram import Edges
from softgate.types import Floats

Source = TypeVar("Source")
Labels = Mapping[str, str]
# Python's own words for these are not Prometheus's.
_WORDS = {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Part(Generic[Source]):
    """Series of one family whose values are read together: for each its suffix and labels."""

    series: Sequence[tuple[str, Labels]]
    values: Callable[[Source], Iterable[float]]


@dataclass(frozen=True, slots=True)
class Family(Generic[Source]):
    """Series of one name. That of a counter ends in `_total`."""

    name: str
    kind: Kind
    help: str
    parts: Sequence[Part[Source]]


class Template(Generic[Source]):
    def __init__(self, families: Sequence[Family[Source]]) -> None:
        self._families = [family for family in families if any(part.series for part in family.parts)]
        self._text = "".join(map(_text, self._families))

    def fill(self, source: Source) -> bytes:
        """The exposition of what `source` holds now."""
        values: list[Any] = []
        for family in self._families:
            for part in family.parts:
                found = part.values(source)
                values.extend(found.tolist() if isinstance(found, np.ndarray) else found)
        if not math.isfinite(math.fsum(values)):
            values = [value if math.isfinite(value) else _WORDS[str(value)] for value in values]
        return (self._text % tuple(values)).encode()


def one(labels: Labels, value: Callable[[Source], float]) -> Part[Source]:
    """A single series."""
    return Part([("", labels)], lambda source: (float(value(source)),))


def each(labels: Labels, key: str, names: Iterable[str], values: Callable[[Source], Iterable[float]]) -> Part[Source]:
    """A series for each of the names."""
    return Part([("", {**labels, key: name}) for name in names], values)


def histogram(
    labels: Labels, edges: Edges, counts: Callable[[Source], Floats], total: Callable[[Source], float]
) -> Part[Source]:
    """Cumulative buckets, sum and count, of counts of shape (n_edges + 1,)."""
    bounds = [*map(repr, edges.tolist()), "+Inf"]

    def values(source: Source) -> Iterable[float]:
        cumulated = np.cumsum(counts(source), dtype=np.float64)
        return [*cumulated.tolist(), float(total(source)), float(cumulated[-1])]

    series = [("_bucket", {**labels, "le": bound}) for bound in bounds]
    return Part([*series, ("_sum", labels), ("_count", labels)], values)


def _text(family: Family[Source]) -> str:
    lines = [f"# HELP {family.name} {family.help}\n", f"# TYPE {family.name} {family.kind}\n"]
    lines += [
        f"{family.name}{suffix}{_written(labels)}".replace("%", "%%") + " %s\n"
        for part in family.parts
        for suffix, labels in part.series
    ]
    return "".join(lines)


def _written(labels: Labels) -> str:
    if not labels:
        return ""
    pairs = (f'{key}="{_escaped(value)}"' for key, value in sorted(labels.items()))
    return "{" + ",".join(pairs) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
