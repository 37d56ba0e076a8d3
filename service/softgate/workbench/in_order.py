"""
Rows in batches of like length, answered on several threads and handed back in their own order.

A batch is as wide as its longest row, so short rows among long ones cost as much as those. Within a window of rows they
are sorted, and no more than a few windows are ever held.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

Row = TypeVar("Row")
Answer = TypeVar("Answer")

# Windows on their way while the next is read: none of the threads runs out of batches at the end of one.
N_AHEAD = 1


@dataclass(frozen=True, slots=True)
class Sizes:
    batch: int
    """Rows that are answered together."""
    window: int
    """Rows that are sorted together."""
    window_bytes: int
    """Most of a window of more than one row."""


def windows(rows: Iterable[tuple[Row, int]], sizes: Sizes) -> Iterator[list[Row]]:
    """`rows` with their sizes in bytes, in lists that are as long as they may be."""
    window: list[Row] = []
    held = 0
    for row, size in rows:
        if window and (len(window) == sizes.window or held + size > sizes.window_bytes):
            yield window
            window, held = [], 0
        window.append(row)
        held += size
    if window:
        yield window


def by_length(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Indices in groups of at most `size`, of neighbours by length; the longest first, so that none is waited for."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    return [order[start : start + size] for start in range(0, len(order), size)]


class InOrder(Generic[Row, Answer]):
    """Answers rows on threads. `answer` and `lengths` are given rows and return as many values."""

    def __init__(
        self,
        answer: Callable[[Sequence[Row]], Sequence[Answer]],
        lengths: Callable[[Sequence[Row]], Sequence[int]],
        *,
        sizes: Sizes,
        threads: int,
    ) -> None:
        self._answer = answer
        self._lengths = lengths
        self._sizes = sizes
        self._threads = threads

    def run(self, rows: Iterable[tuple[Row, int]]) -> Iterator[list[Answer]]:
        """The answers, a window at a time. Raises what `rows` and `answer` raise."""
        pool = ThreadPoolExecutor(self._threads)
        try:
            waiting: deque[list[tuple[list[int], Future[Sequence[Answer]]]]] = deque()
            for window in windows(rows, self._sizes):
                waiting.append(self._submit(pool, window))
                if len(waiting) > N_AHEAD:
                    yield _collected(waiting.popleft())
            while waiting:
                yield _collected(waiting.popleft())
        finally:
            pool.shutdown(cancel_futures=True)

    def _submit(
        self, pool: ThreadPoolExecutor, window: Sequence[Row]
    ) -> list[tuple[list[int], "Future[Sequence[Answer]]"]]:
        parts = by_length(self._lengths(window), self._sizes.batch)
        return [(part, pool.submit(self._answer, [window[index] for index in part])) for part in parts]


def _collected(parts: "Iterable[tuple[list[int], Future[Sequence[Answer]]]]") -> list[Answer]:
    answers = {index: answer for part, future in parts for index, answer in zip(part, future.result(), strict=True)}
    return [answers[index] for index in range(len(answers))]
