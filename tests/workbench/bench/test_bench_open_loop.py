import socket
import time
from dataclasses import replace
from urllib.parse import urlsplit

import numpy as np
import pytest

from openloops import open_loop
from softgate.errors import SoftgateError
from softgate.types import Floats
from softgate.workbench.bench.figures import poisson_arrivals
from softgate.workbench.bench.generator import Connection, Generator, post
from softgate.workbench.bench.open_loop import Recording, latencies, measure, summary, void
from stalling import STALL, STALL_SECONDS, Stalling, stalling

RATE = 500.0
# Of about 500 requests.
STALLED = 250
RECORDING = Recording(
    due=np.array([0.0, 0.1, 0.2, 0.4]),
    noticed=np.array([0.001, 0.1, 0.2, np.nan]),
    sent=np.array([0.001, 0.11, 0.2, np.nan]),
    answered=np.array([0.002, 0.15, np.nan, np.nan]),
    errors=1,
    ended=1.0,
    waited=0.3,
    cpu_seconds=0.002,
    connections=2,
)


class SlowGenerator(Generator):
    """A client with too much else to do."""

    def _send_waiting(self) -> None:
        until = time.perf_counter() + 0.004
        while time.perf_counter() < until:
            pass
        super()._send_waiting()


def generator(server: Stalling, kind: type[Generator] = Generator, *, n_bodies: int, connections: int) -> Generator:
    address = urlsplit(server.url)
    assert address.hostname is not None
    assert address.port is not None
    bodies = [STALL if number == STALLED else b'"go"' for number in range(n_bodies)]
    requests = [post("/", body, host=address.netloc) for body in bodies]
    return kind((address.hostname, address.port), requests, most_connections=connections)


def shows_the_stall(recording: Recording, seconds: Floats) -> bool:
    """Whether every request that was due during the stall has at least what was left of it as its latency."""
    end = recording.sent[STALLED] + STALL_SECONDS
    meanwhile = (recording.due > recording.sent[STALLED]) & (recording.due < end)
    assert meanwhile.sum() > 50
    return bool((seconds[meanwhile] >= end - recording.due[meanwhile]).all())


def test_a_stall_is_charged_for_every_request_that_was_due_meanwhile() -> None:
    due = poisson_arrivals(rate=RATE, seconds=1, seed=0)
    with stalling() as server:
        recording = generator(server, n_bodies=len(due), connections=4).run(due)
    found = summary(recording)
    omitting = recording.answered - recording.sent

    assert recording.errors == 0
    assert shows_the_stall(recording, latencies(recording))
    assert found.p99_us >= 0.15 * 1e6
    # A generator that counts from when it sent blames the stall on the four that had a connection.
    assert not shows_the_stall(recording, omitting)


def test_a_stall_shows_with_connections_to_spare_and_from_a_process_of_its_own() -> None:
    bodies = [STALL if number == STALLED else b'"go"' for number in range(1000)]
    with stalling() as server:
        found = measure(server.url, "/", bodies, rate=RATE, seconds=1, seed=0)

    assert found.answered == found.requests
    assert found.connections > 16
    assert found.p99_us >= 0.15 * 1e6


def test_a_client_too_slow_for_its_schedule_is_void() -> None:
    due = poisson_arrivals(rate=RATE, seconds=0.5, seed=0)
    with stalling() as server:
        found = summary(generator(server, SlowGenerator, n_bodies=1, connections=4).run(due))

    assert found.answered == found.requests
    assert void(found) is not None


def test_a_summary_by_hand() -> None:
    found = summary(RECORDING)

    assert latencies(RECORDING).tolist() == pytest.approx([0.002, 0.05, 0.8, 0.6])
    assert (found.p50_us, found.p99_us) == pytest.approx((50_000, 800_000))
    assert (found.rate, found.requests, found.answered, found.errors) == (10, 4, 2, 1)
    assert found.answered_per_second == 2
    # It never came to see the last one.
    assert found.lateness_p99_us == pytest.approx(600_000)
    assert found.client_busy == pytest.approx(0.25)
    assert found.client_us_per_request == pytest.approx(1000)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, None),
        ({"client_busy": 0.9}, None),
        ({"client_busy": 0.91}, "the client was at work 91% of the time"),
        ({"lateness_p99_us": 1000.0}, None),
        ({"lateness_p99_us": 1001.0}, "the client was 1,001 µs behind its schedule at p99"),
        ({"p99_us": 120.0, "lateness_p99_us": 100.0}, None),
        ({"p99_us": 1e6, "lateness_p99_us": 50_000.0}, None),
        ({"p99_us": 1e6, "lateness_p99_us": 50_001.0}, "the client was 50,001 µs behind its schedule at p99"),
        ({"p99_us": 120.0, "lateness_p99_us": 101.0}, "the client was 101 µs behind its schedule at p99"),
    ],
)
def test_a_run_is_void_where_the_client_was_the_bottleneck(fields: dict[str, float], reason: str | None) -> None:
    assert void(open_loop(**fields)) == reason


def test_errors_are_counted_and_are_no_answers() -> None:
    with stalling(status=503) as server:
        found = measure(server.url, "/", [b'"go"'], rate=100, seconds=0.2, seed=0)

    assert found.errors == found.requests
    assert found.answered == 0


def test_nobody_to_ask_is_one_sentence() -> None:
    with pytest.raises(SoftgateError, match=r"The generator could not measure .* refused"):
        measure("http://127.0.0.1:1", "/", [b"1"], rate=10, seconds=0.1, seed=0)


def test_what_has_no_answer_is_as_late_as_the_run_is_long() -> None:
    found = summary(replace(RECORDING, answered=np.full(4, np.nan)))

    assert found.p999_us == pytest.approx(1e6)
    assert found.answered == 0


def test_an_answer_may_arrive_in_pieces() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = Connection(ours)
        connection.send(3, b"asked")
        assert theirs.recv(100) == b"asked"
        found = []
        for piece in (b"HTTP/1.1 200 OK\r\nCONTENT-length: 4\r", b"\n\r\nab", b"cd"):
            theirs.sendall(piece)
            found.append(connection.receive())

    assert found == [None, None, 200]


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b""])
def test_an_answer_without_an_end_is_a_failure(answer: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.sendall(answer)
        theirs.close()

        with pytest.raises(ConnectionError):
            Connection(ours).receive()
