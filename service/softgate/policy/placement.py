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

from softgate.runtime.card import LOOP, MIXED, THREAD, Card
from softgate.runtime.inputs import Input
from softgate.runtime.pace import LEAST_GAIN, TURNS
from softgate.types import Rows

# Of a full batch, decided. Others wait for it, but a thread's wake-up and hand-over hold up every single request.
LONGEST_ON_LOOP_SECONDS = 1e-3
# Only what arrives meanwhile waits for it; the way over a thread costs every such text 0.2 ms, measured.
LONGEST_ALONE_SECONDS = 2e-3
N_TRIALS = 30
# A run that takes so many times as long as it may is tried no further: large graphs must not load for ever.
HOPELESS = 20
# For trials of runs side by side, and the rows of each.
SEVERAL_ROWS = 8
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


def n_that_pay(most: int, run: Callable[[], object], *, clock: Callable[[], float]) -> int:
    """`most` runs at a time where by the clock they do LEAST_GAIN times as much as one; else 1."""
    if most <= 1:
        return 1
    alone = together = math.inf
    end = clock() + BUDGET_SECONDS
    for _ in range(TURNS):
        alone = min(alone, _seconds(1, run, clock))
        together = min(together, _seconds(most, run, clock))
        if clock() >= end:
            break
    return most if 0 < together * LEAST_GAIN <= most * alone else 1


def is_short(rows: Rows) -> bool:
    """Of rows that run MIXED: whether it is one, and as short as the one that was tried."""
    if len(rows) != 1:
        return False
    if isinstance(rows.values, np.ndarray):
        return True
    (row,) = rows.values
    return isinstance(row, str) and len(row) <= len(SHORT_TEXT)


def _seconds(n_runs: int, run: Callable[[], object], clock: Callable[[], float]) -> float:
    """From the start of so many runs at a time, each on a thread, to the end of the last."""
    start = Barrier(n_runs)

    def timed() -> tuple[float, float]:
        start.wait()
        started = clock()
        run()
        return started, clock()

    with ThreadPoolExecutor(n_runs) as threads:
        starts, ends = zip(*[each.result() for each in [threads.submit(timed) for _ in range(n_runs)]], strict=True)
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
