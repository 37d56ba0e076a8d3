"""Requests' rows that wait for the graph, and which of them run next. Pure."""

import math
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

Payload = TypeVar("Payload")
Result = TypeVar("Result")


@dataclass(slots=True, eq=False)
class Job(Generic[Payload, Result]):
    """One request's rows on their way through the graph."""

    payload: Payload
    n_rows: int
    group: Hashable
    """Only jobs of one group share a run: same shape, same type."""
    queued_at: float
    done: Callable[[Result | BaseException], None]
    """Called with what came of it, on the event loop. Must not raise."""
    expires_at: float = math.inf
    """By the clock: what has not begun to run by then never does, and fails with DeadlineExceeded."""
    left: bool = False
    """Nobody waits for it any more: it need not run, and `done` is not called."""


def take(queue: Iterable[Job[Payload, Result]], *, max_rows: int) -> list[Job[Payload, Result]]:
    """
    The jobs of the next run: the oldest, and after it all of its group, oldest first, that fit in `max_rows`.

    The oldest is taken even where it alone exceeds `max_rows`, so no request waits for ever.
    """
    taken: list[Job[Payload, Result]] = []
    rows = 0
    for job in queue:
        if taken and (job.group != taken[0].group or rows + job.n_rows > max_rows):
            continue
        taken.append(job)
        rows += job.n_rows
        if rows >= max_rows:
            break
    return taken


def sift(
    queue: Iterable[Job[Payload, Result]], *, now: float
) -> tuple[deque[Job[Payload, Result]], list[Job[Payload, Result]]]:
    """Those that still wait, and those that have expired, in order; those that were left are neither."""
    waiting: deque[Job[Payload, Result]] = deque()
    expired: list[Job[Payload, Result]] = []
    for job in queue:
        if not job.left:
            (waiting if now < job.expires_at else expired).append(job)
    return waiting, expired
