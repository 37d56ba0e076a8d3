"""A server from its bundles to its end: the shared memory, the processes and what each of them is given."""

import gc
import importlib
import logging
import math
import os
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from softgate.errors import ReloadFailed, StartupFailed
from softgate.policy.monitor.board import Board
from softgate.runtime.counts import Counts
from softgate.runtime.repository import Bundle, unverified
from softgate.settings import Settings
from softgate.web import logs, ops, server
from softgate.web.children import Children
from softgate.web.crew import Crew, Generation
from softgate.web.exchange import FAILED, GENERATIONS, ROOM, Exchange
from softgate.web.metrics.layout import WebCounts, layout, web_counts
from softgate.web.reloads import Reloads
from softgate.web.sockets import address, url
from softgate.web.supervisor import Supervisor
from softgate.web.tokens import TokensFile
from softgate.web.watcher import Watcher

logger = logging.getLogger("softgate.web")

# The workers keep the grace themselves, and a little more; only one that hangs needs this.
EXTRA_GRACE_SECONDS = server.EXTRA_GRACE_SECONDS + 1
# By FastAPI and uvicorn when they are first used: once, and not by each worker.
IMPORTED_LATE = ("pydantic.v1", "uvicorn.lifespan.on", "uvicorn.loops.uvloop")
# Between starts of the process that answers operators: one that dies at once is not to keep the supervisor busy.
PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Sockets:
    """What is listened to."""

    main: socket.socket
    ops: socket.socket | None
    """Where health and metrics are told, too."""
    grpc: socket.socket | None
    """Holds the port for gRPC, where it is spoken."""
    taken_over: bool
    """Others may listen on the main one as well."""

    @property
    def grpc_address(self) -> str | None:
        return None if self.grpc is None else address(self.grpc)


def serve(sockets: Sockets, bundles: Sequence[Bundle], settings: Settings, *, folder: Path) -> int:
    """
    Serve with as many processes as the settings say, until told to stop; returns the exit code.

    Raises StartupFailed.
    """
    n_rows = settings.workers * (GENERATIONS if settings.supervised else 1)
    # The last row is the supervisor's own: it drops log lines too, and a cell has one writer.
    counts = Counts(layout(bundles), n_rows=n_rows + 1, room=ROOM if settings.supervised else 1)
    board = Board(bundles, counts, now=time.monotonic())
    logs.set_up(settings.log_format, web_counts(counts, worker=n_rows).dropped_log_lines)
    # Here and not where the models load: every worker would say it again.
    for bundle in bundles:
        doubt = unverified(bundle)
        if doubt is not None:
            logger.warning(doubt.code, extra={"model": bundle.name, "reason": str(doubt)})
    tokens = None if settings.tokens_file is None else TokensFile(settings.tokens_file)
    children = Children()
    # The supervisor looks after its workers; who looks after it, or after a worker alone, asks there.
    main = n_rows if settings.supervised else 0
    told = Told(sockets, children, tokens, main=main, hang_seconds=settings.hang_seconds)
    told.follow(board)
    watcher = Watcher(board, settings.state_dir)
    also = {} if sockets.grpc is None else {"grpc": sockets.grpc_address}
    logger.info("listening", extra={"url": url(sockets.main), **also})
    try:
        if not settings.supervised:
            watcher.start()
            web_counts(counts, worker=0).admit()
            reloads = Reloads()
            _refuse_reloads(reloads, web_counts(counts, worker=n_rows))
            place = server.Place(
                board,
                reloads,
                row=0,
                beside=(),
                alone=not sockets.taken_over,
                supervised=False,
                tokens=tokens,
                grpc=sockets.grpc_address,
            )
            return server.run(sockets.main, place, settings)
        return _supervised(
            sockets, board, settings, folder, children=children, watcher=watcher, told=told, tokens=tokens
        )
    finally:
        watcher.close()
        told.end()


