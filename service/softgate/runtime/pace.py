"""
How fast a graph is on this machine: what a call of it costs beside its tokens, and whether more threads pay.

Measured while a model is loaded, in little time: the least of a few runs each, in turns, so that a busy moment falls on
all alike. A clock that stands still measures nothing, and what is not measured keeps its default.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

# Of an encoder of 6 layers, 384 wide: 3 to 4 in int8, 8 in float32.
CALL_COST_IN_TOKENS = 4.0
# No graph's calls cost less; a machine busy with something else may make it seem so.
LEAST_CALL_COST_IN_TOKENS = 2.0
# Less is within what a busy machine makes of two equal runs.
LEAST_GAIN = 1.3
TURNS = 5


@dataclass(frozen=True, slots=True)
class Pace:
    threads: int
    """That one run of the graph is shared among."""
    seconds: Mapping[int, float] = field(default_factory=dict)
    """Least time of a run of so many made-up rows; empty where it is not known."""

    @property
    def seconds_per_row(self) -> float:
        """Of the run in which a row takes least; 0 where none is known."""
        return min((taken / n_rows for n_rows, taken in self.seconds.items()), default=0.0)


def timed(
    runs: Sequence[Callable[[], object]], *, clock: Callable[[], float], budget_seconds: float
) -> Sequence[float]:
    """The least seconds of each run, in order; infinite for those that were not come to in time."""
    least = [math.inf] * len(runs)
    end = clock() + budget_seconds
    for _ in range(TURNS):
        for place, run in enumerate(runs):
            started = clock()
            run()
            finished = clock()
            least[place] = min(least[place], finished - started)
            if finished >= end:
                return least
    return least


def call_cost_in_tokens(seconds: Mapping[int, float]) -> float:
    """
    o / t of the line seconds = o + t * tokens, fitted to times of calls by their number of padded tokens.

    Least squares of the relative error: a long call must not outvote the short ones. At least
    LEAST_CALL_COST_IN_TOKENS; the default where fewer than two were measured, or a token takes no time.
    """
    known = {tokens: taken for tokens, taken in seconds.items() if 0 < taken < math.inf}
    if len(known) < 2:
        return CALL_COST_IN_TOKENS
    taken = np.array(list(known.values()))
    sides = np.column_stack([np.ones(len(known)), np.array(list(known))]) / taken[:, None]
    (per_call, per_token), *_ = np.linalg.lstsq(sides, np.ones(len(known)))
    return max(LEAST_CALL_COST_IN_TOKENS, float(per_call / per_token)) if per_token > 0 else CALL_COST_IN_TOKENS


def threads_pay(one: Sequence[float], more: Sequence[float]) -> bool:
    """Whether runs on more threads gain enough over the same on one: LEAST_GAIN, the geometric mean over the runs."""
    pairs = [pair for pair in zip(one, more, strict=True) if all(0 < taken < math.inf for taken in pair)]
    return bool(pairs) and math.prod(alone / shared for alone, shared in pairs) >= LEAST_GAIN ** len(pairs)
