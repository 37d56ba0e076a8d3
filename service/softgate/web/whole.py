"""A request held whole, and what the edge is to the protocol that holds it."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias
from typing import Protocol as Interface

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from softgate.errors import SoftgateError
from softgate.web.head import Headers, Limits
from softgate.web.protocols import Answer, Protocol

# How long the client lets its request wait for the graph, in whole milliseconds.
TIMEOUT_HEADER = b"x-request-timeout-ms"
Write: TypeAlias = Callable[[Answer, str], None]
"""Sends an answer under a request id."""


class Nobody:
    """Stands for the event by which uvicorn wakes an application: a held request has none to wake."""

    def set(self) -> None:
        pass


_NOBODY = Nobody()


class Whole:
    """
    A request held until its body is there; to uvicorn it is one of its request cycles.

    Written out, for each request makes one: what makes a dataclass is not compiled.
    """

    __slots__ = (
        "body",
        "content_type",
        "disconnected",
        "headers",
        "job",
        "keep_alive",
        "message_event",
        "method",
        "more_body",
        "path",
        "peer",
        "proxies",
        "request_id",
        "response_complete",
        "route",
        "timeout",
    )

    def __init__(
        self,
        method: str,
        path: str,
        route: "Route",
        *,
        headers: Headers,
        content_type: bytes,
        request_id: bytes,
        peer: tuple[str, int] | None,
        proxies: ProxyHeadersMiddleware | None,
        keep_alive: bool,
        timeout: bytes = b"",
    ) -> None:
        """`request_id` as the client names it, and what TIMEOUT_HEADER says; each empty where there is none."""
        self.method = method
        self.path = path
        self.route = route
        self.headers = headers
        self.content_type = content_type
        self.request_id = request_id
        self.peer = peer
        self.proxies = proxies
        self.keep_alive = keep_alive
        self.timeout = timeout
        self.body = b""
        self.more_body = True
        self.disconnected = False
        self.response_complete = False
        self.message_event = _NOBODY
        self.job: Any = None
        """What the edge has under way for it."""

    def client(self) -> str | None:
        """The client's address, as a trusted proxy tells it."""
        scope: Any = {"type": "http", "client": self.peer, "headers": self.headers}
        if self.proxies is not None:
            # It writes to the scope, and waits for nothing but the application behind it.
            nothing: Any = None
            with suppress(StopIteration):
                self.proxies(scope, nothing, nothing).send(None)
        return None if scope["client"] is None else scope["client"][0]


@dataclass(frozen=True)
class Route:
    """Where a path leads: a protocol, and the model and version that it names."""

    protocol: Protocol
    model: str
    version: str | None


class Edge(Interface):
    """What this asks of the application."""

    max_body_bytes: int
    limits: Limits
    route: Callable[[str, str], Route | None]
    """Of a method and a path; `answer_whole` answers where there is one."""

    def answer_whole(self, whole: Whole, write: Write) -> Any:
        """Answers a request whose body is there, now or later. The job under way, if there is one. Never raises."""

    def refused(self, exc: SoftgateError, whole: Whole | None, peer: tuple[str, int] | None) -> tuple[Answer, str]:
        """The answer to what is no request, or not a whole one, and its id; `whole` is the part that is there."""

    def lost(self, whole: Whole) -> None:
        """Notes a request whose client went away before its answer."""

    def connected(self, n_open: int) -> None:
        """Notes how many connections there are now."""


async def unused(*_: Any) -> None:
    """Stands where ASGI wants an application, or a way to it, that has nothing to do."""


@cache
def first_lines(status: int, content_type: bytes) -> bytes:
    """Of an answer: its status, and what it is."""
    return STATUS_LINE[status] + lines([(b"content-type", content_type)])


def lines(headers: Headers) -> bytes:
    """As they are sent."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])
