"""Requests behind each other on one connection, their answers given by hand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from softgate.runtime.jobs import Job
from softgate.web.guarded import Awaited
from softgate.web.head import Limits
from softgate.web.http import Http
from softgate.web.protocols import Answer
from softgate.web.sweeper import Sweeper
from softgate.web.whole import Route, Whole, Write

HELD = b"POST /held HTTP/1.1\r\nhost: here\r\ncontent-length: 0\r\n\r\n"
CHUNKED = b"POST /any HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
REFUSED = HELD.replace(b"/held", b"/refused")


CLOSING = HELD.replace(b"/held", b"/closing")
UNFINISHED = HELD.replace(b"length: 0", b"length: 9") + b"half"


class Hands:
    """An edge that refuses at once, or leaves the answer to the test."""

    max_body_bytes = 1000
    limits = Limits()

    def __init__(self) -> None:
        self.asked: list[tuple[Write, Job[Any, Any]]] = []
        self.gone: list[Whole] = []
        self.n_refused = self.n_called = 0
        self.protocols: list[Http] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.n_called += 1
        await receive()
        await send({"type": "http.response.start", "status": 204, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    def route(self, method: str, path: str) -> Route:
        nobody: Any = None
        return Route(nobody, path, None)

    def answer_whole(self, whole: Whole, write: Write) -> Any:
        if whole.path == "/refused":
            self.n_refused += 1
            write(Answer(b"no", status=400), "id")
            return None
        if whole.path == "/closing":
            whole.keep_alive = False
        job: Job[Any, Any] = Job(None, n_rows=1, group=None, queued_at=0.0, done=lambda _: None)
        self.asked.append((write, job))
        return job

    def lost(self, whole: Whole) -> None:
        self.gone.append(whole)

    def connected(self, n_open: int) -> None:
        pass


@asynccontextmanager
async def connection(hands: Hands) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    config: Any = uvicorn.Config(hands, http=Http, ws="none", lifespan="off", log_config=None)
    config.load()
    config.app = hands

    def protocol() -> Http:
        hands.protocols.append(Http(config, ServerState(), {}))
        return hands.protocols[-1]

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        yield reader, writer
    finally:
        writer.close()
        server.close()


async def until_asked(hands: Hands, n: int) -> None:
    while len(hands.asked) < n:
        await asyncio.sleep(0.001)


async def one(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return int(head.split()[1]), await reader.readexactly(length)


def play(coroutine: Any) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 20))


def test_hundreds_of_requests_behind_one_are_answered_one_by_one() -> None:
    async def scene() -> None:
        hands = Hands()
        async with connection(hands) as (reader, writer):
            writer.write(HELD + REFUSED * 900)
            await until_asked(hands, 1)
            hands.asked[0][0](Answer(b"yes"), "id")
            found = [await one(reader) for _ in range(901)]

        assert found == [(200, b"yes"), *[(400, b"no")] * 900]

    play(scene())


def test_others_are_not_held_up_by_a_client_that_is_refused_time_and_again() -> None:
    async def scene() -> None:
        hands, turns = Hands(), 0
        async with connection(hands) as (_, writer):
            writer.write(REFUSED * 900)
            while hands.n_refused < 900:
                await asyncio.sleep(0)
                turns += 1

        assert turns >= 900

    play(scene())


def test_nothing_is_read_while_requests_wait_that_are_there() -> None:
    async def scene() -> None:
        hands, n = Hands(), 20_000
        async with connection(hands) as (reader, writer):
            writer.write(CHUNKED * n)
            waiting = 0
            while hands.n_called < n:
                await reader.read(2**20)
                waiting = max(waiting, len(hands.protocols[0].pipeline))

        # What one read brings.
        assert waiting <= 2**18 // len(CHUNKED)

    play(scene())


def test_a_request_behind_one_whose_client_does_not_read_waits() -> None:
    async def scene() -> None:
        hands, n, large = Hands(), 20, bytes(2**20)
        async with connection(hands) as (reader, writer):
            writer.write(HELD * n)
            for number in range(n):
                # What the client leaves unread fills the buffers between them, and then no more is begun.
                try:
                    await asyncio.wait_for(until_asked(hands, number + 1), 0.3)
                except TimeoutError:
                    break
                hands.asked[number][0](Answer(large), "id")
            begun = len(hands.asked)
            for number in range(n):
                if number >= begun:
                    await until_asked(hands, number + 1)
                    hands.asked[number][0](Answer(large), "id")
                assert await one(reader) == (200, large)

        assert begun < n

    play(scene())


def test_all_that_a_client_leaves_behind_is_given_up() -> None:
    async def scene() -> None:
        hands = Hands()
        async with connection(hands) as (_, writer):
            writer.write(HELD * 3)
            await until_asked(hands, 1)
            hands.asked[0][0](Answer(b"yes"), "id")
            await until_asked(hands, 2)
            hands.protocols[0].transport.abort()
            while len(hands.gone) < 2:
                await asyncio.sleep(0.001)

        assert [job.left for _, job in hands.asked] == [False, True]
        assert len(hands.gone) == 2

    play(scene())


def test_a_connection_is_not_idle_while_a_request_behind_another_is_under_way() -> None:
    async def scene() -> None:
        hands = Hands()
        sweeper = Sweeper(lambda: hands.protocols, Limits(), keep_alive_seconds=1)
        async with connection(hands) as (reader, writer):
            writer.write(REFUSED + HELD)
            await until_asked(hands, 1)
            sweeper.look(0)
            sweeper.look(100)
            hands.asked[0][0](Answer(b"yes"), "id")
            found = [await one(reader), await one(reader)]
            # And now it is.
            sweeper.look(200)
            sweeper.look(201)
            rest = await reader.read()

        assert (found, rest) == ([(400, b"no"), (200, b"yes")], b"")

    play(scene())


def test_a_client_is_let_go_whose_request_behind_the_last_answer_never_ends() -> None:
    async def scene() -> None:
        hands = Hands()
        async with connection(hands) as (reader, writer):
            writer.write(CLOSING + UNFINISHED)
            await until_asked(hands, 1)
            hands.asked[0][0](Answer(b"yes"), "id")
            rest = await reader.read()
            awaited = hands.protocols[0].awaited()
            # And its own leave is seen.
            writer.close()
            while not hands.gone:
                await asyncio.sleep(0.001)

        assert b"connection: close" in rest
        assert awaited == (Awaited.CLOSE, 0, 0)

    play(scene())
