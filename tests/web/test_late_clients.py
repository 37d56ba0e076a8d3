"""Clients that are slow, silent or do not read are let go, each after its deadline; nobody else notices."""

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from raw_http import answers, connect, post, until_closed
from servers import Served, served
from softgate.web.guarded import Awaited
from softgate.web.head import Limits
from softgate.web.sweeper import PARTING_SECONDS, Sweeper
from web.conftest import write_models

HEADER_SECONDS = 1.0
BODY_SECONDS = 2.0
# Looks are half a second apart, and the machine may be busy.
LATE = 3.0
GOOD = post(b'{"inputs": "rain"}')


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    variables = {
        "SOFTGATE_HEADER_SECONDS": str(HEADER_SECONDS),
        "SOFTGATE_BODY_SECONDS": str(BODY_SECONDS),
        "SOFTGATE_ACCESS_LOG": "none",
    }
    with served(write_models(tmp_path_factory.mktemp("strict")), variables=variables) as server:
        yield server


@dataclass(eq=False)
class Client:
    """What is awaited of a client, as a script says; notes when it was overdue."""

    now: tuple[Awaited, int, int] | None
    overdue_for: list[Awaited] = field(default_factory=list)

    def awaited(self) -> tuple[Awaited, int, int] | None:
        return self.now

    def overdue(self, awaited: Awaited) -> None:
        self.overdue_for.append(awaited)


LIMITS = Limits(header_seconds=10, body_seconds=30)


@pytest.mark.parametrize(
    ("awaited", "seconds"),
    [
        (Awaited.REQUEST, 5),
        (Awaited.HEAD, 10),
        (Awaited.BODY, 30),
        (Awaited.READER, 30),
        (Awaited.CLOSE, PARTING_SECONDS),
    ],
)
def test_each_wait_has_its_deadline(awaited: Awaited, seconds: float) -> None:
    client = Client((awaited, 1, 0))
    sweeper = Sweeper(lambda: [client], LIMITS, keep_alive_seconds=5)

    sweeper.look(100)
    sweeper.look(100 + seconds - 0.1)
    assert client.overdue_for == []
    sweeper.look(100 + seconds)
    assert client.overdue_for == [awaited]


def test_whatever_moves_on_has_all_of_its_time_again() -> None:
    client = Client((Awaited.BODY, 1, 0))
    sweeper = Sweeper(lambda: [client], LIMITS, keep_alive_seconds=5)

    for second in range(0, 300, 20):
        # The next request, or the next piece of a stream.
        client.now = (Awaited.BODY, second % 40, second)
        sweeper.look(second)
    client.now = None
    sweeper.look(1000)
    client.now = (Awaited.BODY, 0, 280)
    sweeper.look(1001)

    assert client.overdue_for == []


def test_a_connection_that_is_gone_is_forgotten() -> None:
    clients = [Client((Awaited.HEAD, 1, 0))]
    sweeper = Sweeper(lambda: clients, LIMITS, keep_alive_seconds=5)
    sweeper.look(0)
    gone = clients.pop()
    sweeper.look(1)
    clients.append(gone)
    sweeper.look(10.5)

    assert gone.overdue_for == []


def waited(client: socket.socket) -> tuple[float, bytes]:
    started = time.monotonic()
    content = until_closed(client)
    return time.monotonic() - started, content


def test_a_client_that_says_nothing_is_let_go(strict: Served) -> None:
    with connect(strict) as client:
        seconds, content = waited(client)

    assert content == b""
    assert HEADER_SECONDS * 0.9 <= seconds < HEADER_SECONDS + LATE


def test_blank_lines_are_no_request(strict: Served) -> None:
    with connect(strict) as client:
        client.sendall(b"\r\n\r\n")
        seconds, _ = waited(client)

    assert seconds < HEADER_SECONDS + LATE


