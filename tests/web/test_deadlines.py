"""Requests that wait for longer than they may, or whose client has gone: the graph never sees them."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial

import httpx2
import pytest

from paced_server import PATH, RUN_SECONDS, paced
from servers import Served
from web.test_http import Answers, connected

ROW = [1, 2, 3, 4]
# The server holds a small request of a plain path whole; one with a query string goes the way of ASGI.
WAYS = pytest.mark.parametrize("path", [PATH, f"{PATH}?whole=no"], ids=["held", "asgi"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with paced(tmp_path_factory.mktemp("models") / "paced", SOFTGATE_REQUEST_TIMEOUT_MS="1500") as running:
        yield running


def request(path: str = PATH, *, rows: int = 1, timeout: str | None = None) -> bytes:
    body = json.dumps({"inputs": [ROW] * rows}).encode()
    more = "" if timeout is None else f"x-request-timeout-ms: {timeout}\r\n"
    return f"POST {path} HTTP/1.1\r\nhost: here\r\ncontent-length: {len(body)}\r\n{more}\r\n".encode() + body


@contextmanager
def holding(server: Served, *, seconds: float) -> Iterator[None]:
    """While one request, of as many rows as it takes, has the graph for so long; and until its answer."""
    started = runs(server)
    with connected(server.url) as client:
        client.sendall(request(rows=round(seconds / RUN_SECONDS) * 10))
        wait_until(lambda: server.metrics()[QUEUED] == 0.0)
        time.sleep(RUN_SECONDS / 2)
        assert runs(server) == started
        yield
        # A run under way is not cut, whatever happened beside it.
        assert Answers(client).one()[0] == 200


QUEUED = 'softgate_queue_rows{calibration="",model="paced",version="1"}'
ROWS_RUN = 'softgate_batch_rows_sum{calibration="",model="paced",version="1"}'
EXPIRED = 'softgate_errors_total{code="deadline_exceeded"}'
GONE = 'softgate_http_responses_total{status="499"}'


def runs(server: Served) -> float:
    """Rows that the graph has seen."""
    return server.metrics()[ROWS_RUN]


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


@WAYS
def test_what_expires_in_the_queue_is_told_so_in_time_and_never_runs(server: Served, path: str) -> None:
    before = server.metrics()
    with holding(server, seconds=2.0), connected(server.url) as client:
        client.sendall(request(path, timeout="100"))
        status, headers, problem = Answers(client).one()
        assert runs(server) == before[ROWS_RUN]

    assert (status, problem["code"], headers[b"content-type"]) == (
        504,
        "deadline_exceeded",
        b"application/problem+json",
    )
    assert problem["detail"].startswith("Expected to reach the graph before the request's deadline; ")
    after = server.metrics()
    assert after[ROWS_RUN] == before[ROWS_RUN] + 100
    assert after[EXPIRED] == before[EXPIRED] + 1
    assert (
        after['softgate_http_responses_total{status="504"}']
        == before['softgate_http_responses_total{status="504"}'] + 1
    )


def test_without_a_header_the_server_says_how_long(server: Served) -> None:
    with holding(server, seconds=3.0), connected(server.url) as client:
        client.sendall(request())
        assert Answers(client).one()[0] == 504


def test_a_run_under_way_goes_on_beyond_its_deadline(server: Served) -> None:
    with connected(server.url) as client:
        client.sendall(request(timeout=str(round(RUN_SECONDS * 500))))
        assert Answers(client).one()[0] == 200


@WAYS
def test_the_rows_of_a_client_that_has_gone_never_run(server: Served, path: str) -> None:
    before = server.metrics()
    with holding(server, seconds=1.0):
        with ExitStack() as stack:
            for _ in range(3):
                client: socket.socket = stack.enter_context(connected(server.url))
                client.sendall(request(path))
            wait_until(lambda: server.metrics()[QUEUED] == 3.0)
        wait_until(lambda: server.metrics()[GONE] == before[GONE] + 3)
    assert server.predict("paced", inputs=ROW).status_code == 200

    assert runs(server) == before[ROWS_RUN] + 50 + 1


def test_lines_that_wait_too_long_are_told_so_in_time_and_never_run(server: Served) -> None:
    """Those of one stream in the graph's queue, and of others behind it."""
    before = server.metrics()
    with holding(server, seconds=2.0):
        with ThreadPoolExecutor() as pool:
            answers = list(pool.map(partial(streamed, server), [300, 400, 500]))
        assert runs(server) == before[ROWS_RUN]

    for answer in answers:
        told = [json.loads(line) for line in answer.content.splitlines()]
        assert [(one["line"], one["code"]) for one in told] == [(1, "deadline_exceeded"), (2, "deadline_exceeded")]
    after = server.metrics()
    assert after[ROWS_RUN] == before[ROWS_RUN] + 100
    assert after[EXPIRED] == before[EXPIRED] + 6


def streamed(server: Served, timeout_ms: int) -> httpx2.Response:
    headers = {"content-type": "application/x-ndjson", "x-request-timeout-ms": str(timeout_ms)}
    return server.client.post(PATH, content=f"{ROW}\n{ROW}\n", headers=headers)


def test_each_batch_of_a_stream_has_its_own_time(server: Served) -> None:
    """Ten rows a run: the last begins long after the first one's deadline."""
    headers = {"content-type": "application/x-ndjson", "x-request-timeout-ms": "700"}
    answer = server.client.post(PATH, content=f"{ROW}\n" * 60, headers=headers)

    assert [json.loads(line).get("code") for line in answer.content.splitlines()] == [None] * 60


def test_a_stream_whose_timeout_is_no_such_number_is_refused(server: Served) -> None:
    headers = {"content-type": "application/x-ndjson", "x-request-timeout-ms": "soon"}

    assert server.client.post(PATH, content=f"{ROW}\n", headers=headers).json()["code"] == "invalid_input"


@WAYS
@pytest.mark.parametrize("timeout", ["0", "-1", "+5", "1.5", "1e3", "05", "3600001", "99999999", "soon", "5 5", "\xb2"])
def test_a_timeout_that_is_no_such_number_is_refused(server: Served, path: str, timeout: str) -> None:
    answer = server.client.post(
        path, json={"inputs": ROW}, headers=[(b"x-request-timeout-ms", timeout.encode("latin-1"))]
    )

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    assert answer.json()["detail"] == "Expected an X-Request-Timeout-Ms of 1 to 3600000, without sign or point."


@WAYS
def test_the_longest_timeout_is_taken(server: Served, path: str) -> None:
    answer = server.client.post(path, json={"inputs": ROW}, headers={"x-request-timeout-ms": "3600000"})

    assert answer.status_code == 200
