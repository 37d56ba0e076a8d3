"""The workers at work: which process has which row of the counts, and which bundles it serves."""

import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from softgate.policy.monitor.board import Board
from softgate.web.children import Children, stop_gently
from softgate.web.metrics.layout import WebCounts, web_counts
from softgate.web.silence import Silence


@dataclass(frozen=True, slots=True, eq=False)
class Generation:
    """Workers that serve the same bundles."""

    board: Board
    rows: range
    """Of the counts, one for each worker."""

    def counts(self, row: int) -> WebCounts:
        return web_counts(self.board.counts, worker=row)


@dataclass(slots=True)
class Worker:
    generation: Generation
    row: int
    born: float
    end: float = math.inf
    """When it is no longer waited for; finite once it was told to leave."""
    silence: Silence = field(default_factory=Silence)
    was_ready: bool = False
    """Known at its death."""

    @property
    def counts(self) -> WebCounts:
        return self.generation.counts(self.row)


class Crew:
    def __init__(self, children: Children, run: Callable[[Generation, int], int], *, patience: float) -> None:
        """`run` is what a worker does; `patience`, in seconds, is for one that was told to leave."""
        self._children = children
        self._run = run
        self._patience = patience
        self.workers: dict[int, Worker] = {}
        """By process id."""

    def start(self, generation: Generation, row: int) -> None:
        process = self._children.fork(lambda: self._run(generation, row), orphaned=stop_gently)
        self.workers[process] = Worker(generation, row, time.monotonic())

    def of(self, generation: Generation) -> Mapping[int, Worker]:
        return {process: worker for process, worker in self.workers.items() if worker.generation is generation}

    def dismiss(self, workers: Mapping[int, Worker]) -> None:
        """They end what is under way."""
        for process, worker in workers.items():
            if math.isinf(worker.end):
                worker.end = time.monotonic() + self._patience
                os.kill(process, signal.SIGTERM)

    def kill(self, workers: Mapping[int, Worker]) -> None:
        for process in workers:
            os.kill(process, signal.SIGKILL)

    def overdue(self) -> Mapping[int, Worker]:
        """Those that should have left by now."""
        now = time.monotonic()
        return {process: worker for process, worker in self.workers.items() if worker.end < now}

    def silent(self, seconds: float, *, elapsed: float) -> Mapping[int, Worker]:
        """Those whose loop has stood still so long, `elapsed` seconds after the last look."""
        looked = {
            process: worker.silence.look(worker.counts.beats, elapsed=elapsed)
            for process, worker in self.workers.items()
            if math.isinf(worker.end)
        }
        return {process: self.workers[process] for process, silent in looked.items() if silent >= seconds}

    def unready(self, generation: Generation, seconds: float) -> Mapping[int, Worker]:
        """Those that have had so long to load their models, and have not."""
        born = time.monotonic() - seconds
        return {
            process: worker
            for process, worker in self.of(generation).items()
            # Once its loop has turned it was ready, and may be on its way out.
            if worker.born < born and not worker.counts.is_ready and not worker.counts.beats
        }

    def dead(self) -> Iterator[tuple[int, Worker | None, int]]:
        """
        Process, worker and exit code of each child that has ended, taken off the list.

        Signals of one kind merge, so one SIGCHLD may stand for several deaths. Without a worker: somebody else's child.
        As process 1 of a container, or after an exec, those are ours to bury too.
        """
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if process == 0:
                return
            worker = self.workers.pop(process, None)
            if worker is not None:
                worker.was_ready = worker.counts.is_ready
                worker.counts.ended()
            yield process, worker, os.waitstatus_to_exitcode(status)