@pytest.mark.parametrize(
    ("sent", "before", "deadline"),
    [
        (b"P", 0, HEADER_SECONDS),
        (GOOD[:40], 0, HEADER_SECONDS),
        (GOOD + GOOD[:40], 1, HEADER_SECONDS),
        (GOOD[:-3], 0, BODY_SECONDS),
        (GOOD + GOOD[:-3], 1, BODY_SECONDS),
        (GOOD[:-18], 0, BODY_SECONDS),
        (post(b"x" * 100_000)[:-3], 0, BODY_SECONDS),
        (GOOD.replace(b"content-length: 18", b"transfer-encoding: chunked")[:-18] + b"ff\r\n{", 0, BODY_SECONDS),
        (GOOD.replace(b"content-length: 18", b"transfer-encoding: chunked")[:-18] + b"1\r\n{\r\n", 0, BODY_SECONDS),
    ],
    ids=[
        "a byte",
        "half a head",
        "half a second head",
        "almost a body",
        "almost a second body",
        "no body",
        "almost a large body",
        "half a chunk",
        "no last chunk",
    ],
)
def test_what_does_not_come_in_time_is_a_408(strict: Served, sent: bytes, before: int, deadline: float) -> None:
    name = 'softgate_http_responses_total{status="408"}'
    code = 'softgate_errors_total{code="request_timeout"}'
    counts = strict.metrics()
    with connect(strict) as client:
        client.sendall(sent)
        seconds, content = waited(client)

    *good, told = answers(content)
    assert [one.status for one in good] == [200] * before
    assert (told.status, told.problem["code"], told.headers["connection"]) == (408, "request_timeout", "close")
    assert deadline * 0.9 <= seconds < deadline + LATE
    after = strict.metrics()
    assert (after[name], after[code]) == (counts[name] + 1, counts[code] + 1)
    assert after['softgate_http_responses_total{status="499"}'] == counts['softgate_http_responses_total{status="499"}']


@pytest.mark.parametrize("sent", [GOOD[:40], GOOD[:-18]], ids=["head", "body"])
def test_a_byte_now_and_then_does_not_move_the_deadline(strict: Served, sent: bytes) -> None:
    started = time.monotonic()
    with connect(strict) as client:
        client.settimeout(0.2)
        client.sendall(sent)
        content = b""
        for byte in b"a" * 100:
            try:
                content += client.recv(65536)
            except TimeoutError:
                client.sendall(bytes([byte]))
            if content:
                break

    assert content.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - started < BODY_SECONDS + LATE


def test_a_stream_of_lines_may_take_for_ever_while_it_moves_on(strict: Served) -> None:
    head = GOOD.replace(b"content-length: 18", b"transfer-encoding: chunked\r\ncontent-type: application/x-ndjson")[
        :-18
    ]
    with connect(strict) as client:
        client.sendall(head)
        for _ in range(6):
            client.sendall(b'7\r\n"rain"\n\r\n')
            time.sleep(BODY_SECONDS / 4)
        content = client.recv(1_000_000)
        seconds, rest = waited(client)

    assert (content + rest).count(b'"label"') == 6
    assert not (content + rest).endswith(b"0\r\n\r\n")
    assert BODY_SECONDS * 0.5 < seconds < BODY_SECONDS + LATE


def test_a_kept_connection_without_a_request_is_closed(strict: Served) -> None:
    with connect(strict) as client:
        client.sendall(GOOD)
        seconds, content = waited(client)

    assert [one.status for one in answers(content)] == [200]
    assert 4 < seconds < 5 + LATE


def send_for_ever(client: socket.socket, content: bytes) -> None:
    while True:
        client.sendall(content)


@pytest.mark.parametrize("chunked", [False, True], ids=["held", "by the application"])
def test_a_client_that_does_not_read_is_let_go(strict: Served, chunked: bool) -> None:
    body = b'{"inputs": [' + b", ".join([b'"rain"'] * 500) + b"]}"
    request = post(body)
    if chunked:
        request = post(body).replace(b"content-length: %d" % len(body), b"transfer-encoding: chunked")
        request = request[: -len(body)] + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    before = strict.metrics()["softgate_resident_memory_bytes"]
    with connect(strict) as client:
        started = time.monotonic()
        client.settimeout(BODY_SECONDS + LATE + 2)
        with pytest.raises(ConnectionError):
            send_for_ever(client, request)

    assert BODY_SECONDS * 0.9 < time.monotonic() - started < BODY_SECONDS + LATE
    assert strict.metrics()["softgate_resident_memory_bytes"] - before < 64e6


def test_no_connection_outlives_the_tests(strict: Served) -> None:
    """After all of the above, the server has no descriptor more than the one that asks."""
    descriptors = Path(f"/proc/{strict.process.pid}/fd")
    until = time.monotonic() + 20
    while len(list(descriptors.iterdir())) >= 60 and time.monotonic() < until:
        time.sleep(0.5)

    assert len(list(descriptors.iterdir())) < 60
