"""The client and servers that are full, guarded, silent or none."""

import asyncio
import http.server
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from graphs import write_text_model
from paced_server import paced
from servers import command, environment, served
from softgate.client import AsyncClient, Client, Retries
from softgate.errors import (
    DeadlineExceeded,
    Forbidden,
    ForeignAnswer,
    NoAnswer,
    Overloaded,
    Unauthenticated,
)
from web.test_deadlines import QUEUED, holding, wait_until


def test_who_is_turned_away_at_a_full_queue_comes_again(tmp_path: Path) -> None:
    pauses = []
    with paced(tmp_path / "paced") as busy:

        def sleep(seconds: float) -> None:
            """Until it is of use."""
            pauses.append(seconds)
            wait_until(lambda: busy.metrics()[QUEUED] == 0)

        with Client(busy.url, model="paced", sleep=sleep, retries=Retries(most=50)) as client:
            row = [1, 2, 3, 4]
            with holding(busy, seconds=1.0):
                with pytest.raises(DeadlineExceeded):
                    client.predict(row, timeout_seconds=0.1)
                # More than may wait at once; each request has a run of the graph to itself.
                found = list(client.predict_many([row] * 60, batch_size=10, concurrency=6))

    assert [one.label for one in found] == ["joke"] * 60
    assert pauses
    assert min(pauses) >= 1


def test_without_retries_a_full_queue_is_told(tmp_path: Path) -> None:
    with paced(tmp_path / "paced") as busy, holding(busy, seconds=1.0):
        with (
            Client(busy.url, model="paced", retries=Retries(most=0)) as client,
            pytest.raises(Overloaded) as caught,
        ):
            list(client.predict_many([[1, 2, 3, 4]] * 90, batch_size=15, concurrency=6))
        assert caught.value.status == 429


def test_a_token_is_shown(tmp_path: Path) -> None:
    made = subprocess.run(
        command("token", "bot", "--scope", "predict"), capture_output=True, text=True, env=environment(), check=True
    )
    (tmp_path / "tokens.toml").write_text(made.stdout)
    (token,) = [word for word in made.stderr.split() if len(word) > 30]
    write_text_model(tmp_path / "words", name="words")
    variables = {"SOFTGATE_TOKENS_FILE": str(tmp_path / "tokens.toml")}
    with served(tmp_path / "words", variables=variables) as guarded:
        with Client(guarded.url, model="words", token=token) as client:
            assert client.predict("rain").label == "weather"
            assert client.ready()
            with pytest.raises(Forbidden):
                client.models()
        with Client(guarded.url, model="words") as client, pytest.raises(Unauthenticated):
            client.predict("rain")


def test_where_nobody_listens_it_says_so() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        sentence = rf"^No answer from http://127.0.0.1:{port}/readyz: .*refused\.$"
        retries = Retries(most=1, base_seconds=0)
        with Client(f"http://127.0.0.1:{port}", retries=retries) as client, pytest.raises(NoAnswer, match=sentence):
            client.ready()


def test_who_takes_a_connection_and_says_nothing_is_left_at_the_deadline() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"

        with Client(url, timeout_seconds=0.2) as client, pytest.raises(DeadlineExceeded, match=r"within 0.2 s"):
            client.ready()

        async def awaited() -> None:
            async with AsyncClient(url, timeout_seconds=0.2) as client:
                await client.ready()

        with pytest.raises(DeadlineExceeded, match=r"within 0.2 s"):
            asyncio.run(awaited())


class Trickling(http.server.BaseHTTPRequestHandler):
    """A body without an end, of pieces that each come in time."""

    ended: threading.Event

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        with suppress(OSError):
            while not self.ended.wait(0.01):
                self.wfile.write(b" ")

    def log_message(self, *_: object) -> None:
        pass


def test_who_never_ends_is_left_at_the_deadline() -> None:
    Trickling.ended = threading.Event()
    with listening(Trickling) as url:

        async def awaited() -> None:
            async with AsyncClient(url, timeout_seconds=0.2) as client:
                await client.ready()

        try:
            with Client(url, timeout_seconds=0.2) as client, pytest.raises(DeadlineExceeded):
                client.ready()
            with pytest.raises(DeadlineExceeded):
                asyncio.run(awaited())
        finally:
            Trickling.ended.set()


@contextmanager
def listening(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class Elsewhere(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


def test_a_proxy_that_the_environment_names_is_passed_by(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_text_model(tmp_path / "words")
    with listening(Elsewhere) as proxy, served(tmp_path / "words") as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy)
        monkeypatch.delenv("NO_PROXY", raising=False)

        with Client(server.url) as client:
            assert client.ready()
        with Client(proxy) as client, pytest.raises(ForeignAnswer, match="got status 404 and text/html"):
            client.ready()
