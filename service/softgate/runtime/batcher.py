"""
As many runs at a time as pay, mostly one; the next takes what has queued up meanwhile.

An idle model runs a request at once, so batching adds no delay unless the card asks for one. A graph that takes less
time than the way to a thread and back runs on the event loop itself, with all that arrived in the same turn of it; so
may a short request of any graph, if it is alone.
`take` decides, the class acts.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Generic

from softgate.errors import DeadlineExceeded
from softgate.runtime.admission import Admission
from softgate.runtime.jobs import Job, Payload, Result, sift, take
from softgate.types import Floats

# A timer may go off a little early; it is not set again for less.
LEAST_ALARM_SECONDS = 1e-3


class Batcher(Generic[Payload, Result]):
    """Feeds `run` on `executor`, a batch at a time. Not thread-safe: call it from one event loop."""

    def __init__(
        self,
        run: Callable[[Sequence[Job[Payload, Result]]], Sequence[Result | Exception]],
        *,
        executor: Executor,
        clock: Callable[[], float],
        max_rows: int,
        max_delay_seconds: float,
        admission: Admission,
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
        self._max_delay_seconds = max_delay_seconds
        self._admission = admission
        self._queue: deque[Job[Payload, Result]] = deque()
        self._n_queued = 0
        self._n_running = 0
        self._n_rows_run = 0
        """In all."""
        self._most_runs = 1
        self._timer: asyncio.Handle | None = None
        # One for all that wait: set for the first deadline among them, and not cancelled when they run in time.
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = math.inf
        self._abandoned: BaseException | None = None
        self._depth = depth

    def stay_on_loop(self) -> None:
        """From the first run on, `run` is called on the event loop and not on the executor."""
        self._executor = None

    def keep_short_on_loop(self, is_short: Callable[[Payload], bool]) -> None:
        """From the first run on, a job that is alone and short is run there."""
        self._is_short = is_short

    def run_side_by_side(self, n_runs: int, executor: Executor, *, pace: float) -> None:
        """From the first run on, so many at a time on this executor, which do `pace` times as much as one by one."""
        self._most_runs = n_runs
        self._executor = executor
        self._admission.seconds_per_row /= pace

    def admit(self, *, seconds_left: float) -> None:
        """Whether a request of one row would be taken now. Raises Overloaded."""
        self._admission.check(1, n_queued=self._n_queued, seconds_left=seconds_left)

    async def submit(self, payload: Payload, *, n_rows: int, group: Hashable, expires_at: float = math.inf) -> Result:
        """The result of `payload`. Raises what `put` raises, and what its run raises."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        job = self.put(payload, n_rows=n_rows, group=group, done=partial(tell, future), expires_at=expires_at)
        try:
            return await future
        finally:
            job.left = True

    def put(
        self,
        payload: Payload,
        *,
        n_rows: int,
        group: Hashable,
        done: Callable[[Result | BaseException], None],
        expires_at: float = math.inf,
    ) -> Job[Payload, Result]:
        """The same for a caller who is called back, always later. Raises Overloaded, and why it was abandoned."""
        if self._abandoned is not None:
            raise self._abandoned
        now = self._clock()
        self._admission.check(n_rows, n_queued=self._n_queued, seconds_left=expires_at - now)
        job: Job[Payload, Result] = Job(
            payload, n_rows=n_rows, group=group, queued_at=now, done=done, expires_at=expires_at
        )
        self._queue.append(job)
        self._count(self._n_queued + n_rows)
        if self._n_running < self._most_runs:
            self._schedule()
        if expires_at < self._alarm_at:
            self._set_alarm(asyncio.get_running_loop(), expires_at, now)
        return job

    def abandon(self, reason: BaseException) -> None:
        """Tell whoever still waits, or comes yet, that nothing will come of it; the run under way goes on."""
        self._abandoned = reason
        self._cancel_timer()
        if self._alarm is not None:
            self._alarm.cancel()
        jobs, self._queue = self._queue, deque()
        self._count(0)
        self._settle(jobs, [reason] * len(jobs))

    def _count(self, n_rows: int) -> None:
        self._n_queued = self._depth[0] = n_rows

    def _schedule(self) -> None:
        if self._timer is not None and self._max_delay_seconds == 0.0:
            # The run that is to come in this turn of the loop takes what fits.
            return
        loop = asyncio.get_running_loop()
        if self._n_queued < self._max_rows and self._max_delay_seconds > 0.0:
            if self._timer is None:
                self._timer = loop.call_later(self._max_delay_seconds, self._start, loop)
            return
        if self._max_delay_seconds > 0.0:
            self._cancel_timer()
        if self._executor is None or self._is_short is not None or self._n_running:
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
        started = self._clock()
        jobs = self._next(loop, started)
        if not jobs:
            return
        n_rows = jobs[0].n_rows if len(jobs) == 1 else sum(job.n_rows for job in jobs)
        is_pressed = bool(self._queue) or n_rows >= self._max_rows
        n_before = self._n_rows_run
        if self._executor is None or self._is_alone_and_short(jobs):
            answers = self._answers(jobs)
            self._note_run(n_rows, started, n_before, is_pressed=is_pressed)
            self._settle(jobs, answers)
            if self._queue:
                self._soon(loop)
            return
        try:
            run = loop.run_in_executor(self._executor, self._answers, jobs)
        except RuntimeError as exc:
            # No thread can be started, nor is there one.
            loop.call_soon(self._settle, jobs, [exc] * len(jobs))
            return
        self._n_running += 1
        noted = partial(self._note_run, n_rows, started, n_before, is_pressed=is_pressed)
        run.add_done_callback(partial(self._finish, loop, jobs, noted))
        if self._queue and self._n_running < self._most_runs:
            self._start(loop)

    def _finish(
        self,
        loop: asyncio.AbstractEventLoop,
        jobs: Sequence[Job[Payload, Result]],
        noted: Callable[[], None],
        finished: "asyncio.Future[Sequence[Result | BaseException]]",
    ) -> None:
        noted()
        if self._n_queued >= self._max_rows:
            # It is full as it is: the thread runs it while the answers are written here.
            self._n_running -= 1
            self._start(loop)
            self._settle(jobs, finished.result())
            return
        try:
            # A request that an answer lets through waits with the others for the next run.
            self._settle(jobs, finished.result())
        finally:
            self._n_running -= 1
            if self._queue:
                self._start(loop)

    def _is_alone_and_short(self, jobs: Sequence[Job[Payload, Result]]) -> bool:
        if self._is_short is None or len(jobs) > 1 or self._queue or self._n_running:
            return False
        return self._is_short(jobs[0].payload)

    def _note_run(self, n_rows: int, started: float, n_before: int, *, is_pressed: bool) -> None:
        """`n_before`: rows that had been run when it started; `is_pressed`: it was full, or left some behind."""
        self._n_rows_run += n_rows
        if is_pressed:
            # Those of the runs beside it that have ended meanwhile count, too.
            self._admission.ran(self._n_rows_run - n_before, seconds=self._clock() - started)

    def _next(self, loop: asyncio.AbstractEventLoop, now: float) -> Sequence[Job[Payload, Result]]:
        """The jobs of the next run, out of the queue; those that nobody waits for, and the expired, leave it too."""
        if len(self._queue) == 1 and not self._queue[0].left and now < self._queue[0].expires_at:
            self._count(0)
            return [self._queue.popleft()]
        queue, expired = sift(self._queue, now=now)
        if expired:
            # Later: whoever is told may put the next request, and this one's run is not yet on its way.
            loop.call_soon(self._refuse, expired, now)
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

    def _set_alarm(self, loop: asyncio.AbstractEventLoop, expires_at: float, now: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = expires_at
        self._alarm = loop.call_later(max(expires_at - now, LEAST_ALARM_SECONDS), self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tell those whose deadline has passed, and wait for the next, if any."""
        now = self._clock()
        self._alarm, self._alarm_at = None, math.inf
        self._queue, expired = sift(self._queue, now=now)
        self._count(sum(job.n_rows for job in self._queue))
        following = min((job.expires_at for job in self._queue), default=math.inf)
        if following < math.inf:
            self._set_alarm(loop, following, now)
        self._refuse(expired, now)

    def _refuse(self, expired: Sequence[Job[Payload, Result]], now: float) -> None:
        reasons = [
            DeadlineExceeded(
                "Expected to reach the graph before the request's deadline; "
                f"{(now - job.queued_at) * 1000:.0f} ms in the queue were too long."
            )
            for job in expired
        ]
        self._settle(expired, reasons)

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
