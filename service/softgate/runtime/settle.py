"""What a loading model finds out on the machine it is loaded on: its threads, its pace, its cost of a call."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from softgate.runtime.inputs import Input
from softgate.runtime.inputs.tokens import TokenInput
from softgate.runtime.pace import Pace, call_cost_in_tokens, threads_pay, timed
from softgate.runtime.runner import Runner
from softgate.runtime.session import Session
from softgate.types import Rows

if TYPE_CHECKING:
    from tokenizers import Encoding

# Three are spent at most: a model is ready 0.3 s later for it, and the run under way then.
BUDGET_SECONDS = 0.1
SEVERAL_ROWS = 8

Clock = Callable[[], float]


def settle(
    runner: Runner,
    source: Input,
    *,
    threads: int,
    one: Callable[[], Session] | None,
    max_rows: int,
    clock: Clock,
) -> Pace:
    """
    Time made-up rows, and leave `runner` with the session and the cost of a call that serve them best.

    `one` makes the session of a single thread, which `threads` must beat by far; None: there is no choice.
    """
    batches, alone = _batches(runner, source, max_rows, clock)
    sessions = [runner.session, *([] if one is None else [one()])]
    seconds = _seconds(runner, sessions, batches, clock)
    if len(sessions) > 1 and not threads_pay(one=seconds[1], more=seconds[0]):
        sessions, seconds, threads = sessions[1:], seconds[1:], 1
    runner.session = sessions[0]
    if isinstance(source, TokenInput) and runner.fixed_batch is None:
        runner.call_cost_in_tokens = call_cost_in_tokens(_seconds_by_tokens(runner, source, clock))
    # A slow graph's own session may not have had its turn.
    measured = {len(rows): taken for rows, taken in zip(batches, seconds[0], strict=True) if taken < math.inf}
    known = {n_rows: taken for n_rows, taken in (measured or {1: alone}).items() if taken > 0}
    return Pace(threads, known)


def _batches(runner: Runner, source: Input, max_rows: int, clock: Clock) -> tuple[Sequence[Rows], float]:
    """One row and a full batch, or several rows where a full batch takes long; and the seconds of the one."""
    single = source.check(source.samples(1) or ())
    (seconds,) = timed([partial(runner.values, single)], clock=clock, budget_seconds=BUDGET_SECONDS / 4)
    n_rows = max_rows if seconds * max_rows * 4 <= BUDGET_SECONDS else min(SEVERAL_ROWS, max_rows)
    return [single, *([source.check(source.samples(n_rows) or ())] if n_rows > 1 else [])], seconds


def _seconds(
    runner: Runner, sessions: Sequence[Session], batches: Sequence[Rows], clock: Clock
) -> Sequence[Sequence[float]]:
    """Of a run, by session and batch."""

    def run(session: Session, rows: Rows) -> None:
        runner.session = session
        runner.values(rows)

    runs = [partial(run, session, rows) for rows in batches for session in sessions]
    taken = timed(runs, clock=clock, budget_seconds=BUDGET_SECONDS)
    return [taken[place :: len(sessions)] for place in range(len(sessions))]


def _seconds_by_tokens(runner: Runner, source: TokenInput, clock: Clock) -> Mapping[int, float]:
    """Of a call, by its padded tokens: the shortest and the longest sample, alone and several times over."""
    encodings = sorted(source.encode(source.check(source.samples(SEVERAL_ROWS))), key=source.width)
    calls = [[encoding] * n_rows for n_rows in (1, SEVERAL_ROWS) for encoding in (encodings[0], encodings[-1])]

    def run(call: Sequence["Encoding"]) -> None:
        runner.call(source.padded(call), len(call))

    taken = timed([partial(run, call) for call in calls], clock=clock, budget_seconds=BUDGET_SECONDS)
    return {len(call) * source.width(call[0]): seconds for call, seconds in zip(calls, taken, strict=True)}
