"""HTTP/1.1 as clients speak it, byte by byte: the short way of predictions and the way round it answer alike."""

import asyncio
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.types import Receive, Scope, Send

from graphs import load_classifier, write_text_model
from servers import Served, command, served, started
from softgate.policy.batch import Part
from softgate.policy.catalogue import Catalogue
from softgate.policy.classifier import Classifier
from softgate.runtime.repository import read_bundle
from softgate.web import errors
from softgate.web.bulk import Bulk
from softgate.web.errors import Problem
from softgate.web.journal import Journal
from softgate.web.metrics.layout import WEB, WebCounts, layout
from softgate.web.middleware import Edge
from softgate.web.protocols import Answer, Call, Protocol, Request
from softgate.web.protocols.native import Native
from softgate.web.whole import Whole

PATH = b"/v1/models/words/predict"
BODY = b'{"inputs": "send money", "top_k": 1, "id": "%d"}'


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as client:
        yield client


def request(number: int, *headers: bytes, body: bytes | None = None, version: bytes = b"1.1") -> bytes:
    content = BODY % number if body is None else body
    lines = [b"host: here", b"content-type: application/json", b"content-length: %d" % len(content), *headers]
    return b"POST %s HTTP/%s\r\n%s\r\n\r\n%s" % (PATH, version, b"\r\n".join(lines), content)


class Answers:
    """What comes out of a connection."""

    def __init__(self, client: socket.socket) -> None:
        self._file = client.makefile("rb")

    def one(self) -> tuple[int, dict[bytes, bytes], Any]:
        status = int(self._file.readline().split()[1])
        headers = dict(line.rstrip().split(b": ", 1) for line in iter(self._file.readline, b"\r\n"))
        return status, headers, json.loads(self._file.read(int(headers[b"content-length"])))

    def rest(self) -> bytes:
        return self._file.read()


def test_requests_behind_each_other_are_answered_in_their_order(server: Served) -> None:
    with connected(server.url) as client:
        client.sendall(b"".join(request(number) for number in range(50)))
        answers = Answers(client)
        found = [answers.one() for _ in range(50)]

    assert [status for status, _, _ in found] == [200] * 50
    assert [body["id"] for _, _, body in found] == [str(number) for number in range(50)]
    assert len({headers[b"x-request-id"] for _, headers, _ in found}) == 50


def test_a_body_may_come_in_pieces(server: Served) -> None:
    whole = request(7)
    with connected(server.url) as client:
        answers = Answers(client)
        for size in (1, 13):
            for start in range(0, len(whole), size):
                client.sendall(whole[start : start + size])
            assert answers.one()[2]["id"] == "7"


@pytest.mark.parametrize(
    "sent", [request(1, b"connection: close"), request(1, version=b"1.0")], ids=["asked to", "HTTP/1.0"]
)
def test_a_connection_that_is_not_kept_is_closed_behind_its_answer(server: Served, sent: bytes) -> None:
    with connected(server.url) as client:
        client.sendall(sent)
        answers = Answers(client)
        status, headers, _ = answers.one()

        assert (status, headers[b"connection"], answers.rest()) == (200, b"close", b"")


