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


def cheapest(source: Input, card: Card, run: Callable[[Rows], object], *, clock: Callable[[], float]) -> str:
    """LOOP, MIXED or THREAD, by timing `run` on made-up rows."""
    if card.input.kind == "tensor":
        samples = source.samples(card.serving.max_batch)
        if samples is not None and _runs_within(LONGEST_ON_LOOP_SECONDS, source.check(samples), run, clock):
            return LOOP
    elif card.input.kind == "text" and _runs_within(LONGEST_ALONE_SECONDS, source.check([SHORT_TEXT]), run, clock):
        return MIXED
    return THREAD


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
