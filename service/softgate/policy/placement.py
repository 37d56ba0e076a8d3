"""
Where a graph runs at the least cost: on the event loop, if that keeps it for no longer than a thread takes to be woken.
And how many runs of it are under way at a time, on threads.

Texts vary in length, and a long one would hold up everybody: of those the short go there, alone. So do single rows of
numbers where a full batch of them would take too long.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np

from softgate.errors import SoftgateError
from softgate.runtime.card import LOOP, MIXED, MOST_RUNS, THREAD, Card
from softgate.runtime.inputs import Input
from softgate.runtime.pace import LEAST_GAIN, Pace
from softgate.types import Rows

# Of a full batch, decided. Others wait for it, but a thread's wake-up and hand-over hold up every single request.
LONGEST_ON_LOOP_SECONDS = 1e-3
# Only what arrives meanwhile waits for it; the way over a thread costs every such text 0.2 ms, measured.
LONGEST_ALONE_SECONDS = 2e-3
N_TRIALS = 30
# A run that takes so many times as long as it may is tried no further: large graphs must not load for ever.
HOPELESS = 20
# Rows of a run that is tried beside others, and the time for its trials: many, for only a quiet moment tells.
SEVERAL_ROWS = 8
N_TURNS = 20
BUDGET_SECONDS = 0.1
# 150 characters; what people write to chatbots is mostly shorter.
SHORT_TEXT = (
    "please move eighty dollars from my checking account "
    "to our savings account before the end of this month, and tell me then what is left on both of them"
)


def placed(kind: str, *, batch_within: Callable[[float], bool], row_within: Callable[[float], bool]) -> str:
    """
    LOOP, MIXED or THREAD for an input of this kind.

    Whether a run takes no more than so many seconds: of a full batch, and of one row, or one short text, alone.
    """
    if kind == "tensor" and batch_within(LONGEST_ON_LOOP_SECONDS):
        return LOOP
    longest = {"tensor": LONGEST_ON_LOOP_SECONDS, "text": LONGEST_ALONE_SECONDS}.get(kind)
    return MIXED if longest is not None and row_within(longest) else THREAD


def cheapest(source: Input, card: Card, run: Callable[[Rows], object], *, clock: Callable[[], float]) -> str:
    """Where a model is placed by timing `run` on made-up rows."""
    kind = card.input.kind
    samples = source.samples(card.serving.max_batch) if kind == "tensor" else [SHORT_TEXT]
    if samples is None or kind not in ("tensor", "text"):
        return THREAD
    batch, row = source.check(samples), source.check(samples[:1])
    return placed(
        kind,
        batch_within=lambda seconds: _runs_within(seconds, batch, run, clock),
        row_within=lambda seconds: _runs_within(seconds, row, run, clock),
    )


def most_runs(threads: int, per_run: int) -> int:
    """How many runs may go side by side where there are so many threads in all, and each run is shared among some."""
    return max(1, min(threads // per_run, MOST_RUNS))


def n_tried(pace: Pace, max_batch: int) -> int:
    """How many rows to try runs side by side with: several, unless they take long."""
    return min(SEVERAL_ROWS, max_batch) if SEVERAL_ROWS * pace.seconds_per_row <= BUDGET_SECONDS else 1


def side_by_side(most: int, run: Callable[[], object], *, clock: Callable[[], float]) -> tuple[int, float]:
    """
    How many runs at a time to allow, and how many times as much as one by one they do, by the clock.

    Twice as many, up to `most`, for as long as they do LEAST_GAIN times as much as half of them. Where so many cannot
    run, for want of threads or memory, fewer do.
    """
    n_runs, gain = 1, 1.0
    try:
        alone = _least_seconds(1, run, clock) if most > 1 else math.inf
        while n_runs < most:
            more = min(2 * n_runs, most)
            together = _least_seconds(more, run, clock)
            does = more * alone / together if together > 0 else 0.0
            if not does >= gain * LEAST_GAIN:
                break
            n_runs, gain = more, does
    except (SoftgateError, RuntimeError, MemoryError):
        # What is known holds.
        pass
    return n_runs, gain


def started(make: Callable[[int], ThreadPoolExecutor], n_threads: int) -> tuple[ThreadPoolExecutor, int]:
    """An executor of so many threads, or of as many as there can be: all are there before a request waits for one."""
    while True:
        threads = make(n_threads)
        n_started = _n_started(threads, n_threads)
        if n_threads in (n_started, 1):
            return threads, n_threads
        threads.shutdown()
        n_threads = max(1, n_started)


def is_short(rows: Rows) -> bool:
    """Of rows that run MIXED: whether it is one, and as short as the one that was tried."""
    if len(rows) != 1:
        return False
    if isinstance(rows.values, np.ndarray):
        return True
    (row,) = rows.values
    return isinstance(row, str) and len(row) <= len(SHORT_TEXT)


def _n_started(threads: ThreadPoolExecutor, n_threads: int) -> int:
    all_there = Barrier(n_threads + 1)
    n_started = 0
    try:
        while n_started < n_threads:
            threads.submit(all_there.wait)
            n_started += 1
    except RuntimeError:
        all_there.abort()
    else:
        all_there.wait()
    return n_started


def _least_seconds(n_runs: int, run: Callable[[], object], clock: Callable[[], float]) -> float:
    """Of a few turns, as many as there is time for."""
    end = clock() + BUDGET_SECONDS
    least = math.inf
    for _ in range(N_TURNS):
        least = min(least, _seconds(n_runs, run, clock))
        if clock() >= end:
            break
    return least


def _seconds(n_runs: int, run: Callable[[], object], clock: Callable[[], float]) -> float:
    """From the start of so many runs at a time, each on a thread, to the end of the last."""
    start = Barrier(n_runs)

    def timed() -> tuple[float, float]:
        start.wait()
        started = clock()
        run()
        return started, clock()

    with ThreadPoolExecutor(n_runs) as threads:
        try:
            runs = [threads.submit(timed) for _ in range(n_runs)]
        except RuntimeError:
            # A thread cannot be started: those that wait for it would wait for ever.
            start.abort()
            raise
        starts, ends = zip(*[each.result() for each in runs], strict=True)
    return float(max(ends) - min(starts))


def _runs_within(seconds: float, rows: Rows, run: Callable[[Rows], object], clock: Callable[[], float]) -> bool:
    """Whether it takes no longer: once is enough, for a machine that is busy with something else only slows it."""
    for _ in range(N_TRIALS):
        started = clock()
        run(rows)
        taken = clock() - started
        # A clock that stands still has measured nothing.
        if 0 < taken <= seconds:
            return True
        if taken > HOPELESS * seconds:
            break
    return False