def test_what_does_not_take_the_short_way_is_answered_alike(server: Served) -> None:
    body = BODY % 3
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    host = b"POST %s HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\n" % PATH
    large = request(3, body=b'{"inputs": "send money", "top_k": 1, "id": "3"}' + b" " * 100_000)
    with connected(server.url) as client:
        answers = Answers(client)
        client.sendall(request(3))
        expected = answers.one()
        for sent in (host + b"transfer-encoding: chunked\r\n\r\n" + chunked, large):
            client.sendall(sent)
            status, headers, answer = answers.one()
            assert (status, headers.keys(), answer) == (200, expected[1].keys(), expected[2])


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (PATH + b"#part", []),
        (b"/v1/models/words#part/predict", []),
        (PATH, [b"x-request-id: ", b"x-request-id: mine"]),
        (PATH, [b"x-request-id: mine", b"x-request-id: other"]),
    ],
    ids=["a fragment", "a fragment within the path", "an empty id", "two ids"],
)
def test_odd_requests_are_answered_alike_on_both_ways(server: Served, path: bytes, headers: list[bytes]) -> None:
    whole, body = request(3, *headers).replace(PATH, path), BODY % 3
    chunked = whole.replace(b"content-length: %d" % len(body), b"transfer-encoding: chunked")
    chunked = chunked.replace(body, b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
    with connected(server.url) as client:
        answers = Answers(client)
        found = []
        for sent in (whole, chunked):
            client.sendall(sent)
            status, told, answer = answers.one()
            answer.pop("request_id", None)
            found.append((status, told[b"x-request-id"] == b"mine", answer))

    assert found[0] == found[1]


def test_a_client_that_asks_first_whether_to_send_its_body_is_told_to(server: Served) -> None:
    whole = request(4, b"expect: 100-continue")
    with connected(server.url) as client:
        client.sendall(whole[: -len(BODY % 4)])
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(BODY % 4)

        assert Answers(client).one()[2]["id"] == "4"


def test_a_mistake_is_a_problem_and_the_connection_goes_on(server: Served) -> None:
    with connected(server.url) as client:
        client.sendall(request(1, body=b"{") + request(2))
        answers = Answers(client)
        status, headers, problem = answers.one()

        assert (status, headers[b"content-type"], problem["code"]) == (
            400,
            b"application/problem+json",
            "malformed_body",
        )
        assert headers[b"x-request-id"].decode() == problem["request_id"]
        assert answers.one()[2]["id"] == "2"


def test_a_client_that_leaves_before_its_body_is_there_is_counted_as_gone(server: Served) -> None:
    name = 'softgate_http_responses_total{status="499"}'
    before = server.metrics()[name]
    with connected(server.url) as client:
        client.sendall(request(1)[:-5])

    until = time.monotonic() + 20
    while server.metrics()[name] == before and time.monotonic() < until:
        time.sleep(0.05)
    assert server.metrics()[name] == before + 1


def test_a_client_that_does_not_read_gets_all_of_its_answers_when_it_does(server: Served) -> None:
    """20 MB of them, which no buffer on the way holds."""
    inputs = json.dumps({"inputs": ["send money"] * 60}).encode()
    with connected(server.url) as client:
        client.settimeout(0.5)
        n_sent = 0
        try:
            for _ in range(1000):
                client.sendall(request(0, body=inputs))
                n_sent += 1
        except TimeoutError:
            # The server has stopped reading, as it should.
            pass
        client.settimeout(20)
        answers = Answers(client)
        found = [answers.one() for _ in range(n_sent)]

    assert n_sent > 10
    assert all(len(body["predictions"]) == 60 for _, _, body in found)


def test_the_client_in_the_log_is_the_one_that_a_proxy_names(tmp_path: Path) -> None:
    folder = write_text_model(tmp_path / "words", name="words")
    with started(command("serve", folder, "--port", 0), variables={"SOFTGATE_ACCESS_LOG": "all"}) as server:
        url = server.read_until("listening")["url"]
        server.read_until("ready")
        with connected(url) as client:
            client.sendall(request(1, b"x-forwarded-for: 203.0.113.9"))
            Answers(client).one()
            record = server.read_until("request")

    assert (record["client"], record["status"]) == ("203.0.113.9", 200)


class Panic(BaseException):
    """As a library written in Rust raises it."""


class Panicking:
    """A protocol that panics when it reads, or when it writes."""

    def __init__(self, classifier: Classifier, *, reads: bool) -> None:
        self._classifier = classifier
        self._reads = reads

    def match(self, method: str, path: str) -> tuple[str, str | None]:
        return "words", None

    def owns(self, path: str) -> bool:
        return True

    def read(self, request: Request) -> Call:
        if self._reads:
            raise Panic("secret")
        return Call(self._classifier, self._classifier.check(["send money"]), self._encode)

    def _encode(self, part: Part) -> Answer:
        raise Panic("secret")

    def refuse(self, problem: Problem, *, request_id: str) -> Answer:
        return Answer(errors.encode(problem, request_id=request_id), status=problem.status)


class Scene:
    """An edge without a server: what it wrote, and what it counted."""

    def __init__(self, protocol: Protocol, *, clock: Callable[[], float] = lambda: 0.0) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            raise AssertionError("Nothing gets here.")

        counted = layout([])
        self.counts = counted.view(np.zeros(counted.width), WEB)
        web = WebCounts(self.counts)
        bulk = Bulk(Catalogue([], lambda _: {}), web, clock=clock, max_line_bytes=1000)
        self.edge = Edge(
            app,
            [protocol],
            web,
            bulk=bulk,
            clock=clock,
            max_body_bytes=1000,
            request_timeout_ms=1000,
            journal=Journal(web, clock=clock, overload_status=429, access_log="none"),
        )
        self.written: list[Answer] = []

    def ask(self) -> None:
        route = self.edge.route("POST", PATH.decode())
        assert route is not None
        whole = Whole(
            "POST",
            PATH.decode(),
            route,
            headers=[],
            content_type=b"",
            request_id=b"",
            peer=None,
            proxies=None,
            keep_alive=True,
        )
        whole.body = BODY % 1
        self.edge.answer_whole(whole, lambda answer, _: self.written.append(answer))


@pytest.mark.parametrize("reads", [True, False], ids=["as it reads", "as it writes"])
def test_a_panic_is_answered_and_tells_nothing(tmp_path: Path, reads: bool) -> None:
    classifier = load_classifier(write_text_model(tmp_path / "words"))
    scene = Scene(Panicking(classifier, reads=reads))

    async def play() -> None:
        scene.ask()
        while not scene.written:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(play(), 20))
    classifier.close()

    (answer,) = scene.written
    assert (answer.status, json.loads(answer.body)["code"]) == (500, "internal")
    assert b"secret" not in answer.body
    assert scene.counts["errors"].sum() == scene.counts["responses"].sum() == 1


def test_what_waits_when_the_time_for_requests_under_way_is_over_is_told_so(tmp_path: Path) -> None:
    folder = write_text_model(tmp_path / "words", name="words")
    with (folder / "classifier.toml").open("a") as card:
        card.write('\n[serving]\nrun_on = "thread"\n')
    bundles = [read_bundle(folder)]
    counted = layout(bundles)
    row = np.zeros(counted.width)
    catalogue = Catalogue(bundles, lambda section: counted.view(row, section))
    catalogue.load(threads=1, clock=time.monotonic, max_rows=10)
    scene = Scene(Native(catalogue), clock=time.monotonic)

    async def play() -> None:
        # The first runs; the second waits for it.
        scene.ask()
        scene.ask()
        catalogue.close()
        while len(scene.written) < 2:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(play(), 20))

    refused, answered = scene.written
    assert (refused.status, json.loads(refused.body)["code"], answered.status) == (503, "not_ready", 200)


def test_a_server_that_is_told_to_stop_answers_what_it_has_taken(tmp_path: Path) -> None:
    with served(write_text_model(tmp_path / "words", name="words")) as server, connected(server.url) as client:
        client.sendall(request(1))
        answers = Answers(client)
        assert answers.one()[0] == 200
        client.sendall(request(2))
        code = server.stop()

        assert (answers.one()[2]["id"], code) == ("2", 0)
