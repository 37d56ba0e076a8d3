"""
The parent of the workers: starts the dead again, kills the hung, and puts new ones in their place.

All workers accept from the one socket: with one of them hung, the others still take every connection, where with
SO_REUSEPORT half of them would time out.
"""

import logging
import math
import signal
import socket
import time
from collections.abc import Callable

from softgate.settings import Settings
from softgate.web import server
from softgate.web.crew import Crew, Worker
from softgate.web.exchange import Exchange
from softgate.web.metrics.layout import WebCounts
from softgate.web.reloads import RELOAD
from softgate.web.restarts import Restarts

logger = logging.getLogger("softgate.web")

STOP = {signal.SIGTERM, signal.SIGINT}
# No signal tells that a worker is ready, or hangs, or that somebody ordered a reload. And a thread of some library may
# swallow a SIGCHLD.
TICK_SECONDS = 0.1
# While models are exchanged, for each step of it waits for the next look.
SHORT_TICK_SECONDS = 0.02
# Workers that got ready and died again and again.
EXIT_CRASH_LOOP = 6


class Supervisor:
    def __init__(
        self,
        listener: socket.socket,
        settings: Settings,
        *,
        crew: Crew,
        exchange: Exchange,
        own: WebCounts,
        tick: Callable[[], None],
    ) -> None:
        """`own` is the supervisor's row of the counts; `tick` is called a few times a second."""
        self._listener = listener
        self._settings = settings
        self._crew = crew
        self._exchange = exchange
        self._own = own
        self._tick = tick
        # A place is that of a worker and its successors, from generation to generation.
        self._restarts = [Restarts() for _ in range(settings.workers)]
        self._due = dict.fromkeys(range(settings.workers), -math.inf)
        """Places without a worker → when they get one."""
        self._looked = time.monotonic()
        self._patience = settings.probe_seconds + settings.grace_seconds
        """With a worker that loads its models."""
        self._exit_code = 0
        self._stopping = False

    def run(self) -> int:
        """Until every worker has ended."""
        # Whoever started us may have ignored it, and what is ignored never arrives.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # Blocked and waited for, not handled: nothing here can be interrupted half-way.
        watched = STOP | {signal.SIGCHLD, signal.SIGHUP}
        signal.pthread_sigmask(signal.SIG_BLOCK, watched)
        self._start_due()
        while self._crew.workers or self._due:
            tick_seconds = SHORT_TICK_SECONDS if self._exchange.is_under_way else TICK_SECONDS
            received = signal.sigtimedwait(watched, tick_seconds)
            self._own.beat()
            if received is not None and received.si_signo in STOP:
                self._told_to_stop(received.si_signo)
            elif received is not None and received.si_signo == signal.SIGHUP:
                self._exchange.order(RELOAD)
            for process, worker, code in self._crew.dead():
                self._bury(process, worker, code)
            self._crew.kill(self._crew.overdue())
            self._tick()
            if not self._stopping:
                self._kill_hung()
                self._start_due()
                self._exchange.step()
        return self._exit_code

    def _start_due(self) -> None:
        now, generation = time.monotonic(), self._exchange.current
        for place in [place for place, due in self._due.items() if due <= now]:
            del self._due[place]
            row = generation.rows[place]
            # A new generation may have come while the old one waited for a worker.
            if all(worker.row != row for worker in self._crew.workers.values()):
                generation.counts(row).admit()
                self._crew.start(generation, row)

    def _bury(self, process: int, worker: Worker | None, code: int) -> None:
        if self._stopping:
            return
        generation = self._exchange.current
        if worker is None or worker.generation is not generation:
            self._exchange.buried(process, worker, code)
            return
        place = generation.rows.index(worker.row)
        lived = time.monotonic() - worker.born
        # What others have loaded can be loaded: there may have been no memory for it just now.
        can_be_ready = worker.was_ready or any(other.counts.is_ready for other in self._crew.of(generation).values())
        pause = self._restarts[place].pause(was_ready=can_be_ready, lived_seconds=lived)
        why = {"worker": worker.row, "pid": process, "exit_code": code, "again_in_seconds": pause}
        logger.error("worker died", extra=why)
        if pause is None or (code == server.EXIT_STARTUP_FAILED and not can_be_ready):
            self._exit_code = EXIT_CRASH_LOOP if can_be_ready else server.EXIT_STARTUP_FAILED
            self._stop()
        else:
            self._due[place] = time.monotonic() + pause

    def _kill_hung(self) -> None:
        """One whose loop stands still, be it stopped, swapped out or in a call that never returns, hears no signal."""
        now = time.monotonic()
        elapsed, self._looked = now - self._looked, now
        hung = self._crew.silent(self._settings.hang_seconds, elapsed=elapsed)
        for process, worker in hung.items():
            logger.error("worker hangs", extra={"worker": worker.row, "pid": process})
        # Those of models that are exchanged are the exchange's to wait for.
        late = self._crew.unready(self._exchange.current, self._patience)
        for process, worker in late.items():
            why = f"It was not ready within {self._patience:g} s, SOFTGATE_PROBE_SECONDS and SOFTGATE_GRACE_SECONDS."
            logger.error("worker hangs", extra={"worker": worker.row, "pid": process, "reason": why})
        self._crew.kill({**hung, **late})

    def _told_to_stop(self, number: int) -> None:
        """The first time, let the workers end their requests; the second time, do not wait."""
        if self._stopping:
            self._exit_code = 128 + number
            self._crew.kill(self._crew.workers)
        else:
            self._stop()

    def _stop(self) -> None:
        self._stopping = True
        self._due.clear()
        # What is still in its queue is the workers' to take; whoever comes later shall be refused at once.
        self._listener.close()
        self._crew.dismiss(self._crew.workers)
        self._exchange.stop()
