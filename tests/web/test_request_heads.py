"""What is no HTTP request, or could be read as two: refused with a problem, counted, and the connection closed."""

import json
import re
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from memory import peak_mib
from processes import until
from raw_http import answers, connect, exchange, post, until_closed
from servers import Served, served
from softgate.errors import HeadersTooLarge, MalformedRequest, SoftgateError
from softgate.web.errors import PROBLEM_JSON
from softgate.web.head import Limits, check_head

SECRET = b"hunter2"
PATH = "/v1/models/words/predict"
LINES = {"content-type": "application/x-ndjson"}
POST = b"POST /v1/models/words/predict HTTP/1.1\r\n"
HOST = POST + b"host: a\r\n"
CHUNKED = HOST + b"transfer-encoding: chunked\r\n\r\n"
NO_REQUEST: dict[str, bytes] = {
    "no host": POST + b"content-length: 0\r\n\r\n",
    "two hosts": HOST + b"Host: b\r\n\r\n",
    "host of two": POST + b"host: a, b\r\n\r\n",
    "host with a path": POST + b"host: a/b\r\n\r\n",
    "host with a user": POST + b"host: hunter2@b\r\n\r\n",
    "two lengths": HOST + b"content-length: 2\r\ncontent-length: 3\r\n\r\nab",
    "two equal lengths": HOST + b"content-length: 2\r\ncontent-length: 2\r\n\r\nab",
    "a list of lengths": HOST + b"content-length: 2, 2\r\n\r\nab",
    "length and chunks": HOST + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": HOST + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n0\r\n\r\n",
    "a length with a sign": HOST + b"content-length: +2\r\n\r\nab",
    "a negative length": HOST + b"content-length: -2\r\n\r\nab",
    "a length in hexadecimal": HOST + b"content-length: 0x2\r\n\r\nab",
    "an empty length": HOST + b"content-length: \r\n\r\n",
    "a length with a blank": HOST + b"content-length: 1 0\r\n\r\nab",
    "a length above 64 bits": HOST + b"content-length: 99999999999999999999\r\n\r\nab",
    "a coding that is not chunked": HOST + b"transfer-encoding: gzip\r\n\r\n",
    "another coding before chunked": HOST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "another coding behind chunked": HOST + b"transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "almost chunked": HOST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked twice": HOST + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked with a control character": HOST + b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a blank before the colon": HOST + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded header": HOST + b"a: b\r\n hunter2\r\n\r\n",
    "a header folded by a tab": HOST + b"a: b\r\n\thunter2\r\n\r\n",
    "a blank before the first header": POST + b" host: a\r\n\r\n",
    "bare line feeds": HOST.replace(b"\r\n", b"\n") + b"\n",
    "a bare line feed in a header": HOST + b"a: b\nhunter2: d\r\n\r\n",
    "a bare line feed at the end": HOST + b"a: b\r\n\n",
    "a bare carriage return": HOST + b"a: b\rhunter2: d\r\n\r\n",
    "NUL in a value": HOST + b"a: b\0hunter2\r\n\r\n",
    "NUL in a name": HOST + b"a\0hunter2: b\r\n\r\n",
    "NUL in the path": b"GET /\0hunter2 HTTP/1.1\r\nhost: a\r\n\r\n",
    "a control character": HOST + b"a: \x01hunter2\r\n\r\n",
    "a path that is not ASCII": b"GET /\xff\xfe HTTP/1.1\r\nhost: a\r\n\r\n",
    "a name that is not ASCII": HOST + b"\xff: b\r\n\r\n",
    "an empty name": HOST + b": hunter2\r\n\r\n",
    "no colon": HOST + b"hunter2\r\n\r\n",
    "a chunk size that is none": CHUNKED + b"zz\r\n",
    "a chunk size with a sign": CHUNKED + b"-1\r\n",
    "a chunk size above 64 bits": CHUNKED + b"fffffffffffffffff\r\n",
    "a chunk size with a prefix": CHUNKED + b"0x1\r\na\r\n",
    "a chunk size with a blank": CHUNKED + b"1 \r\na\r\n0\r\n\r\n",
    "a chunk size without carriage return": CHUNKED + b"1\na\n0\n\n",
    "no chunk size": CHUNKED + b"\r\na\r\n",
    "a chunk longer than it says": CHUNKED + b"1\r\nhunter2\r\n0\r\n\r\n",
    "a line feed in an extension": CHUNKED + b"1;a\nb\r\na\r\n0\r\n\r\n",
    "endless extensions": CHUNKED + b"1;" + b"a" * 2_000_000,
    "endless trailers": CHUNKED + b"0\r\n" + b"a: b\r\n" * 300_000,
    "an endless trailer": CHUNKED + b"0\r\na: " + b"b" * 2_000_000,
    "an unknown method": b"HUNTER2 / HTTP/1.1\r\nhost: a\r\n\r\n",
    "a method in lower case": b"get / HTTP/1.1\r\nhost: a\r\n\r\n",
    "tabs for blanks": b"GET\t/\tHTTP/1.1\r\nhost: a\r\n\r\n",
    "a blank in the path": b"GET /a hunter2 HTTP/1.1\r\nhost: a\r\n\r\n",
    "no path": b"GET HTTP/1.1\r\nhost: a\r\n\r\n",
    "a tunnel": b"CONNECT hunter2:1 HTTP/1.1\r\nhost: hunter2:1\r\n\r\n",
    "no protocol": b"GET / http/1.1\r\nhost: a\r\n\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303"),
}
VERSIONS = {
    "HTTP/2.0": b"GET / HTTP/2.0\r\nhost: a\r\n\r\n",
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\nhost: a\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/9.9": b"GET / HTTP/9.9\r\nhost: a\r\n\r\n",
}
TOO_LARGE = {
    "a long path": b"GET /" + b"a" * 17_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n",
    "a long query": b"GET /livez?" + b"a" * 17_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n",
    "an endless path": b"GET /" + b"a" * 2_000_000,
    "a long value": HOST + b"a: " + b"b" * 17_000 + b"\r\n\r\n",
    "an endless value": HOST + b"a: " + b"b" * 2_000_000,
    "a long name": HOST + b"a" * 17_000 + b": b\r\n\r\n",
    "an endless name": HOST + b"a" * 2_000_000,
    "many headers": HOST + b"a: b\r\n" * 101 + b"\r\n",
    "endless headers": HOST + b"a: b\r\n" * 300_000,
}
SHAPES = [
    *(pytest.param(sent, 400, "malformed_request", id=name) for name, sent in NO_REQUEST.items()),
    *(pytest.param(sent, 505, "http_version_unsupported", id=name) for name, sent in VERSIONS.items()),
    *(pytest.param(sent, 431, "headers_too_large", id=name) for name, sent in TOO_LARGE.items()),
]


