"""One worker: uvicorn on a socket that was bound for it."""

import logging
import signal
import socket
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from typing import Any

import uvicorn

from softgate.errors import SoftgateError, StartupFailed
from softgate.policy.catalogue import Catalogue
from softgate.policy.monitor.board import Board
from softgate.runtime.quota import usable_cpus
from softgate.settings import Settings
from softgate.web import logs
from softgate.web.accepting import Accepting
from softgate.web.app import Parts, create_app
from softgate.web.http import Http
from softgate.web.metrics.exposition import Exposition
from softgate.web.metrics.layout import web_counts
from softgate.web.sweeper import Sweeper

logger = logging.getLogger("softgate.web")

BACKLOG = 2048
# Ticks of uvicorn's, ten a second, between looks for clients that take too long.
TICKS_PER_LOOK = 5
# A worker that could not load its models; the supervisor does not start it again.
EXIT_STARTUP_FAILED = 3


def bind(host: str, port: int) -> socket.socket:
    """
    A listening socket. Raises StartupFailed.

    With the protocol named: a socket made without it reports 0, and asyncio then leaves TCP_NODELAY off, which costs
    44 ms on every keep-alive request.
    """
    with ExitStack() as stack:
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            listener = stack.enter_context(socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except (OSError, UnicodeError) as exc:
            raise StartupFailed(f"Cannot listen on {host}:{port}: {getattr(exc, 'strerror', None) or exc}.") from exc
        stack.pop_all()
    listener.setblocking(False)
    return listener


def threads(settings: Settings) -> int:
    """Most threads per graph, in each worker."""
    return settings.threads or max(1, usable_cpus() // settings.workers)


def url(listener: socket.socket) -> str:
    """Where a client finds the server."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if listener.family == socket.AF_INET6 else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """uvicorn's, which leaves connections to workers that have fewer."""

    def __init__(
        self, config: uvicorn.Config, *, alone: bool, own: Callable[[], float], others: Callable[[], Sequence[float]]
    ) -> None:
        super().__init__(config)
        self._alone = alone
        self._own = own
        self._others = others
        edge: Any = config.app
        self._sweeper = Sweeper(self._open, edge.limits, keep_alive_seconds=config.timeout_keep_alive)

    async def on_tick(self, counter: int) -> bool:
        if counter % TICKS_PER_LOOK == 0:
            self._sweeper.look(time.monotonic())
        return await super().on_tick(counter)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self._alone:
            await super().startup(sockets)
            return
        await super().startup([])
        for listener in sockets or ():
            accepting: Any = Accepting(listener, self._make_protocol, own=self._own, others=self._others)
            self.servers.append(accepting)

    def _open(self) -> Collection[Any]:
        return self.server_state.connections

    def _make_protocol(self) -> Http:
        return Http(self.config, self.server_state, self.lifespan.state)


def run(listener: socket.socket, board: Board, settings: Settings, *, worker: int) -> int:
    """Serve until told to stop; returns the exit code. `worker` is this process's row of the counts."""
    counts = board.counts
    row = counts.row(worker)
    own_counts = web_counts(counts, worker=worker)
    own_counts.worker_started()
    logs.set_up(settings.log_format, own_counts.dropped_log_lines)
    exit_code = 0

    def failed(exc: Exception) -> None:
        nonlocal exit_code
        if isinstance(exc, SoftgateError):
            logger.critical(str(exc), extra={"code": exc.code})
        else:
            logger.critical("a model does not load", exc_info=exc)
        exit_code = EXIT_STARTUP_FAILED
        server.should_exit = True

    app = create_app(
        Parts(
            catalogue=Catalogue(board.bundles, lambda section: counts.layout.view(row, section)),
            board=board,
            exposition=Exposition(board, time.monotonic),
            counts=own_counts,
            settings=settings,
            threads=threads(settings),
            clock=time.monotonic,
            failed=failed,
        )
    )
    beside = [web_counts(counts, worker=other) for other in range(settings.workers) if other != worker]
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
        alone=settings.workers == 1,
        own=lambda: own_counts.n_connections,
        # Those that load models, or do not run any more, take no connections.
        others=lambda: [other.n_connections for other in beside if other.is_ready],
    )

    # uvicorn raises the signal that stopped it once more when it is done; caught here, the exit code stays 0.
    def stop(*_: object) -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    server.run(sockets=[listener])
    return exit_code
