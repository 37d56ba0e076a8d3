"""
uvicorn's HTTP/1.1 protocol, without the hole it leaves at an Upgrade, and with a short way for predictions.

A request that the edge takes whole, its body small and of a stated length, is held until it is there, and its answer
is written at once: a task, ASGI's messages and a second write cost as much again as the rest of a small prediction,
measured.
"""

import asyncio
from functools import cache, partial
from typing import Any

from uvicorn import Config
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from softgate.web.bulk import is_lines
from softgate.web.guarded import PIECE_BYTES, Awaited, Guarded, Parting
from softgate.web.head import VERSIONS, check_head, is_host
from softgate.web.protocols import Answer
from softgate.web.whole import TIMEOUT_HEADER, Edge, Whole, unused

# The key of an ASGI scope whose request asked for another protocol.
SWITCHING_KEY = "softgate.switching"
# The key of an ASGI scope under which a long answer finds out whether its client is still there: while it is not read
# from, nothing else would tell.
IS_GONE_KEY = "softgate.is_gone"
# uvicorn stops reading for more, and goes on when the application has taken some.
LARGEST_WHOLE_BODY = 81_920
# Members of an enumeration take their time to look up.
HEAD, BODY = Awaited.HEAD, Awaited.BODY
# As numbers: to look for one byte as bytes, Python first fails to take them for a number, a third of a µs each time.
_PERCENT, _QUESTION_MARK, _HASH = b"%?#"
_NOT_WHOLE = {b"host", b"transfer-encoding", b"content-encoding", b"expect"}


