"""Hundreds of slow and silent clients beside good ones, who do not notice."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from memory import peak_mib
from raw_http import post
from servers import Served, served
from web.conftest import write_models

N_SLOW = 500
N_GOOD = 50
# Of one good client: a request, and a while in which it thinks.
THINKING_SECONDS = 0.25
TURN_SECONDS = 1.0
N_TURNS = 12
REQUEST = post(b'{"inputs": "send money"}')
# What 500 of them sent before they fell asleep.
BEGINNINGS = (
    b"",
    REQUEST[:20],
    b"GET /" + b"a" * 8000,
    b"GET / HTTP/1.1\r\nhost: a\r\nx-slow: ",
    post(b"x" * 60_000)[:-5000],
    post(b"x" * 5000)[:-5000],
)


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Its deadlines are far off, so that the slow ones stay."""
    variables = {"SOFTGATE_HEADER_SECONDS": "300", "SOFTGATE_BODY_SECONDS": "300"}
    with served(write_models(tmp_path_factory.mktemp("patient")), variables=variables) as server:
        yield server


async def connected(server: Served) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = server.url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def good_client(server: Served, until: float, started_after: float) -> list[float]:
    """Seconds of each of its requests; every one is answered 200."""
    reader, writer = await connected(server)
    taken = []
    await asyncio.sleep(started_after)
    while time.monotonic() < until:
        started = time.monotonic()
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        taken.append(time.monotonic() - started)
        assert head.startswith(b"HTTP/1.1 200 ")
        await asyncio.sleep(THINKING_SECONDS)
    writer.close()
    return taken


async def good_clients(server: Served, *, seconds: float) -> list[float]:
    until = time.monotonic() + seconds
    starts = np.linspace(0, THINKING_SECONDS, N_GOOD, endpoint=False)
    taken = await asyncio.gather(*(good_client(server, until, float(start)) for start in starts))
    return [seconds for one in taken for seconds in one]


@asynccontextmanager
async def slow_clients(server: Served) -> AsyncIterator[None]:
    """Each sends a beginning, and then a byte a second, or nothing at all."""
    writers = []
    for number in range(N_SLOW):
        _, writer = await connected(server)
        writer.write(BEGINNINGS[number % len(BEGINNINGS)])
        writers.append(writer)

    async def drip() -> None:
        while True:
            for number, writer in enumerate(writers):
                if number % len(BEGINNINGS) == 0:
                    continue
                with suppress(ConnectionError):
                    writer.write(b"a")
                await asyncio.sleep(1 / N_SLOW)

    task = asyncio.create_task(drip())
    yield
    task.cancel()
    for writer in writers:
        writer.transport.abort()


def p99(taken: Sequence[float]) -> float:
    return float(np.quantile(taken, 0.99))


async def measured(server: Served) -> list[tuple[float, float]]:
    """p99 alone and beside the slow ones, in turns, for the machine is quicker at one time than at another."""
    turns = []
    for _ in range(N_TURNS):
        alone = await good_clients(server, seconds=TURN_SECONDS)
        async with slow_clients(server):
            beside = await good_clients(server, seconds=TURN_SECONDS)
        turns.append((p99(alone), p99(beside)))
        # To see them off is work, too, and none of the next turn's.
        while n_open(server) > N_SLOW / 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(THINKING_SECONDS)
    return turns


def n_open(server: Served) -> int:
    """Descriptors of the server's process."""
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def quiet(taken: Sequence[float]) -> float:
    """Of turns, what three in four exceed: what else the machine has to do only adds to them."""
    return float(np.quantile(taken, 0.25))


@pytest.mark.soak
def test_500_slow_clients_do_not_slow_down_50_good_ones(patient: Served, capsys: pytest.CaptureFixture[str]) -> None:
    before = peak_mib(patient.process.pid)

    alone, beside = zip(*asyncio.run(measured(patient)), strict=True)

    with capsys.disabled():
        for what, taken in (("alone", alone), (f"beside {N_SLOW} slow clients", beside)):
            print(f"\np99 {what}: {quiet(taken) * 1e3:.2f} ms,", *(f"{one * 1e3:.2f}" for one in sorted(taken)), end="")
        ratio = median(slowed / quick for quick, slowed in zip(alone, beside, strict=True))
        print(f"; of the quiet turns {quiet(beside) / quiet(alone):.2f}, median ratio {ratio:.2f}")
    assert ratio <= 1.5
    assert quiet(beside) <= 1.5 * quiet(alone)
    # A beginning of 60 kB each, and what a connection takes itself.
    assert peak_mib(patient.process.pid) - before < 80


def test_slow_clients_are_gone_after_their_deadlines_and_good_ones_never_fail(tmp_path: Path) -> None:
    variables = {"SOFTGATE_HEADER_SECONDS": "1", "SOFTGATE_BODY_SECONDS": "1", "SOFTGATE_ACCESS_LOG": "none"}

    async def play(server: Served) -> int:
        async with slow_clients(server):
            return len(await good_clients(server, seconds=3.0))

    with served(write_models(tmp_path), variables=variables) as server:
        n_answered = asyncio.run(play(server))
        counts = server.metrics()
        left = n_open(server)

    assert n_answered >= N_GOOD
    assert counts['softgate_errors_total{code="request_timeout"}'] > N_SLOW / 2
    assert left < 100
