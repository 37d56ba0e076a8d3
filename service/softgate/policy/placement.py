"""
Where a graph runs at the least cost: on the event loop, if that keeps it for no longer than a thread takes to be woken.

Texts vary in length, and a long one would hold up everybody: of those the short go there, alone.
"""

from collections.abc import Callable

from softgate.runtime.card import LOOP, MIXED, THREAD, Card
from softgate.runtime.inputs import Input
from softgate.types import Rows

# Of a full batch, decided. Others wait for it, but a thread's wake-up and hand-over hold up every single request.
LONGEST_ON_LOOP_SECONDS = 1e-3
# Only what arrives meanwhile waits for it; the way over a thread costs every such text 0.2 ms, measured.
LONGEST_ALONE_SECONDS = 2e-3
N_TRIALS = 30
# A run that takes so many times as long as it may is tried no further: large graphs must not load for ever.
HOPELESS = 20
# 150 characters; what people write to chatbots is mostly shorter.
SHORT_TEXT = (
    "please move eighty dollars from my checking account "
    "to our savings account before the end of this month, and tell me then what is left on both of them"
)


def placed(kind: str, runs_within: Callable[[float], bool]) -> str:
    """
    LOOP, MIXED or THREAD for an input of this kind.

    `runs_within`: whether a run takes no more than so many seconds, of a full batch of a `tensor`, of a short text.
    """
    if kind == "tensor" and runs_within(LONGEST_ON_LOOP_SECONDS):
        return LOOP
    return MIXED if kind == "text" and runs_within(LONGEST_ALONE_SECONDS) else THREAD


def cheapest(source: Input, card: Card, run: Callable[[Rows], object], *, clock: Callable[[], float]) -> str:
    """Where a model is placed by timing `run` on made-up rows."""
    kind = card.input.kind
    samples = source.samples(card.serving.max_batch) if kind == "tensor" else [SHORT_TEXT]
    if samples is None or kind not in ("tensor", "text"):
        return THREAD
    rows = source.check(samples)
    return placed(kind, lambda seconds: _runs_within(seconds, rows, run, clock))


def is_short(rows: Rows) -> bool:
    if len(rows) != 1:
        return False
    (row,) = rows.values
    return isinstance(row, str) and len(row) <= len(SHORT_TEXT)


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
