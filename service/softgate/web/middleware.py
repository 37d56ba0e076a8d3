"""
The outermost layer: request id, tokens, body limit, errors, access log and the counts of answers.

A protocol's own paths go straight from here to its handler; everything else goes to the FastAPI application. A FastAPI
route costs four times the rest of a small prediction, measured, so the predict path does not pass through one.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from softgate.errors import InvalidInput, SoftgateError
from softgate.policy.batch import Part
from softgate.runtime.jobs import Job
from softgate.web import calls
from softgate.web.asgi import (
    ClientGone,
    check_plain,
    pieces,
    read_request,
    send_answer,
    unless_gone,
    while_there,
)
from softgate.web.auth import Guard
from softgate.web.bulk import Bulk
from softgate.web.head import Limits, header
from softgate.web.journal import CLIENT_GONE, Asked, Journal, request_id_of
from softgate.web.metrics.layout import WebCounts
from softgate.web.protocols import Answer, Protocol, Request, owner
from softgate.web.room import Room
from softgate.web.whole import TIMEOUT_HEADER, Route, Whole, Write

MILLISECONDS = re.compile(rb"[1-9][0-9]{0,6}")
MOST_MILLISECONDS = 3_600_000
# Where the rest of the web floor finds the id of a request: a key of its ASGI scope.
REQUEST_ID_KEY = "softgate.request_id"
# So many bodies of the largest size may be under way at once.
MOST_LARGEST_BODIES = 32


class Writing:
    """Called with the answer to a request that is taken and whole: has it written, counted and logged."""

    __slots__ = ("_journal", "_request_id", "_started", "_whole", "_write")

    def __init__(self, whole: Whole, write: Write, journal: Journal, *, request_id: str, started: float) -> None:
        self._whole = whole
        self._write = write
        self._journal = journal
        self._request_id = request_id
        self._started = started

    def __call__(self, found: Answer | BaseException) -> None:
        journal, request_id = self._journal, self._request_id
        if isinstance(found, BaseException):
            problem = journal.noted(found, request_id)
            answer = self._whole.route.protocol.refuse(problem, request_id=request_id)
        else:
            answer = found
            if answer.cause is not None:
                journal.noted(answer.cause, request_id)
        journal.answered(answer.status)
        self._write(answer, request_id)
        journal.ended(self._whole, answer.status, request_id=request_id, started=self._started)


class Edge:
    """The ASGI application that the server runs."""

    def __init__(
        self,
        app: ASGIApp,
        protocols: Sequence[Protocol],
        counts: WebCounts,
        *,
        bulk: Bulk,
        clock: Callable[[], float],
        max_body_bytes: int,
        request_timeout_ms: int,
        journal: Journal,
        guard: Guard | None = None,
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> None:
        """`guard`: None where nobody is asked for a token."""
        self._app = app
        self._protocols = protocols
        self._counts = counts
        self._bulk = bulk
        self.guard = guard
        self._clock = clock
        self.max_body_bytes = max_body_bytes
        self._timeout_seconds = request_timeout_ms / 1000
        self.limits = limits
        self.room = Room(MOST_LARGEST_BODIES * max_body_bytes)
        self.journal = journal
        # Clients ask for a few paths over and over; whoever makes up others only pushes them out.
        self.route = lru_cache(maxsize=256)(self._find)
        """The protocol that a path belongs to, with what the path names; None for a path of the API."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = self._clock()
        request_id = scope[REQUEST_ID_KEY] = request_id_of(header(scope["headers"], b"x-request-id"))
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self.journal.answered(status)
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        route = self.route(scope["method"], scope["path"])
        problem = None
        try:
            if self.guard is not None:
                self.guard.admit(scope["method"], scope["path"], route, scope["headers"], started)
            if route is None:
                await self._app(scope, receive, noting)
            elif self._bulk.takes(route.protocol, header(scope["headers"], b"content-type")):
                check_plain(scope["headers"])
                lines = Request(
                    route.model,
                    route.version,
                    query=scope["query_string"],
                    content_type=b"",
                    headers=scope["headers"],
                    body=b"",
                    started=started,
                    expires_at=started + self._seconds(header(scope["headers"], TIMEOUT_HEADER)),
                )
                noted = partial(self.journal.noted, request_id=request_id)
                await self._bulk.answer(
                    lines, pieces(scope, receive), while_there(scope, noting), noted, room=self.room
                )
            else:
                limit, room = self.max_body_bytes, self.room
                expires_at = started + self._seconds(header(scope["headers"], TIMEOUT_HEADER))
                request = await read_request(
                    scope, receive, route, limit=limit, room=room, started=started, expires_at=expires_at
                )
                answer = await unless_gone(calls.answer(route.protocol, request, clock=self._clock), receive)
                if answer.cause is not None:
                    self.journal.noted(answer.cause, request_id)
                await send_answer(answer, noting)
        except ClientGone:
            if status == 0:
                self.journal.answered(CLIENT_GONE)
            status = CLIENT_GONE
        except Exception as exc:
            # The last handler: whatever got here is told as a problem and, where it is our fault, logged.
            problem = self.journal.noted(exc, request_id)
        # Not in the handler: compiled, others who run meanwhile would find its exception to be theirs.
        if problem is not None and status == 0:
            protocol = owner(self._protocols, scope["path"]) if route is None else route.protocol
            await send_answer(protocol.refuse(problem, request_id=request_id), noting)
        asked = Asked(scope["method"], scope["path"], scope.get("client"))
        self.journal.ended(asked, status, request_id=request_id, started=started)

    def connected(self, n_open: int) -> None:
        """Notes how many connections there are now."""
        self._counts.connected(n_open)

    def answer_whole(self, whole: Whole, write: Write) -> Job[Any, Part] | None:
        """
        The same for a request that is taken and whole, without ASGI's messages: `write` is called once.

        The job under way, if there is one: whoever sets its `left` must call `lost`. Never raises.
        """
        started = self._clock()
        protocol = whole.route.protocol
        request_id = request_id_of(whole.request_id)

        done = Writing(whole, write, self.journal, request_id=request_id, started=started)
        model, version = whole.route.model, whole.route.version
        try:
            if self.guard is not None:
                self.guard.admit(whole.method, whole.path, whole.route, whole.headers, started)
            expires_at = started + (self._seconds(whole.timeout) if whole.timeout else self._timeout_seconds)
            request = Request(
                model,
                version,
                content_type=whole.content_type,
                headers=whole.headers,
                body=whole.body,
                started=started,
                expires_at=expires_at,
            )
            return calls.begin(protocol, request, clock=self._clock, done=done)
        except BaseException as exc:
            # A panic of a library written in Rust as well: nobody above would answer.
            done(exc)
            return None

    def refused(self, exc: SoftgateError, whole: Whole | None, peer: tuple[str, int] | None) -> tuple[Answer, str]:
        """The answer to what is no request, or not a whole one, and its id; `whole` is the part that is there."""
        request_id = request_id_of(b"" if whole is None else whole.request_id)
        protocol = self._protocols[0] if whole is None else whole.route.protocol
        answer = protocol.refuse(self.journal.noted(exc, request_id), request_id=request_id)
        self.journal.answered(answer.status)
        asked = whole or Asked("", "", peer)
        self.journal.ended(asked, answer.status, request_id=request_id, started=self._clock())
        return answer, request_id

    def lost(self, whole: Whole) -> None:
        """The client of a request that is taken went away before its answer."""
        self.journal.answered(CLIENT_GONE)
        request_id = request_id_of(whole.request_id)
        self.journal.ended(whole, CLIENT_GONE, request_id=request_id, started=self._clock())

    def _find(self, method: str, path: str) -> Route | None:
        for protocol in self._protocols:
            found = protocol.match(method, path)
            if found is not None:
                return Route(protocol, *found)
        return None

    def _seconds(self, asked: bytes) -> float:
        """How long a request may wait for the graph. Raises InvalidInput."""
        if not asked:
            return self._timeout_seconds
        if not MILLISECONDS.fullmatch(asked) or int(asked) > MOST_MILLISECONDS:
            raise InvalidInput(f"Expected an X-Request-Timeout-Ms of 1 to {MOST_MILLISECONDS}, without sign or point.")
        return int(asked) / 1000
