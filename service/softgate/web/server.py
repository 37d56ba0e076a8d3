"""One worker: uvicorn on a socket that was bound for it."""

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

import uvicorn

from softgate.errors import SoftgateError
from softgate.policy.catalogue import Catalogue
from softgate.policy.monitor.board import Board
from softgate.runtime.quota import usable_cpus
from softgate.settings import Settings
from softgate.web import logs
from softgate.web.accepting import Accepting
from softgate.web.app import Parts, create_app
from softgate.web.http import Http
from softgate.web.metrics.exposition import Exposition
from softgate.web.metrics.layout import WebCounts, web_counts
from softgate.web.reloads import FAILURE, Reloads
from softgate.web.second import Second, second
from softgate.web.sweeper import Sweeper
from softgate.web.tokens import TokensFile

logger = logging.getLogger("softgate.web")

# Ticks of uvicorn's, ten a second, between looks for clients that take too long.
TICKS_PER_LOOK = 5
LOOK_SECONDS = 0.1
# The grace is for requests; what is left of the process afterwards takes a moment.
EXTRA_GRACE_SECONDS = 2
# A worker that could not load its models; the supervisor does not start it again.
EXIT_STARTUP_FAILED = 3
# A model's thread and the event loop take turns with Python. With the 5 ms of the default each waits for the other, and
# no batch is run while the last one's answers are written.
TURN_SECONDS = 2e-4


def threads(settings: Settings) -> int:
    """Most threads per graph, in each worker."""
    return settings.threads or max(1, usable_cpus() // settings.workers)


class Server(uvicorn.Server):
    """uvicorn's, which leaves connections to workers that have fewer, and loses none when it stops."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        own: WebCounts,
        others: Callable[[], Sequence[float]],
        leave: Callable[[], None],
        supervised: bool,
        second: Second,
    ) -> None:
        """
        `leave` is called at the first signal to stop; `supervised`: a supervisor kills what is to end at once.

        `second` listens as long as this does.
        """
        super().__init__(config)
        self._own = own
        self._others = others
        self._leave = leave
        self._supervised = supervised
        self._second = second
        self.servers = []
        edge: Any = config.app
        self._sweeper = Sweeper(self._open, edge.limits, keep_alive_seconds=config.timeout_keep_alive)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([])
        if not self.should_exit:
            await self._second.start()
        for listener in sockets or ():
            accepting: Any = Accepting(
                listener, self._make_protocol, own=lambda: self._own.n_connections, others=self._others
            )
            self.servers.append(accepting)

    def _open(self) -> Collection[Any]:
        return self.server_state.connections

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        self._own.beat()
        if counter % TICKS_PER_LOOK == 0:
            self._sweeper.look(time.monotonic())
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal lets requests end; the second does not wait for anything."""
        if self.should_exit:
            # A terminal and systemd tell the workers, and the supervisor they tell as well tells them again.
            if not self._supervised:
                os._exit(128 + sig)
            return
        self.should_exit = True
        for accepting in self.servers:
            accepting.close()
        self._leave()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """
        Lose nothing that a client sent: leave the socket first, then close each connection with an answer.

        Where a graph does not come back, its thread would keep the process: then it ends without it.
        """
        patience = (self.config.timeout_graceful_shutdown or 0) + EXTRA_GRACE_SECONDS
        end = threading.Timer(patience, os._exit, (0,))
        end.daemon = True
        end.start()
        # uvicorn waits for tasks as for connections.
        stopping = asyncio.create_task(self._second.stop())
        self.server_state.tasks.add(stopping)
        stopping.add_done_callback(self.server_state.tasks.discard)
        accepting: Any
        for accepting in self.servers:
            accepting.close_empty()
            await accepting.wait_closed()
        self._own.left()
        sweeping = asyncio.create_task(self._sweep())
        await super().shutdown(sockets)
        sweeping.cancel()

    async def _sweep(self) -> None:
        """Where uvicorn does not tick any more."""
        self._sweeper.leave()
        while True:
            self._sweeper.look(time.monotonic())
            await asyncio.sleep(LOOK_SECONDS)

    def _make_protocol(self) -> Http:
        return Http(self.config, self.server_state, self.lifespan.state)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker stands among others."""

    board: Board
    reloads: Reloads
    row: int
    """Of the counts."""
    beside: Sequence[int]
    """The rows of those that serve the same."""
    alone: bool
    """Nobody else listens on the socket."""
    supervised: bool
    tokens: TokensFile | None
    grpc: str | None
    """The address for gRPC, where it is spoken."""


def run(listener: socket.socket, place: Place, settings: Settings) -> int:
    """Serve until told to stop; returns the exit code."""
    board, counts = place.board, place.board.counts
    row, own_counts = counts.row(place.row), web_counts(counts, worker=place.row)
    own_counts.worker_started()
    logs.set_up(settings.log_format, own_counts.dropped_log_lines)
    exit_code = 0

    def failed(exc: Exception) -> None:
        nonlocal exit_code
        if isinstance(exc, SoftgateError):
            logger.critical(str(exc), extra={"code": exc.code})
        else:
            logger.critical("a model does not load", exc_info=exc)
        place.reloads.order(f"{FAILURE}{exc}")
        exit_code = EXIT_STARTUP_FAILED
        server.should_exit = True

    sys.setswitchinterval(TURN_SECONDS)
    catalogue = Catalogue(
        board.bundles,
        lambda section: counts.layout.view(row, section),
        default=settings.default_model,
        unloaded=board.unloaded,
    )

    def leave() -> None:
        catalogue.leaving = True
        own_counts.leave()

    parts = Parts(
        catalogue=catalogue,
        board=board,
        exposition=Exposition(board, time.monotonic),
        counts=own_counts,
        settings=settings,
        threads=threads(settings),
        clock=time.monotonic,
        reloads=place.reloads,
        alone=place.alone,
        admitted=lambda: own_counts.is_admitted or server.should_exit,
        failed=failed,
        tokens=place.tokens,
    )
    app = create_app(parts)
    beside = [web_counts(counts, worker=other) for other in place.beside]
    server = Server(
        uvicorn.Config(
            app,
            loop="uvloop",
            http=Http,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=settings.grace_seconds,
        ),
        own=own_counts,
        # Those that load models, or do not run any more, take no connections.
        others=lambda: [other.n_connections for other in beside if other.is_ready],
        leave=leave,
        supervised=place.supervised,
        second=second(place.grpc, app, parts, beside=beside),
    )
    # While the server runs, uvicorn sees to it that it is called.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.handle_exit)
    server.run(sockets=[listener])
    return exit_code
