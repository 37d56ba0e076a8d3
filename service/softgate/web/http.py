"""
uvicorn's HTTP/1.1 protocol, without the hole it leaves at an Upgrade, and with a short way for predictions.

A request that the edge takes whole, its body small and of a stated length, is held until it is there, and its answer
is written at once: ASGI's messages and a second write cost a third as much again as the rest of a small prediction,
measured.
"""

from collections.abc import Callable
from functools import cache
from typing import Any
from typing import Protocol as Interface

from uvicorn import Config
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from softgate.web.protocols import Answer

Write = Callable[[Answer, list[tuple[bytes, bytes]]], None]
"""Sends an answer with these headers."""

# The key of an ASGI scope whose request asked for another protocol.
SWITCHING_KEY = "softgate.switching"
# uvicorn stops reading for more, and goes on when the application has taken some.
LARGEST_WHOLE_BODY = 65_536
_NOT_WHOLE = {b"transfer-encoding", b"content-encoding", b"expect"}


class Edge(Interface):
    """What this asks of the application."""

    max_body_bytes: int

    def takes(self, method: str, path: str) -> bool:
        """Whether `answer_whole` answers such requests."""

    async def answer_whole(self, scope: Any, body: bytes, write: Write) -> None:
        """Answers a request whose body is there. Never raises."""


@cache
def _whole(config: Config) -> tuple[Edge, Any]:
    """The edge, and its `answer_whole` behind what uvicorn puts before an application: a proxy may name the client."""
    edge: Any = config.app
    # Its signature is ASGI's: the middleware hands on what stands for `receive` and `send`.
    behind = ProxyHeadersMiddleware(edge.answer_whole, config.forwarded_allow_ips or "127.0.0.1")
    return edge, behind if config.proxy_headers else edge.answer_whole


class Protocol(HttpToolsProtocol):
    """
    Ignores a wish for another protocol, and says so by closing the connection after the answer.

    The parser stops after the headers of such a request. Whatever follows them is neither its body, which is lost, nor
    the next request, for which uvicorn would take it.
    """

    _switching = False
    _held: RequestResponseCycle | None = None
    """A request that the edge takes whole, until its body is there."""

    def data_received(self, data: bytes) -> None:
        if not self._switching:
            super().data_received(data)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.parser.should_upgrade():
            self._switching = True
            self.cycle.keep_alive = False
            # The application has not run yet: its task was made a line ago.
            self.scope[SWITCHING_KEY] = True  # type: ignore[literal-required]  # ASGI lets a server add keys

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if self._held is not None and self._held is self.cycle:
            self._held = None
            self._answer_whole(self.cycle)

    def connection_lost(self, exc: Exception | None) -> None:
        held, self._held = self._held, None
        super().connection_lost(exc)
        if held is not None:
            # It never gets its body, and is counted as what it is.
            super()._start_asgi_task(held, self.app)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if not self._is_taken_whole(cycle, app):
            super()._start_asgi_task(cycle, app)
        elif cycle.more_body:
            self._held = cycle
        else:
            self._answer_whole(cycle)

    def _is_taken_whole(self, cycle: RequestResponseCycle, app: Any) -> bool:
        """Not while the client reads too slowly: then its answers have to wait, which the application does."""
        if app is not self.app or self.flow.write_paused or self.parser.should_upgrade():
            return False
        length = None
        for name, value in cycle.scope["headers"]:
            if name == b"content-length":
                length = int(value)
            elif name in _NOT_WHOLE:
                return False
        edge, _ = _whole(self.config)
        return (
            length is not None
            and length <= min(LARGEST_WHOLE_BODY, edge.max_body_bytes)
            and edge.takes(cycle.scope["method"], cycle.scope["path"])
        )

    def _answer_whole(self, cycle: RequestResponseCycle) -> None:
        def write(answer: Answer, headers: list[tuple[bytes, bytes]]) -> None:
            if cycle.disconnected:
                return
            headers = [*cycle.default_headers, *headers]
            if not cycle.keep_alive:
                headers.append((b"connection", b"close"))
            lines = b"".join(b"%s: %s\r\n" % header for header in headers)
            cycle.response_started = cycle.response_complete = True
            cycle.transport.write(b"%s%s\r\n%s" % (STATUS_LINE[answer.status], lines, answer.body))
            if not cycle.keep_alive:
                cycle.transport.close()
            cycle.on_response()

        _, answer_whole = _whole(self.config)
        task = self.loop.create_task(answer_whole(cycle.scope, bytes(cycle.body), write))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)
