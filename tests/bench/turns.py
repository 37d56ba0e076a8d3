"""Servers measured in turns: the machine's mood changes within minutes, so nothing is compared across runs."""

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

from softgate.workbench.bench import closed_loop, open_loop
from softgate.workbench.bench.processes import cpu_seconds
from softgate.workbench.bench.targets import Target

Taken = TypeVar("Taken")


@dataclass(frozen=True, slots=True)
class Turn:
    """One server under load for some seconds."""

    per_second: float
    """Good answers."""
    p50_us: float
    p99_us: float
    p999_us: float
    cpu_us: float
    """Of the server and all its processes, per answer."""
    errors: int

    @staticmethod
    def timed(microseconds: float) -> "Turn":
        """Of a calculation that has no clients."""
        return Turn(1e6 / microseconds, microseconds, microseconds, microseconds, microseconds, errors=0)


@dataclass(frozen=True, slots=True)
class Contender:
    """A server and the requests it is sent."""

    target: Target
    bodies: Sequence[bytes]
    pauses: bool = False
    """Whether its processes are stopped outside its turns."""

    def under(self, connections: int, seconds: float) -> Turn:
        """Closed loop: each connection waits for its answer."""
        target = self.target
        with self._awake() as used:
            run = closed_loop.measure(target.url, target.path, self.bodies, connections=connections, seconds=seconds)
            cpu_us = used() * 1e6 / max(1, run.requests)
        return Turn(run.requests_per_second, run.p50_us, run.p99_us, run.p999_us, cpu_us, run.errors)

    def arriving(self, rate: float, seconds: float, *, seed: int) -> Turn:
        """Open loop: requests come whether or not others were answered."""
        target = self.target
        with self._awake() as used:
            run = open_loop.measure(target.url, target.path, self.bodies, rate=rate, seconds=seconds, seed=seed)
            cpu_us = used() * 1e6 / max(1, run.answered)
        return Turn(run.answered_per_second, run.p50_us, run.p99_us, run.p999_us, cpu_us, run.errors)

    @contextmanager
    def _awake(self) -> Iterator[Callable[[], float]]:
        """Gives what tells the CPU seconds of all its processes since."""
        processes = self.target.processes
        if self.pauses:
            signal_all(processes, signal.SIGCONT)
        before = cpu_seconds(processes)
        yield lambda: cpu_seconds(processes) - before
        if self.pauses:
            signal_all(processes, signal.SIGSTOP)


def signal_all(processes: Sequence[int], number: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, number)


def interleaved(takers: Mapping[str, Callable[[int], Taken]], turns: int) -> dict[str, list[Taken]]:
    """Every taker once per turn, told the turn's number; odd turns go backwards, so that no one always comes first."""
    taken: dict[str, list[Taken]] = {name: [] for name in takers}
    for turn in range(turns):
        for name in reversed([*takers]) if turn % 2 else takers:
            taken[name].append(takers[name](turn))
    return taken


def loads(
    contenders: Mapping[str, Contender], *, connections: int, seconds: float, turns: int
) -> dict[str, list[Turn]]:
    """All contenders over so many connections, in turns."""
    takers = {name: _taker(each, connections, seconds) for name, each in contenders.items()}
    return interleaved(takers, turns)


def _taker(contender: Contender, connections: int, seconds: float) -> Callable[[int], Turn]:
    return lambda _: contender.under(connections, seconds)
