"""Bodies in and answers out, over ASGI's messages."""

import asyncio
import math
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from softgate.errors import BodyTooLarge, MalformedBody, UnsupportedEncoding
from softgate.web import errors
from softgate.web.http import IS_GONE_KEY, SWITCHING_KEY
from softgate.web.protocols import Answer, Request
from softgate.web.whole import Headers, Route


class ClientGone(Exception):
    """The client closed the connection before its request was complete: there is nobody to answer."""


async def read_request(
    scope: Scope, receive: Receive, route: Route, *, limit: int, started: float, expires_at: float = math.inf
) -> Request:
    """What a protocol needs of a request. Raises what `read_body` raises."""
    body = await read_body(scope, receive, limit=limit)
    content_type = header(scope["headers"], b"content-type")
    return Request(route.model, route.version, scope["query_string"], content_type, body, started, expires_at)


async def read_body(scope: Scope, receive: Receive, *, limit: int) -> bytes:
    """
    The whole body, refused as soon as it is known to be too large.

    Raises BodyTooLarge, UnsupportedEncoding, MalformedBody and ClientGone.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > limit:
            raise BodyTooLarge(f"Expected a body of at most {limit} bytes; got {int(value)}.")
    body = bytearray()
    async for piece in pieces(scope, receive):
        body += piece
        if len(body) > limit:
            raise BodyTooLarge(f"Expected a body of at most {limit} bytes; got more.")
    return bytes(body)


async def pieces(scope: Scope, receive: Receive) -> AsyncIterator[bytes]:
    """The body as it arrives. Raises UnsupportedEncoding, MalformedBody and ClientGone."""
    for name, value in scope["headers"]:
        if scope.get(SWITCHING_KEY) and (
            name == b"transfer-encoding" or (name == b"content-length" and int(value) > 0)
        ):
            raise MalformedBody("Expected a body without an Upgrade header; a client sends none with its upgrade off.")
        if name == b"content-encoding" and value.lower() != b"identity":
            raise UnsupportedEncoding("Expected a body without Content-Encoding.")
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        yield message.get("body", b"")
        more = message.get("more_body", False)


def while_there(scope: Scope, send: Send) -> Send:
    """`send` that raises ClientGone where there is nobody left to read; a server's own says nothing then."""

    async def sending(message: Message) -> None:
        await send(message)
        # Behind the last message the server itself may close.
        if message.get("more_body", False) and scope.get(IS_GONE_KEY, bool)():
            raise ClientGone

    return sending


async def unless_gone(answering: Coroutine[Any, Any, Answer], receive: Receive) -> Answer:
    """The answer to a request whose body is read. Raises ClientGone as soon as nobody waits for it any more."""
    answer, leaving = asyncio.create_task(answering), asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait((answer, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise ClientGone
        return answer.result()
    finally:
        answer.cancel()
        leaving.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def head(answer: Answer) -> list[tuple[bytes, bytes]]:
    length = (b"content-length", b"%d" % len(answer.body))
    return [(b"content-type", answer.content_type), length, *errors.more_headers(answer.status)]


async def send_answer(answer: Answer, send: Send) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": head(answer)})
    await send({"type": "http.response.body", "body": answer.body})


def header(headers: Headers, wanted: bytes) -> bytes:
    """The first of this name that says something; empty where there is none."""
    return next((value for name, value in headers if name == wanted and value), b"")
