"""
uvicorn's HTTP/1.1 protocol for clients that mean harm: slow, silent, endless, and those whose requests are none.

uvicorn sets no deadline and no cap. Here the caps hold as bytes arrive, and the deadlines are looked at by one sweeper
for all connections (`sweeper.py`): a request costs no clock and no timer.
"""

import asyncio
from collections.abc import Callable, Collection
from enum import Enum
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from softgate.errors import MalformedRequest, RequestTimeout, SoftgateError
from softgate.web import errors
from softgate.web.bulk import is_lines
from softgate.web.head import no_request, too_large
from softgate.web.protocols import Answer
from softgate.web.whole import Edge, Whole, first_lines, lines

# What is parsed at once.
PIECE_BYTES = 4096
# The key of an ASGI scope under which the application finds why there will be no more of the body.
REFUSAL_KEY = "softgate.refusal"


class Awaited(Enum):
    """What a client is waited for; each has its deadline."""

    REQUEST = "the next request"
    """On a connection that is kept."""
    HEAD = "the end of the headers"
    """Of the first request from the moment of the connection."""
    BODY = "the end of the body"
    """Of a stream of lines, more of it."""
    READER = "a client that reads"
    CLOSE = "a client that closes"
    """It was told that nothing more is read."""


class Guarded(HttpToolsProtocol):
    """Its subclass sets `_awaited` where the parser calls back."""

    _edge: Edge
    _awaited: Awaited | None = Awaited.HEAD
    """Of what is read; None where it is a whole request."""
    _n_begun = 0
    """Requests, whole ones or not."""
    _n_read = 0
    """Of the bytes that were just read, those of the request under way, at most."""
    _n_loose = 0
    """Bytes that were read since there was a request, a head or a piece of a body."""
    _n_pieces = 0
    """Of bodies."""
    _n_pauses = 0
    """Times that the client did not read."""
    _under_way: Any = None
    """The last request that was begun; those behind it wait in the pipeline."""
    _held = b""
    """What was read behind a request that waits for another."""
    _deaf = False
    """Whether what still comes is ignored: the connection ends behind the last answer."""
    _has_answered = False
    """Whether an answer was sent since there were bytes to parse."""
    _parted = False
    """Whether there will be no more answers."""
    _leaving = False
    """Whether the server ends, and waits for nobody's leave."""
    _refusal: SoftgateError | None = None
    """To be told behind the answers under way."""
    _refused: Whole | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        # To uvicorn a FlowControl, and none at first; compiled, an attribute keeps to its type.
        self._flow = Flow(self)
        self.flow = self._flow
        # Blank lines may come before there is a message.
        self.headers = []

    def data_received(self, data: bytes) -> None:
        self._has_answered = False
        if self._held or self.pipeline or len(data) > PIECE_BYTES:
            self._held += data
            self._feed_held()
        elif not self._deaf:
            self._feed(data)

    def read_on(self) -> None:
        """No request waits for another any more."""
        self._flow.resume_reading()
        if self._held:
            # Not from within the parser, which may be who calls.
            self.loop.call_soon(self._feed_held)

    def _feed_held(self) -> None:
        """
        Bit by bit, and no further than to a request that has to wait.

        One read has room for ten thousand requests, of which each would take a hundred times its room once parsed.
        """
        self._has_answered = False
        data, start = self._held, 0
        while start < len(data) and not self._deaf and not self.pipeline and self.parser is not None:
            self._feed(data[start : start + PIECE_BYTES])
            start += PIECE_BYTES
        self._held = b"" if self._deaf else data[start:]

    def _feed(self, data: bytes) -> None:
        self._n_read = len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # What follows is another protocol.
            pass
        except httptools.HttpParserError as exc:
            self._refuse(no_request(exc))
            return
        if self._awaited is not None:
            self._n_loose += self._n_read
            limits = self._edge.limits
            if self._n_loose > limits.max_header_bytes or len(self.headers) > limits.max_headers:
                # Of a body, they would be extensions of chunks, and trailers.
                of_head, of_body = too_large(limits), MalformedRequest("Expected chunks without endless extensions.")
                self._refuse(of_body if self._awaited is Awaited.BODY else of_head)

    def pause_writing(self) -> None:
        self._n_pauses += 1
        super().pause_writing()

    def shutdown(self) -> None:
        """The server leaves: the answer to what is under way, or to what comes next, closes the connection."""
        self._leaving = True
        if self.cycle is not None and not self.pipeline:
            self.cycle.keep_alive = False

    def awaited(self) -> tuple[Awaited, int, int] | None:
        """What the client is waited for, and since which request and piece; None where it waits for the server."""
        if self.flow.write_paused or self.transport.is_closing():
            return Awaited.READER, 0, self._n_pauses
        if self._parted:
            return Awaited.CLOSE, 0, 0
        if self._awaited is Awaited.BODY and not self._deaf:
            n_pieces = self._n_pieces if self._is_stream() else 0
            return None if self.flow.read_paused else (Awaited.BODY, self._n_begun, n_pieces)
        if self.cycle is not None and not self.cycle.response_complete:
            return None
        if self._deaf:
            return Awaited.CLOSE, 0, 0
        # Of a connection's first request, the first byte belongs to the head.
        return self._awaited or Awaited.REQUEST, max(self._n_begun, 1), 0

    def overdue(self, awaited: Awaited) -> None:
        """The client was waited for as long as it may take."""
        if awaited in (Awaited.READER, Awaited.CLOSE):
            self.transport.abort()
        elif awaited is Awaited.REQUEST or self._n_begun == 0:
            # Nothing was asked, so there is nothing to answer.
            self.transport.close()
        else:
            self._refuse(RequestTimeout(f"Expected {awaited.value} in time."))

    def part(self) -> None:
        """
        Close, behind what is written.

        Where a body is still on its way, the client gets a while to read the answer first: a socket that is closed
        with bytes unread makes the system throw away what the other side has not read.
        """
        self._deaf = self._parted = True
        if self._awaited is None or self._leaving:
            self.transport.close()
        else:
            self.transport.write_eof()
            # Whoever waits in the pipeline waits in vain, and unread the client's leave would never be seen.
            self._flow.let_go()

    def _refuse(self, exc: SoftgateError) -> None:
        """Answer the request that is being read with this, behind the answers to those before it, and close."""
        self._deaf = True
        cycle: Any = self.cycle
        is_under_way = cycle is not None and not cycle.response_complete
        if self._awaited is Awaited.BODY and not is_under_way:
            # It has its answer already.
            self.part()
            return
        if self._awaited is Awaited.BODY and not isinstance(cycle, Whole):
            # It is the application that answers.
            cycle.keep_alive = False
            cycle.scope[REFUSAL_KEY] = exc
            cycle.message_event.set()
            return
        self._refusal = exc
        if self._awaited is Awaited.BODY:
            self._refused = cycle
            cycle.response_complete = True
            if self.pipeline:
                # The last that came.
                self.pipeline.popleft()
            is_under_way = bool(self.pipeline) or not (self._under_way is None or self._under_way.response_complete)
        if not is_under_way:
            self._tell_refusal()

    def _tell_refusal(self) -> None:
        assert self._refusal is not None, "Called where there is one."
        answer, request_id = self._edge.refused(self._refusal, self._refused, self.client)
        self._send(answer, request_id, keep_alive=False)
        self.part()

    def _send(self, answer: Answer, request_id: str, *, keep_alive: bool) -> None:
        self.transport.write(
            b"%b%b%b%bcontent-length: %d\r\nx-request-id: %b\r\n%b\r\n%b"
            % (
                first_lines(answer.status, answer.content_type),
                b"" if answer.status == 200 else lines(errors.more_headers(answer.status)),
                lines(answer.headers) if answer.headers else b"",
                lines(self.server_state.default_headers),
                len(answer.body),
                request_id.encode(),
                b"" if keep_alive else b"connection: close\r\n",
                answer.body,
            )
        )

    def _is_stream(self) -> bool:
        cycle: Any = self.cycle
        headers = [] if isinstance(cycle, Whole) else cycle.scope["headers"]
        return any(name == b"content-type" and is_lines(value) for name, value in headers)


class Flow(FlowControl):
    """uvicorn's, which reads on as soon as some request wants its body; here not while another waits behind it."""

    def __init__(self, http: Guarded) -> None:
        super().__init__(http.transport)
        self._pipeline: Collection[Any] = http.pipeline

    def let_go(self) -> None:
        """Read on whoever waits: what comes is thrown away."""
        self._pipeline = ()
        self.resume_reading()

    def resume_reading(self) -> None:
        if self.read_paused and not self._pipeline:
            super().resume_reading()


class Parting:
    """To uvicorn's cycles the transport: they close it by `part`."""

    def __init__(self, http: Guarded) -> None:
        self.write: Callable[[bytes], None] = http.transport.write
        self.is_closing: Callable[[], bool] = http.transport.is_closing
        self.close: Callable[[], None] = http.part