def _supervised(
    sockets: Sockets,
    board: Board,
    settings: Settings,
    folder: Path,
    *,
    children: Children,
    watcher: Watcher,
    told: "Told",
    tokens: TokensFile | None,
) -> int:
    reloads = Reloads()

    def work(generation: Generation, row: int) -> int:
        if sockets.ops is not None:
            sockets.ops.close()
        beside = [other for other in generation.rows if other != row]
        place = server.Place(
            generation.board,
            reloads,
            row=row,
            beside=beside,
            alone=False,
            supervised=True,
            tokens=tokens,
            grpc=sockets.grpc_address,
        )
        return server.run(sockets.main, place, settings)

    def in_force(board: Board) -> None:
        watcher.follow(board)
        told.follow(board)

    def tick() -> None:
        watcher.tick()
        told.tick()
        # A worker that is forked now has what its siblings read, who tell of what cannot be read.
        if tokens is not None:
            with suppress(StartupFailed):
                tokens.look()

    crew = Crew(children, work, patience=settings.grace_seconds + EXTRA_GRACE_SECONDS)
    exchange = Exchange(
        board, settings, folder=folder, crew=crew, children=children, reloads=reloads, in_force=in_force
    )
    own = web_counts(board.counts, worker=board.counts.n_rows - 1)
    for name in IMPORTED_LATE:
        with suppress(ImportError):
            importlib.import_module(name)
    # What workers inherit is no garbage; to look through it costs each of them 70 ms of a processor, measured.
    gc.freeze()
    return Supervisor(sockets.main, settings, crew=crew, exchange=exchange, own=own, tick=tick).run()


def _refuse_reloads(reloads: Reloads, own: WebCounts) -> None:
    """SIGHUP would end a worker that nobody starts again; whoever sends it is told what to do."""

    def refuse(*_: object) -> None:
        reason = "Expected a supervisor: SOFTGATE_ADMIN, SOFTGATE_WATCH_SECONDS or a second worker starts one."
        reloads.begin()
        reloads.end(FAILED, ReloadFailed.code, reason)
        own.reloaded(FAILED)
        logger.error("reload failed", extra={"reason": reason})

    signal.signal(signal.SIGHUP, refuse)


class Told:
    """The process that answers on the listener for operators, where there is one. Forked while there are no threads."""

    def __init__(
        self, sockets: Sockets, children: Children, tokens: TokensFile | None, *, main: int, hang_seconds: float
    ) -> None:
        """`main`: row of the counts of the process that must not hang."""
        self._sockets = sockets
        self._children = children
        self._tokens = tokens
        self._main = main
        self._hang_seconds = hang_seconds
        self._process: int | None = None
        self._board: Board | None = None
        self._started = -math.inf

    def follow(self, board: Board) -> None:
        """Tell of this board from now on."""
        self._board, before = board, self._process
        self._start()
        _end(before)

    def tick(self) -> None:
        """Start it again where it has died, at most once a second."""
        if self._process is None or _runs(self._process):
            return
        if time.monotonic() - self._started >= PAUSE_SECONDS:
            logger.error("ops process died", extra={"pid": self._process})
            self._start()

    def end(self) -> None:
        _end(self._process)

    def _start(self) -> None:
        if self._sockets.ops is None or self._board is None:
            return
        self._started = time.monotonic()
        self._process = ops.start(
            self._children,
            self._sockets.ops,
            self._board,
            self._tokens,
            main=self._main,
            hang_seconds=self._hang_seconds,
            other=self._sockets.main,
        )


def _runs(process: int) -> bool:
    # It may have been buried with the workers.
    with suppress(ChildProcessError):
        return os.waitpid(process, os.WNOHANG)[0] == 0
    return False


def _end(process: int | None) -> None:
    if process is None:
        return
    # It may have died, and been buried with the workers.
    with suppress(ProcessLookupError, ChildProcessError):
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
