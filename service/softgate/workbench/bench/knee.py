"""
The knee: the highest rate that a server answers in good time. Pure; the probing is passed in.

In good time: 99 of 100 requests of an open loop within a bound. Unless it is given, that is five times the median of an
almost idle server, but at least 5 ms: below that it is the kernel's turns on the CPU that are measured.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from softgate.workbench.bench.open_loop import OpenLoop, void

TIMES_IDLE = 5.0
LEAST_BOUND_US = 5000.0
# The knee is known to (HIGH - LOW) / 2 ** STEPS of the closed loop's rate: 1.4 %.
LOW, HIGH, STEPS = 0.2, 1.1, 6
# How often the lowest rate is halved where it is above the bound already.
HALVINGS = 3


class Verdict(Enum):
    WITHIN = auto()
    ABOVE = auto()
    VOID = auto()
    """The client was the bottleneck."""


@dataclass(frozen=True, slots=True)
class Knee:
    rate: float | None
    """Requests per second; None where even the lowest rate was above the bound."""
    at_least: bool
    """Whether the client, not the server, kept the search from going higher."""


def bound_us(idle_p50_us: float) -> float:
    return max(TIMES_IDLE * idle_p50_us, LEAST_BOUND_US)


def judge(run: OpenLoop, bound: float) -> Verdict:
    """`bound` of p99, in µs. Requests refused or never answered are late too."""
    if void(run) is not None:
        return Verdict.VOID
    late = run.p99_us > bound or run.errors > 0 or run.answered < run.requests
    return Verdict.ABOVE if late else Verdict.WITHIN


def search(
    probe: Callable[[float], Verdict], *, low: float, high: float, steps: int = STEPS, halvings: int = HALVINGS
) -> Knee:
    """
    Bisect between two rates, so many times; `low` is halved first, at most so often, until it is within the bound.

    Where `high` is within the bound too, the server holds at least that.
    """
    above: Verdict | None = None
    while (verdict := settled(probe, low)) is not Verdict.WITHIN:
        if halvings == 0:
            return Knee(None, at_least=verdict is Verdict.VOID)
        high, above, halvings = low, verdict, halvings - 1
        low /= 2
    if above is None:
        above = settled(probe, high)
        if above is Verdict.WITHIN:
            return Knee(high, at_least=True)
    for _ in range(steps):
        middle = (low + high) / 2
        verdict = settled(probe, middle)
        if verdict is Verdict.WITHIN:
            low = middle
        else:
            high, above = middle, verdict
    return Knee(low, at_least=above is Verdict.VOID)


def settled(probe: Callable[[float], Verdict], rate: float) -> Verdict:
    """Machines are shared: above the bound is what was so twice, void what three runs told nothing else of."""
    failed: list[Verdict] = []
    while len(failed) < 3 and failed.count(Verdict.ABOVE) < 2:
        verdict = probe(rate)
        if verdict is Verdict.WITHIN:
            return verdict
        failed.append(verdict)
    return Verdict.ABOVE if failed.count(Verdict.ABOVE) == 2 else Verdict.VOID
