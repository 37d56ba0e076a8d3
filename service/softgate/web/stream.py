"""The answer to one stream of lines, a batch at a time: a prediction for each row, or why there is none."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from softgate.errors import BodyTooLarge, DeadlineExceeded, MalformedBody, Overloaded, SoftgateError
from softgate.policy.batch import Part
from softgate.policy.classifier import Classifier
from softgate.runtime.lines import Line
from softgate.types import Predictions, View
from softgate.web import errors
from softgate.web.metrics.layout import WebCounts
from softgate.web.protocols.native import decode_query, decode_row, view_of
from softgate.web.protocols.predictions import encode_line, encode_lines

# A queue that is full has some hundred rows to go.
RETRY_SECONDS = 0.05

Noted = Callable[[Exception], object]
"""Counts an error, and logs it where it is our fault."""
Found: TypeAlias = "list[tuple[Sequence[Row], Predictions | SoftgateError]]"
"""What became of rows, all of a batch."""


@dataclass(frozen=True, slots=True)
class Row:
    line: int
    value: Any


@dataclass(frozen=True, slots=True)
class Asked:
    """What the query string says, for all lines."""

    view: View
    profile: str | None
    with_logits: bool


@dataclass(frozen=True, slots=True)
class Waiting:
    """Of a batch for the graph, by the clock."""

    since: float
    until: float

    def in_vain(self, now: float) -> DeadlineExceeded:
        return DeadlineExceeded(
            "Expected to reach the graph before the request's deadline; "
            f"{(now - self.since) * 1000:.0f} ms in the queue were too long."
        )


class Stream:
    """The answers to one request's lines."""

    def __init__(
        self,
        classifier: Classifier,
        asked: Asked,
        turn: asyncio.Lock,
        counts: WebCounts,
        *,
        clock: Callable[[], float],
        seconds: float,
        max_line_bytes: int,
        noted: Noted,
    ) -> None:
        """`seconds`: so long may a batch wait for the graph, from when its lines are there."""
        self._classifier = classifier
        self._asked = asked
        self._turn = turn
        self._counts = counts
        self._clock = clock
        self._seconds = seconds
        self._max_line_bytes = max_line_bytes
        self._noted = noted
        self._logged: set[str] = set()

    async def answer(self, batch: Sequence[Line]) -> bytes:
        """The lines that answer those of `batch`, in their order."""
        started = self._clock()
        told: dict[int, bytes] = {}
        rows = []
        for line in batch:
            try:
                rows.append(Row(line.number, self._value(line.content)))
            except SoftgateError as exc:
                told[line.number] = self._refusal(line.number, exc)
        if rows:
            parts = await self._in_turn(rows, Waiting(started, started + self._seconds))
            # The next batch is in the graph before this one is encoded.
            await asyncio.sleep(0)
            for part, found in parts:
                told.update(zip((row.line for row in part), self._told(part, found), strict=True))
            n_predicted = sum(len(found) for _, found in parts if isinstance(found, Predictions))
            self._classifier.monitor.request(rows=n_predicted, seconds=self._clock() - started)
        return b"".join(told[line.number] for line in batch)

    def _value(self, content: bytes | None) -> Any:
        if content is None:
            raise BodyTooLarge(f"Expected a line of at most {self._max_line_bytes} bytes; got more.")
        return decode_row(content, self._classifier.model.input.row)

    async def _in_turn(self, rows: Sequence[Row], waiting: Waiting) -> Found:
        try:
            async with asyncio.timeout(waiting.until - self._clock()):
                await self._turn.acquire()
        except TimeoutError:
            return [(rows, waiting.in_vain(self._clock()))]
        try:
            return await self._predicted(rows, waiting)
        finally:
            self._turn.release()

    async def _predicted(self, rows: Sequence[Row], waiting: Waiting) -> Found:
        """Rows that cannot be predicted together are tried by halves, until those that cannot at all stand alone."""
        try:
            return [(rows, await self._predict([row.value for row in rows], waiting))]
        except SoftgateError as exc:
            if len(rows) == 1 or isinstance(exc, DeadlineExceeded):
                return [(rows, exc)]
        middle = len(rows) // 2
        halves = (self._predicted(half, waiting) for half in (rows[:middle], rows[middle:]))
        first, second = await asyncio.gather(*halves)
        return [*first, *second]

    async def _predict(self, values: Sequence[Any], waiting: Waiting) -> Predictions:
        rows = self._classifier.check(values)
        while (now := self._clock()) < waiting.until:
            with suppress(Overloaded):
                return await self._classifier.predict(rows, profile=self._asked.profile, expires_at=waiting.until)
            await asyncio.sleep(min(RETRY_SECONDS, waiting.until - now))
        raise waiting.in_vain(now)

    def _told(self, rows: Sequence[Row], found: Predictions | SoftgateError) -> Iterable[bytes]:
        if isinstance(found, SoftgateError):
            return [self._refusal(row.line, found) for row in rows]
        return encoded(self._classifier, found, self._asked, lines=[row.line for row in rows])

    def _refusal(self, line: int, exc: SoftgateError) -> bytes:
        problem = errors.problem(exc)
        if problem.status < 500 or problem.code in self._logged:
            self._counts.error(problem.code)
        else:
            # A graph that fails on every line is one fault, and one line of the log.
            self._logged.add(problem.code)
            self._noted(exc)
        return refusal(line, problem.code, problem.detail)


def asked(query: bytes, classifier: Classifier) -> Asked:
    """Raises InvalidInput for what some line could not be answered with."""
    found = decode_query(query)
    if found.id is not None:
        raise MalformedBody("In the query: Expected no id: the answers stand in the order of the lines.")
    view = view_of(found)
    # The profile and the view are tried on a row, so that a mistake is told before any line is.
    trial = classifier.replay(np.zeros((1, len(classifier.labels))), profile=found.profile)
    classifier.show(trial, view)
    return Asked(view, found.profile, found.logits)


def encoded(classifier: Classifier, predictions: Predictions, asked: Asked, *, lines: Sequence[int]) -> Sequence[bytes]:
    """A line for each row; `lines`, the rows' numbers, make each draw of its own where labels are drawn."""
    view = asked.view
    whole = Part.whole(classifier, predictions)
    if view.select != "sample":
        return encode_lines(classifier, whole, view, with_logits=asked.with_logits)
    assert view.seed is not None, "One is drawn where none is asked for."
    told: list[bytes] = []
    for row, line in enumerate(lines):
        seeded = replace(view, seed=view.seed + line)
        told += encode_lines(classifier, Part(whole.batch, row, row + 1), seeded, with_logits=asked.with_logits)
    return told


def refusal(line: int, code: str, detail: str) -> bytes:
    """The line that stands for a row without a prediction."""
    return encode_line({"line": line, "code": code, "detail": detail})
