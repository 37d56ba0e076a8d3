"""Bodies in and answers out, over ASGI's messages."""

import asyncio
import math
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from softgate.errors import BodyTooLarge, MalformedBody, SoftgateError, UnsupportedEncoding
from softgate.web import errors
from softgate.web.encoding import PLAIN, decoder
from softgate.web.guarded import REFUSAL_KEY
from softgate.web.head import Headers, header
from softgate.web.http import IS_GONE_KEY, SWITCHING_KEY
from softgate.web.protocols import Answer, Request
from softgate.web.room import Room
from softgate.web.whole import Route


class ClientGone(Exception):
    """The client closed the connection before its request was complete: there is nobody to answer."""


async def read_request(
    scope: Scope,
    receive: Receive,
    route: Route,
    *,
    limit: int,
    room: Room,
    started: float,
    expires_at: float = math.inf,
) -> Request:
    """What a protocol needs of a request. Raises what `read_body` raises."""
    body = await read_body(scope, receive, limit=limit, room=room)
    content_type = header(scope["headers"], b"content-type")
    return Request(
        route.model,
        route.version,
        query=scope["query_string"],
        content_type=content_type,
        headers=scope["headers"],
        body=body,
        started=started,
        expires_at=expires_at,
    )


async def read_body(scope: Scope, receive: Receive, *, limit: int, room: Room) -> bytes:
    """
    The whole body, inflated where it was compressed, and refused as soon as it is known to be too large.

    Raises BodyTooLarge, UnsupportedEncoding, MalformedBody, Overloaded and what `pieces` raises.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > limit:
            raise BodyTooLarge(f"Expected a body of at most {limit} bytes; got {int(value)}.")
    decoding = decoder(header(scope["headers"], b"content-encoding"), limit=limit)
    body = bytearray()
    try:
        async for piece in pieces(scope, receive):
            found = decoding.feed(piece)
            body += found
            room.take(len(found))
            if len(body) > limit:
                raise BodyTooLarge(f"Expected a body of at most {limit} bytes; got more.")
    finally:
        room.give_back(len(body))
    decoding.end()
    return bytes(body)


async def pieces(scope: Scope, receive: Receive) -> AsyncIterator[bytes]:
    """The body as it arrives. Raises MalformedBody, ClientGone, and why there will be no more."""
    for name, value in scope["headers"]:
        if scope.get(SWITCHING_KEY) and (
            name == b"transfer-encoding" or (name == b"content-length" and int(value) > 0)
        ):
            raise MalformedBody("Expected a body without an Upgrade header; a client sends none with its upgrade off.")
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        if REFUSAL_KEY in scope:
            refusal: SoftgateError = scope[REFUSAL_KEY]
            raise refusal
        yield message.get("body", b"")
        more = message.get("more_body", False)


def check_plain(headers: Headers) -> None:
    """Raises UnsupportedEncoding for a body that is compressed."""
    if header(headers, b"content-encoding").lower() not in (b"", PLAIN):
        raise UnsupportedEncoding("Expected lines without Content-Encoding.")


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
    # Nobody wants the rest of a body that is too large.
    ending = [(b"connection", b"close")] if answer.status == errors.STATUS[BodyTooLarge] else []
    more = (*answer.headers, *errors.more_headers(answer.status), *ending)
    return [(b"content-type", answer.content_type), length, *more]


async def send_answer(answer: Answer, send: Send) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": head(answer)})
    await send({"type": "http.response.body", "body": answer.body})