def counted(server: Served, status: int, code: str) -> tuple[float, float]:
    metrics = server.metrics()
    return (
        metrics[f'softgate_http_responses_total{{status="{status}"}}'],
        metrics[f'softgate_errors_total{{code="{code}"}}'],
    )


@pytest.mark.parametrize(("sent", "status", "code"), SHAPES)
def test_what_is_no_request_is_refused_and_counted(server: Served, sent: bytes, status: int, code: str) -> None:
    before = counted(server, status, code)

    # What follows must not be taken for a request.
    (told,) = answers(exchange(server, sent + b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n"))

    assert (told.status, told.problem["code"], told.problem["status"]) == (status, code, status)
    assert (told.headers["content-type"], told.headers["connection"]) == (PROBLEM_JSON, "close")
    assert told.headers["x-request-id"] == told.problem["request_id"]
    assert SECRET not in told.body.lower()
    assert counted(server, status, code) == (before[0] + 1, before[1] + 1)


def test_blank_lines_before_the_first_request_are_passed_over(server: Served) -> None:
    with connect(server) as client:
        client.sendall(b"\r\n")
        # Another's request is answered after they were read.
        assert server.client.get("/livez").status_code == 200
        client.sendall(post(b'{"inputs": "rain"}', b"connection: close"))

        (told,) = answers(until_closed(client))

    assert told.status == 200


def test_blank_lines_without_end_are_refused(server: Served) -> None:
    (told,) = answers(exchange(server, b"\r\n" * 9000))

    assert (told.status, told.problem["code"]) == (431, "headers_too_large")


def test_requests_before_what_is_none_are_answered_first(server: Served) -> None:
    good = post(b'{"inputs": "rain"}')
    by_the_api = b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n"

    told = answers(exchange(server, good + by_the_api + good + NO_REQUEST["no host"]))

    assert [one.status for one in told] == [200, 200, 200, 400]


def test_a_body_that_breaks_off_behind_others_is_refused_in_its_turn(server: Served) -> None:
    good = post(b'{"inputs": "rain"}')

    told = answers(exchange(server, good + good + NO_REQUEST["a chunk size that is none"]))

    assert [one.status for one in told] == [200, 200, 400]


@pytest.mark.parametrize(
    "host", [b"host: a", b"HOST:a:8080", b"host: 127.0.0.1", b"host: [::1]:80", b"host: a-b.example.", b"host:"]
)
def test_hosts_that_are_fine(server: Served, host: bytes) -> None:
    (told,) = answers(exchange(server, post(b'{"inputs": "rain"}', b"connection: close", host=host)))

    assert told.status == 200


def test_a_large_head_below_the_limits_is_read(server: Served) -> None:
    headers = [b"x-%d: %s" % (number, b"b" * 100) for number in range(90)]

    (told,) = answers(exchange(server, post(b'{"inputs": "rain"}', b"connection: close", *headers)))

    assert told.status == 200


def test_the_head_may_come_byte_by_byte_and_is_counted_the_same(server: Served) -> None:
    with connect(server) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in post(b'{"inputs": "rain"}', b"connection: close"):
            client.sendall(bytes([byte]))
        (told,) = answers(until_closed(client))

    assert told.status == 200


def test_headers_without_an_end_take_no_memory(server: Served) -> None:
    """Forty megabytes of them are cut off long before they are there."""
    before = peak_mib(server.process.pid)
    for endless in (b"GET /" + b"a" * 40_000_000, HOST + b"a: " + b"b" * 40_000_000, HOST + b"a:\r\n" * 10_000_000):
        with connect(server) as client:
            try:
                client.sendall(endless)
            except (ConnectionResetError, BrokenPipeError):
                continue

    assert peak_mib(server.process.pid) - before < 8


def test_a_refused_client_gets_its_answer_though_it_goes_on_sending(server: Served) -> None:
    """Closed with bytes unread, the connection would be reset, and the answer lost."""
    chunk = b"%x\r\n%s\r\n" % (50_000, b"x" * 50_000)
    for sent in (post(b"x" * 1_000_000), CHUNKED + chunk * 20, TOO_LARGE["endless headers"]):
        (told,) = answers(exchange(server, sent))
        assert told.status in (413, 431)
        assert told.headers["connection"] == "close"


@pytest.mark.parametrize("request_", [b"GET /nothing HTTP/1.1\r\nhost: a\r\n\r\n", post(b"{}")], ids=["api", "held"])
def test_ten_thousand_requests_in_a_row_are_answered_and_take_no_memory(models: Path, request_: bytes) -> None:
    """One read has room for thousands; parsed all at once they would take a hundred times as much."""
    n_requests = 10_000
    with served(models, variables={"SOFTGATE_ACCESS_LOG": "none"}) as server, connect(server) as client:
        before = peak_mib(server.process.pid)
        sender = threading.Thread(target=lambda: client.sendall(request_ * n_requests))
        sender.start()
        n_answers, tail = 0, b""
        while n_answers < n_requests:
            content = tail + client.recv(1_000_000)
            tail = content[-9:]
            n_answers += content.count(b"HTTP/1.1 4")
        sender.join()

        assert n_answers == n_requests
        assert peak_mib(server.process.pid) - before < 8


def test_bodies_that_never_end_share_a_room(models: Path) -> None:
    """Of two hundred that have begun, 32 fit."""
    beginning = post(b"x" * 90_000)[:-1000]
    variables = {"SOFTGATE_MAX_BODY_BYTES": "100000", "SOFTGATE_ACCESS_LOG": "none"}
    with served(models, variables=variables) as server, ExitStack() as crowd:
        before = peak_mib(server.process.pid)
        for _ in range(200):
            crowd.enter_context(connect(server)).sendall(beginning)
        until = time.monotonic() + 20
        while server.metrics()['softgate_errors_total{code="overloaded"}'] < 150 and time.monotonic() < until:
            time.sleep(0.1)

        assert server.metrics()['softgate_errors_total{code="overloaded"}'] >= 150
        assert server.predict("words", inputs="rain").status_code == 200
        assert peak_mib(server.process.pid) - before < 40
        crowd.close()
        # Left, they give back what they took.
        padded = json.dumps({"inputs": ["rain"] * 100}).encode() + b" " * 90_000
        until = time.monotonic() + 20
        while server.client.post(PATH, content=padded).status_code != 200 and time.monotonic() < until:
            time.sleep(0.1)
        assert {server.client.post(PATH, content=padded).status_code for _ in range(50)} == {200}


def test_lines_that_never_end_share_the_room(models: Path) -> None:
    beginning = post(b'"' + b"x" * 90_000 + b"\n", b"content-type: application/x-ndjson")[:-1]
    variables = {"SOFTGATE_MAX_BODY_BYTES": "100000", "SOFTGATE_ACCESS_LOG": "none"}
    with served(models, variables=variables) as server, ExitStack() as crowd:

        def n_refused() -> float:
            return server.metrics()['softgate_errors_total{code="overloaded"}']

        clients = [crowd.enter_context(connect(server)) for _ in range(100)]
        for client in clients:
            client.sendall(beginning)
        until(lambda: n_refused() >= 60, seconds=20)
        assert n_refused() < 70
        crowd.close()
        # Left, they give back what they took.
        lines = b'"rain"\n' + b" " * 90_000 + b"\n"
        until(lambda: server.client.post(PATH, content=lines, headers=LINES).status_code == 200, seconds=20)


@pytest.mark.parametrize("asked", [b"a b", b"a" * 65, b"\xff", b"a\tb", b"<script>", b"", b"a/b", b"a,b"])
def test_a_request_id_that_could_do_harm_is_replaced(server: Served, asked: bytes) -> None:
    by_the_api = b"GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-request-id: %s\r\n\r\n" % asked
    for sent in (post(b"{", b"x-request-id: %s" % asked, b"connection: close"), by_the_api):
        (told,) = answers(exchange(server, sent))
        assert re.fullmatch("[0-9a-f]{16}", told.headers["x-request-id"])


@pytest.mark.parametrize(
    ("url", "headers", "version", "expected"),
    [
        (b"/" * 100, [(b"host", b"a")], "1.1", None),
        (b"/" * 101, [(b"host", b"a")], "1.1", HeadersTooLarge),
        (b"/", [(b"host", b"a"), (b"a", b"")], "1.1", None),
        (b"/", [(b"host", b"a"), (b"a", b""), (b"b", b"")], "1.1", HeadersTooLarge),
        (b"/", [], "1.0", None),
        (b"/", [], "1.1", MalformedRequest),
        (b"/", [(b"host", b"a"), (b"host", b"a")], "1.0", MalformedRequest),
    ],
)
def test_a_head_is_checked_against_the_limits(
    url: bytes, headers: list[tuple[bytes, bytes]], version: str, expected: type[SoftgateError] | None
) -> None:
    limits = Limits(max_header_bytes=100 + 4 + 1 + 4, max_headers=2)

    try:
        check_head(url, headers, version, limits)
    except SoftgateError as exc:
        assert type(exc) is expected  # noqa: PT017 - None where there is none
    else:
        assert expected is None
