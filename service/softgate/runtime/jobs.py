"""Requests' rows that wait for the graph, and which of them run next. Pure."""

import math
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

Payload = TypeVar("Payload")
Result = TypeVar("Result")


class Job(Generic[Payload, Result]):
    """One request's rows on their way through the graph."""

    __slots__ = ("done", "expires_at", "group", "left", "n_rows", "payload", "queued_at")

    def __init__(
        self,
        payload: Payload,
        *,
        n_rows: int,
        group: Hashable,
        queued_at: float,
        done: Callable[[Result | BaseException], None],
        expires_at: float = math.inf,
    ) -> None:
        """
        `done` is called with what came of it, on the event loop, and must not raise.

        What has not begun to run when the clock says `expires_at` never does, and fails with DeadlineExceeded.
        """
        self.payload = payload
        self.n_rows = n_rows
        self.group = group
        """Only jobs of one group share a run: same shape, same type."""
        self.queued_at = queued_at
        self.done = done
        self.expires_at = expires_at
        self.left = False
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
