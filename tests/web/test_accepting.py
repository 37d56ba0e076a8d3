"""Connections of several workers: who gets them, and that everyone gets one."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from graphs import write_text_model
from servers import Served, served
from softgate.web.accepting import LEAD, Accepting, is_ahead

REQUEST = b"GET /livez HTTP/1.1\r\nhost: here\r\n\r\n"


@contextmanager
def connected(server: Served, n: int) -> Iterator[list[socket.socket]]:
    host, port = server.url.removeprefix("http://").split(":")
    with ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection((host, int(port)), timeout=20)) for _ in range(n)]


def answered(client: socket.socket) -> bool:
    client.sendall(REQUEST)
    return client.recv(1000).startswith(b"HTTP/1.1 200")


def workers(server: Served) -> list[int]:
    task = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    return [int(process) for process in task.read_text().split()]


def n_sockets(process: int) -> int:
    found = 0
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        # It may be closed meanwhile.
        with suppress(FileNotFoundError):
            found += descriptor.readlink().name.startswith("socket:")
    return found


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Served]:
    with served(write_text_model(tmp_path / "words", name="words"), workers=2) as server:
        # Ready is logged just before the socket is listened to.
        time.sleep(0.3)
        yield server


def test_a_burst_of_connections_is_shared_out(pair: Served) -> None:
    before = {process: n_sockets(process) for process in workers(pair)}
    with connected(pair, 64) as clients:
        assert all(map(answered, clients))
        taken = [n_sockets(process) - n for process, n in before.items()]

    assert sum(taken) == 64
    # Whoever is ahead by the lead leaves one more to the other, unless that is slow to wake.
    assert max(taken) - min(taken) <= 3 * LEAD


def test_one_that_hangs_is_not_waited_for(pair: Served) -> None:
    stopped, _ = workers(pair)
    os.kill(stopped, signal.SIGSTOP)
    try:
        started = time.monotonic()
        with connected(pair, 100) as clients:
            assert all(map(answered, clients))
        assert time.monotonic() - started < 10
    finally:
        os.kill(stopped, signal.SIGCONT)


def test_only_a_lead_makes_a_worker_leave_connections_to_others() -> None:
    assert not is_ahead(100, [])
    assert not is_ahead(LEAD - 1, [0, 9])
    assert is_ahead(LEAD, [0, 9])
    assert not is_ahead(LEAD, [1, 9])


class Counted(asyncio.Protocol):
    made = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Counted.made += 1


async def accepted(n: int, *, own: Callable[[], float], others: Callable[[], Sequence[float]]) -> float:
    """Seconds until so many connections have their protocol."""
    Counted.made = 0
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack:
        listener.setblocking(False)
        accepting = Accepting(listener, Counted, own=own, others=others)
        started = time.monotonic()
        for _ in range(n):
            stack.enter_context(socket.create_connection(listener.getsockname()))
        while Counted.made < n:
            await asyncio.sleep(0.001)
        accepting.close()
        await accepting.wait_closed()
    return time.monotonic() - started


def test_a_worker_that_is_ahead_waits_once_for_others_that_do_not_move() -> None:
    async def scene() -> None:
        await asyncio.wait_for(accepted(50, own=lambda: 50, others=lambda: [0]), 20)

    asyncio.run(scene())


def test_nothing_is_accepted_once_it_is_closed() -> None:
    async def scene() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            Counted.made = 0
            accepting = Accepting(listener, Counted, own=lambda: 9, others=lambda: [0])
            with socket.create_connection(listener.getsockname()):
                # It pauses, and is closed while it does.
                await asyncio.sleep(0.0005)
                accepting.close()
                await asyncio.sleep(0.05)
        assert Counted.made == 0

    asyncio.run(scene())


def test_a_burst_does_not_wait_a_turn_of_the_loop_each() -> None:
    async def scene() -> int:
        Counted.made, turns = 0, 0
        with socket.create_server(("127.0.0.1", 0), backlog=100) as listener, ExitStack() as stack:
            listener.setblocking(False)
            for _ in range(50):
                stack.enter_context(socket.create_connection(listener.getsockname()))
            accepting = Accepting(listener, Counted, own=lambda: 0, others=lambda: [])
            while Counted.made < 50:
                await asyncio.sleep(0)
                turns += 1
            accepting.close()
            await accepting.wait_closed()
        return turns

    assert asyncio.run(asyncio.wait_for(scene(), 20)) < 25