class Http(Guarded):
    """
    Ignores a wish for another protocol, and says so by closing the connection after the answer.

    The parser stops after the headers of such a request. Whatever follows them is neither its body, which is lost, nor
    the next request, for which uvicorn would take it.
    """

    _is_held = False
    """Whether the next one waits until the client has read what is written already."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._edge, self._proxies = _edge(self.config)
        self._edge.connected(len(self.connections))

    def on_message_begin(self) -> None:
        # What else uvicorn prepares here is for the application, to which most requests do not get.
        self.url = b""
        self.headers = []
        self._awaited = HEAD
        self._n_begun += 1
        self._n_loose = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        whole = self._whole()
        self._n_read = self._n_loose = 0
        if whole is not None:
            self._awaited = BODY
            is_next = self.cycle is None or self.cycle.response_complete
            self.cycle = whole  # type: ignore[assignment]  # it has all that uvicorn asks of one
            if is_next and not self._has_answered:
                self._under_way = whole
            else:
                self.flow.pause_reading()
                queue: Any = self.pipeline
                queue.appendleft((whole, self.app))
                if is_next:
                    self.loop.call_soon(self._next)
            return
        check_head(self.url, self.headers, self.parser.get_http_version(), self._edge.limits)
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        for name, value in headers:
            super().on_header(name, value)
        super().on_headers_complete()
        self._awaited = BODY
        if self._leaving:
            self.cycle.keep_alive = False
        self.cycle.transport = Parting(self)  # type: ignore[assignment]  # it writes and closes
        # Trailers; they mean nothing here.
        self.headers = []
        if self.parser.should_upgrade():
            self._deaf = True
            self.cycle.keep_alive = False
            # The application has not run yet: its task was made a line ago.
            self.scope[SWITCHING_KEY] = True  # type: ignore[literal-required]  # ASGI lets a server add keys

    def on_body(self, body: bytes) -> None:
        self._n_read = self._n_loose = 0
        self._n_pieces += 1
        cycle: Any = self.cycle
        if isinstance(cycle, Whole):
            cycle.body += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._awaited = None
        self._n_read = 0
        cycle: Any = self.cycle
        if not isinstance(cycle, Whole):
            super().on_message_complete()
            return
        cycle.more_body = False
        if not any(waiting is cycle for waiting, _ in self.pipeline):
            self._answer(cycle)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._edge.connected(len(self.connections))
        cycles: list[Any] = [self._under_way, self.cycle, *(cycle for cycle, _ in self.pipeline)]
        for cycle in cycles:
            if cycle is None or cycle.response_complete:
                continue
            cycle.disconnected = True
            cycle.message_event.set()
            if isinstance(cycle, Whole):
                cycle.response_complete = True
                if cycle.job is not None:
                    cycle.job.left = True
                self._edge.lost(cycle)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing() or self._parted:
            return
        if self.pipeline:
            self.loop.call_soon(self._next)
        else:
            self.read_on()
            if self._refusal is not None:
                self._tell_refusal()

    def _next(self) -> None:
        """
        Begin the next of the pipeline, unless the client has to read first.

        In a turn of its own: hundreds behind each other would be as many calls deep, and hold up everybody else.
        """
        if self.transport.is_closing() or not self.pipeline:
            return
        self._is_held = self.flow.write_paused
        if not self._is_held:
            cycle, app = self.pipeline.pop()
            if not self.pipeline:
                self.read_on()
            self._start_asgi_task(cycle, app)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._is_held:
            self._next()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._under_way = cycle
        if not isinstance(cycle, Whole):
            cycle.scope[IS_GONE_KEY] = self.transport.is_closing
            super()._start_asgi_task(cycle, app)
        elif not cycle.more_body:
            self._answer(cycle)

    def _whole(self) -> Whole | None:
        """
        The request whose headers are there, if the edge takes it whole; what `check_head` refuses, it does not.

        Not while the client reads too slowly: then its answers have to wait, which the application does.
        """
        url, length, content_type, request_id, timeout = self.url, None, b"", b"", b""
        is_plain = not (_PERCENT in url or _QUESTION_MARK in url or _HASH in url or self.root_path)
        if not is_plain or self.flow.write_paused or self.parser.should_upgrade():
            return None
        limits, n_hosts = self._edge.limits, 0
        for name, value in self.headers:
            if name == b"content-length":
                length = int(value)
            elif name == b"content-type":
                content_type = content_type or value
            elif name == b"x-request-id":
                request_id = request_id or value
            elif name == TIMEOUT_HEADER:
                timeout = timeout or value
            elif name == b"host" and is_host(value):
                n_hosts += 1
            elif name in _NOT_WHOLE:
                return None
        version = self.parser.get_http_version()
        may_be_too_large = (
            self._n_loose + PIECE_BYTES > limits.max_header_bytes or len(self.headers) > limits.max_headers
        )
        if n_hosts != 1 or version not in VERSIONS or may_be_too_large or length is None:
            return None
        is_stream = content_type != b"application/json" and is_lines(content_type)
        if is_stream or length > min(LARGEST_WHOLE_BODY, self._edge.max_body_bytes):
            return None
        method, path = self.parser.get_method().decode("ascii"), url.decode("ascii", "replace")
        route = self._edge.route(method, path)
        if route is None:
            return None
        keep_alive = version != "1.0" and self.parser.should_keep_alive()
        return Whole(
            method,
            path,
            route,
            headers=self.headers,
            content_type=content_type,
            request_id=request_id,
            peer=self.client,
            proxies=self._proxies,
            keep_alive=keep_alive,
            timeout=timeout,
        )

    def _answer(self, whole: Whole) -> None:
        whole.job = self._edge.answer_whole(whole, partial(self._write, whole))

    def _write(self, whole: Whole, answer: Answer, request_id: str) -> None:
        if whole.disconnected:
            return
        whole.response_complete = self._has_answered = True
        # Of requests sent without waiting for answers, the last one's closes.
        keep_alive = whole.keep_alive and not (self._leaving and not self.pipeline and not self._held)
        # The job leads back here by its callback: a ring that only the garbage collector would open.
        whole.job = None
        self._send(answer, request_id, keep_alive=keep_alive)
        if not keep_alive:
            self.part()
        self.on_response_complete()


@cache
def _edge(config: Config) -> tuple[Edge, ProxyHeadersMiddleware | None]:
    """The edge, and what uvicorn puts before an application: a proxy may name the client."""
    proxies = ProxyHeadersMiddleware(unused, config.forwarded_allow_ips or "127.0.0.1")
    edge: Any = config.app
    return edge, proxies if config.proxy_headers else None
