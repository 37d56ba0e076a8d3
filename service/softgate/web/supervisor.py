"""
The parent of the workers: binds the socket, forks them, starts the dead again.

All workers accept from the one socket: with one of them hung, the others still take every connection, where with
SO_REUSEPORT half of them would time out.
"""

import logging
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence

from softgate.policy.monitor.board import Board
from softgate.runtime.counts import Counts
from softgate.runtime.repository import Bundle, unverified
from softgate.settings import Settings
from softgate.web import logs, server
from softgate.web.metrics.layout import layout, web_counts
from softgate.web.watcher import Watcher

logger = logging.getLogger("softgate.web")

STOP = {signal.SIGTERM, signal.SIGINT}
# A thread of some library may swallow a SIGCHLD; then the dead are found at the next tick.
TICK_SECONDS = 0.5
# The workers keep the grace themselves; only one that hangs needs more.
EXTRA_GRACE_SECONDS = 2
# A worker that never gets ready will not do so at the next try either.
MOST_EARLY_DEATHS = 3


def serve(listener: socket.socket, bundles: Sequence[Bundle], settings: Settings) -> int:
    """Serve with as many processes as the settings say, until told to stop; returns the exit code."""
    # The last row is the supervisor's own: it drops log lines too, and a cell has one writer.
    counts = Counts(layout(bundles), n_rows=settings.workers + 1)
    board = Board(bundles, counts, now=time.monotonic())
    logs.set_up(settings.log_format, web_counts(counts, worker=settings.workers).dropped_log_lines)
    # Here and not where the models load: every worker would say it again.
    for bundle in bundles:
        doubt = unverified(bundle)
        if doubt is not None:
            logger.warning(doubt.code, extra={"model": bundle.name, "reason": str(doubt)})
    watcher = Watcher(board, settings.state_dir)
    logger.info("listening", extra={"url": server.url(listener)})
    try:
        if settings.workers == 1:
            watcher.start()
            return server.run(listener, board, settings, worker=0)
        return Supervisor(listener, board, settings, tick=watcher.tick).run()
    finally:
        watcher.close()


class Supervisor:
    def __init__(self, listener: socket.socket, board: Board, settings: Settings, *, tick: Callable[[], None]) -> None:
        """`tick` is called a few times a second."""
        self._listener = listener
        self._board = board
        self._settings = settings
        self._tick = tick
        self._workers: dict[int, int] = {}
        """Process id → row of the counts."""
        # Only this process holds the writing end, so a worker that reads its end learns of the parent's death.
        self._death, self._life = os.pipe()
        self._early_deaths = [0] * settings.workers
        """How often in a row the worker of each row of the counts died before it was ready."""
        self._exit_code = 0
        self._stopping = False
        self._patience = math.inf
        """When workers that were told to stop are no longer waited for."""

    def run(self) -> int:
        """Until every worker has ended."""
        # Whoever started us may have ignored it, and what is ignored never arrives.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # Blocked and waited for, not handled: nothing here can be interrupted half-way.
        watched = STOP | {signal.SIGCHLD}
        signal.pthread_sigmask(signal.SIG_BLOCK, watched)
        for row in range(self._settings.workers):
            self._start(row)
        while self._workers:
            received = signal.sigtimedwait(watched, TICK_SECONDS)
            if received is not None and received.si_signo in STOP:
                self._stop()
            self._reap()
            self._tick()
            if time.monotonic() > self._patience:
                self._stop()
        return self._exit_code

    def _start(self, row: int) -> None:
        process = os.fork()
        if process:
            self._workers[process] = row
            return
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        os.close(self._life)
        threading.Thread(target=_end_with_parent, args=(self._death,), daemon=True).start()
        code = 1
        try:
            code = server.run(self._listener, self._board, self._settings, worker=row)
        except BaseException:
            logger.critical("worker failed", exc_info=True)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        """Signals of one kind merge, so one SIGCHLD may stand for several deaths."""
        while self._workers:
            process, status = os.waitpid(-1, os.WNOHANG)
            if process == 0:
                return
            row = self._workers.pop(process, None)
            if row is None:
                # Somebody else's child: as process 1 of a container, or after an exec, those are ours to bury too.
                continue
            code = os.waitstatus_to_exitcode(status)
            if self._stopping:
                continue
            logger.error("worker died", extra={"worker": row, "pid": process, "exit_code": code})
            was_ready = web_counts(self._board.counts, worker=row).is_ready
            self._early_deaths[row] = 0 if was_ready else self._early_deaths[row] + 1
            if code == server.EXIT_STARTUP_FAILED or self._early_deaths[row] >= MOST_EARLY_DEATHS:
                self._exit_code = server.EXIT_STARTUP_FAILED
                self._stop()
            else:
                self._start(row)

    def _stop(self) -> None:
        """The first time, let the workers end their requests; the second time, do not wait."""
        how = signal.SIGKILL if self._stopping else signal.SIGTERM
        self._stopping = True
        self._patience = time.monotonic() + self._settings.grace_seconds + EXTRA_GRACE_SECONDS
        for process in self._workers:
            os.kill(process, how)


def _end_with_parent(death: int) -> None:
    """Workers without a supervisor would hold the port against the next server."""
    os.read(death, 1)
    os.kill(os.getpid(), signal.SIGTERM)
