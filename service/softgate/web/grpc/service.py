"""
The gRPC service: to its methods what the edge is to HTTP. Tokens, limits, deadlines, errors, counts and the log.

Each call is counted once, under the status that its answer would have over HTTP.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import unquote

import grpc
from google.protobuf.message import DecodeError

from softgate.errors import (
    DeadlineExceeded,
    HeadersTooLarge,
    MalformedBody,
    Overloaded,
    RequestTimeout,
    UnsupportedExtension,
)
from softgate.web import errors
from softgate.web.auth import Guard, authorization, check_model
from softgate.web.errors import Problem
from softgate.web.grpc.departure import Departure
from softgate.web.grpc.messages import MESSAGES, PACKAGE
from softgate.web.grpc.methods import METHODS, Asked, Method, Methods
from softgate.web.head import Headers, header
from softgate.web.journal import CLIENT_GONE, Journal, request_id_of
from softgate.web.protocols.open_inference.inference import status
from softgate.web.protocols.protocol import Answer
from softgate.web.tokens import Token

SERVICE = f"{PACKAGE}.GRPCInferenceService"
CODES: Mapping[int, grpc.StatusCode] = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    431: grpc.StatusCode.RESOURCE_EXHAUSTED,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
# Where a client finds what HTTP answers in a header and in the body of an error.
REQUEST_ID_KEY = "x-request-id"
CODE_KEY = "softgate-code"
# For gRPC to say that it has refused a message.
REFUSAL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Limits:
    max_headers: int
    body_seconds: float
    timeout_seconds: float
    """For a request to get to the graph."""


@dataclass(frozen=True, slots=True)
class Rpc:
    """A call, as the log tells of it."""

    path: str
    peer: str
    """As gRPC writes it: `ipv4:127.0.0.1:5000`."""
    request_id: str
    started: float
    method: str = "POST"

    def client(self) -> str | None:
        return unquote(self.peer).partition(":")[2].rpartition(":")[0].strip("[]") or None


class Service:
    """gRPC asks it for the handler of a path."""

    def __init__(
        self,
        methods: Methods,
        departure: Departure,
        *,
        journal: Journal,
        guard: Guard | None,
        limits: Limits,
        clock: Callable[[], float],
    ) -> None:
        """`guard`: None where nobody is asked for a token."""
        self._methods = methods
        self._departure = departure
        self._journal = journal
        self._guard = guard
        self._limits = limits
        self._clock = clock
        # The message is read here and not by gRPC, so that it has a deadline, and a mistake in it is the client's.
        self._handlers = {
            f"/{SERVICE}/{name}": grpc.stream_unary_rpc_method_handler(
                partial(self._serve, f"/{SERVICE}/{name}", partial(self._answered, method))
            )
            for name, method in METHODS.items()
        }

    def service(self, details: Any) -> Any:
        """Named so by gRPC."""
        found = self._handlers.get(details.method)
        if found is None:
            found = grpc.stream_stream_rpc_method_handler(partial(self._serve, details.method, self._unknown))
        return found

    async def _serve(
        self, path: str, answering: Callable[[Any, Headers, float], Awaitable[Answer]], _: Any, context: Any
    ) -> bytes:
        self._departure.came()
        headers, started = _headers(context.invocation_metadata()), self._clock()
        rpc = Rpc(path, context.peer(), request_id_of(header(headers, b"x-request-id")), started)
        try:
            answer = await answering(context, headers, started)
            await self._departure.answer()
            if answer.cause is not None:
                self._journal.noted(answer.cause, rpc.request_id)
        except asyncio.CancelledError:
            self._left(rpc, is_late=context.time_remaining() == 0)
            raise
        except Exception as exc:
            problem = self._journal.noted(exc, rpc.request_id)
        else:
            self._ended(rpc, answer.status)
            context.set_trailing_metadata(((REQUEST_ID_KEY, rpc.request_id),))
            return answer.body
        told_over_http = status(problem)
        self._ended(rpc, told_over_http)
        more = ((name.decode(), value.decode()) for name, value in errors.more_headers(told_over_http))
        told = ((REQUEST_ID_KEY, rpc.request_id), (CODE_KEY, problem.code), *more)
        await context.abort(status_of(problem), problem.detail, told)
        raise AssertionError("It raises what ends the call.")

    async def _answered(self, method: Method, context: Any, headers: Headers, started: float) -> Answer:
        token = self._admitted(method.scope, headers, started)
        remaining = context.time_remaining()
        seconds = min(self._limits.timeout_seconds, math.inf if remaining is None else remaining)
        message = await self._read(method, context)
        if token is not None:
            check_model(token, method.model(message))
        return await method.answer(self._methods, Asked(message, started, started + seconds))

    async def _unknown(self, context: Any, headers: Headers, started: float) -> Answer:
        self._admitted("admin", headers, started)
        raise UnsupportedExtension(f"Expected a method of {SERVICE} that this server has: {', '.join(METHODS)}.")

    def _admitted(self, scope: str | None, headers: Headers, now: float) -> Token | None:
        """Raises HeadersTooLarge, Unauthenticated and Forbidden."""
        if len(headers) > self._limits.max_headers:
            raise HeadersTooLarge(f"Expected at most {self._limits.max_headers} headers.")
        if self._guard is None or scope is None:
            return None
        return self._guard.token(scope, authorization(headers), now)

    async def _read(self, method: Method, context: Any) -> Any:
        """Raises RequestTimeout and MalformedBody."""
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                content = await context.read()
        except TimeoutError as exc:
            raise RequestTimeout("Expected the end of the message in time.") from exc
        if content is grpc.aio.EOF:
            # Where gRPC has refused the message itself, as too large, this call is about to be cancelled.
            await asyncio.sleep(REFUSAL_SECONDS)
            raise MalformedBody(f"Expected a {method.request}; got no message.")
        try:
            return MESSAGES[method.request].FromString(content)
        except DecodeError as exc:
            raise MalformedBody(f"Expected a {method.request}; the message is none.") from exc

    def _left(self, rpc: Rpc, *, is_late: bool) -> None:
        """Nobody waits for the answer any more."""
        if is_late:
            late = DeadlineExceeded("Expected to be answered before the call's deadline.")
            self._ended(rpc, self._journal.noted(late, rpc.request_id).status)
        else:
            self._ended(rpc, CLIENT_GONE)

    def _ended(self, rpc: Rpc, status: int) -> None:
        self._journal.answered(status)
        self._journal.ended(rpc, status, request_id=rpc.request_id, started=rpc.started)


def _headers(metadata: Sequence[tuple[str, str | bytes]]) -> Headers:
    return [(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in metadata]


def status_of(problem: Problem) -> grpc.StatusCode:
    # Of UNAVAILABLE clients try again at once, of their own accord: it is no answer to too many of them.
    overloaded = problem.code == Overloaded.code
    return CODES.get(429 if overloaded else status(problem), grpc.StatusCode.INTERNAL)
