"""
One run at a time; the next run takes what has queued up meanwhile.

An idle model runs a request at once, so batching adds no delay unless the card asks for one. A graph that takes less
time than the way to a thread and back runs on the event loop itself, with all that arrived in the same turn of it; so
may a short request of any graph, if it is alone.
`take` decides, the class acts.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from softgate.errors import Overloaded
from softgate.types import Floats

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


class Batcher(Generic[Payload, Result]):
    """Feeds `run` on `executor`, a batch at a time. Not thread-safe: call it from one event loop."""

    def __init__(
        self,
        run: Callable[[Sequence[Job[Payload, Result]]], Sequence[Result | Exception]],
        *,
        executor: Executor,
        clock: Callable[[], float],
        max_rows: int,
        max_queue: int,
        max_delay_seconds: float,
        depth: Floats,
    ) -> None:
        """
        `run` answers for each job, in order, its result or the error that is its own.

        `depth`, shape (1,), is where the number of queued rows is kept, so that a scrape can see it.
        """
        self._run = run
        self._executor: Executor | None = executor
        self._is_short: Callable[[Payload], bool] | None = None
        self._clock = clock
        self._max_rows = max_rows
        self._max_queue = max_queue
        self._max_delay_seconds = max_delay_seconds
        self._queue: deque[Job[Payload, Result]] = deque()
        self._n_queued = 0
        self._running = False
        self._timer: asyncio.Handle | None = None
        self._depth = depth

    def stay_on_loop(self) -> None:
        """From the first run on, `run` is called on the event loop and not on the executor."""
        self._executor = None

    def keep_short_on_loop(self, is_short: Callable[[Payload], bool]) -> None:
        """From the first run on, a job that is alone and short is run there."""
        self._is_short = is_short

    async def submit(self, payload: Payload, *, n_rows: int, group: Hashable) -> Result:
        """The result of `payload`. Raises what `put` raises, and what its run raises."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        job = self.put(payload, n_rows=n_rows, group=group, done=partial(tell, future))
        try:
            return await future
        finally:
            job.left = True

    def put(
        self, payload: Payload, *, n_rows: int, group: Hashable, done: Callable[[Result | BaseException], None]
    ) -> Job[Payload, Result]:
        """The same for a caller who is called back, always later. Raises Overloaded where the queue is full."""
        if self._n_queued and self._n_queued + n_rows > self._max_queue:
            raise Overloaded(
                f"Expected at most {self._max_queue} rows in the queue; "
                f"it holds {self._n_queued}, and {n_rows} more came."
            )
        job: Job[Payload, Result] = Job(payload, n_rows, group, self._clock(), done)
        self._queue.append(job)
        self._count(self._n_queued + n_rows)
        if not self._running:
            self._schedule(asyncio.get_running_loop())
        return job

    def abandon(self, reason: BaseException) -> None:
        """Tell whoever still waits that nothing will come of it; the run under way goes on."""
        self._cancel_timer()
        jobs, self._queue = self._queue, deque()
        self._count(0)
        self._settle(jobs, [reason] * len(jobs))

    def _count(self, n_rows: int) -> None:
        self._n_queued = self._depth[0] = n_rows

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._n_queued < self._max_rows and self._max_delay_seconds > 0.0:
            if self._timer is None:
                self._timer = loop.call_later(self._max_delay_seconds, self._start, loop)
            return
        if self._max_delay_seconds > 0.0:
            self._cancel_timer()
        if self._executor is None or self._is_short is not None:
            self._soon(loop)
        else:
            self._start(loop)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _soon(self, loop: asyncio.AbstractEventLoop) -> None:
        """After everything that this turn of the loop has in hand: other requests have arrived in it too."""
        if self._timer is None:
            self._timer = loop.call_soon(self._start, loop)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._cancel_timer()
        jobs = self._next()
        if not jobs:
            return
        if self._executor is None or self._is_alone_and_short(jobs):
            self._settle(jobs, self._answers(jobs))
            if self._queue:
                self._soon(loop)
            return
        self._running = True
        run = loop.run_in_executor(self._executor, self._answers, jobs)
        run.add_done_callback(lambda finished: self._finish(loop, jobs, finished))

    def _is_alone_and_short(self, jobs: Sequence[Job[Payload, Result]]) -> bool:
        return self._is_short is not None and len(jobs) == 1 and not self._queue and self._is_short(jobs[0].payload)

    def _next(self) -> Sequence[Job[Payload, Result]]:
        """The jobs of the next run, out of the queue; those that nobody waits for leave it too."""
        if len(self._queue) == 1 and not self._queue[0].left:
            self._count(0)
            return [self._queue.popleft()]
        queue = deque(job for job in self._queue if not job.left)
        jobs = take(queue, max_rows=self._max_rows)
        if len(jobs) == len(queue):
            queue.clear()
        else:
            taken = set(map(id, jobs))
            queue = deque(job for job in queue if id(job) not in taken)
        self._queue = queue
        self._count(sum(job.n_rows for job in queue))
        return jobs

    def _answers(self, jobs: Sequence[Job[Payload, Result]]) -> Sequence[Result | BaseException]:
        try:
            return self._run(jobs)
        except BaseException as exc:
            # A panic of a library written in Rust is no Exception, and its callers must not wait for ever.
            return [exc] * len(jobs)

    def _finish(
        self,
        loop: asyncio.AbstractEventLoop,
        jobs: Sequence[Job[Payload, Result]],
        finished: "asyncio.Future[Sequence[Result | BaseException]]",
    ) -> None:
        self._running = False
        self._settle(jobs, finished.result())
        if self._queue:
            self._start(loop)

    def _settle(self, jobs: Iterable[Job[Payload, Result]], results: Iterable[Result | BaseException]) -> None:
        for job, result in zip(jobs, results, strict=True):
            if not job.left:
                job.done(result)


def tell(future: "asyncio.Future[Result]", result: Result | BaseException) -> None:
    """The way from a callback to a coroutine that waits."""
    if future.done():
        # Its caller has just left.
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
