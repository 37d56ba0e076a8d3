"""
The text that Prometheus reads, made from a template.

Which series there are is known when the models are loaded, so names and labels are written once; a scrape fills in the
numbers.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import numpy as np
import orjson

from softgate.numerics.histogram import Edges
from softgate.types import Floats

Source = TypeVar("Source")
Labels = Mapping[str, str]
# Prometheus's words for what JSON has none for.
_NULL = b"null"
_WORDS = {"nan": b"NaN", "inf": b"+Inf", "-inf": b"-Inf"}

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
        first, *others = [line for family in self._families for line in _lines(family)] or [""]
        self._before = [first.encode(), *(f"\n{line}".encode() for line in others)]
        """What stands before each number, from the end of the line above it on."""

    def fill(self, source: Source) -> bytes:
        """The exposition of what `source` holds now."""
        if not self._families:
            return b""
        values: list[float] = []
        for family in self._families:
            for part in family.parts:
                found = part.values(source)
                values.extend(found.tolist() if isinstance(found, np.ndarray) else found)
        # A quarter of the time that Python takes to write thousands of floats.
        texts = orjson.dumps(values)[1:-1].split(b",")
        for place in _places(_NULL, texts):
            texts[place] = _WORDS[str(values[place])]
        pieces = [b"\n"] * (2 * len(values) + 1)
        pieces[:-1:2] = self._before
        pieces[1::2] = texts
        return b"".join(pieces)


def _places(text: bytes, texts: Sequence[bytes]) -> Iterator[int]:
    place = -1
    with suppress(ValueError):
        while True:
            place = texts.index(text, place + 1)
            yield place


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


def _lines(family: Family[Source]) -> Sequence[str]:
    """Of each series up to its number, the first behind what is said of the family."""
    lines = [f"{family.name}{suffix}{_written(labels)} " for part in family.parts for suffix, labels in part.series]
    lines[0] = f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.kind}\n{lines[0]}"
    return lines


def _written(labels: Labels) -> str:
    if not labels:
        return ""
    pairs = (f'{key}="{_escaped(value)}"' for key, value in sorted(labels.items()))
    return "{" + ",".join(pairs) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
