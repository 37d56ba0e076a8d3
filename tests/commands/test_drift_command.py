"""`softgate drift`: what it asks of a server, and what it makes of the answer."""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drifting import CALM, drifted, model
from graphs import write_text_model
from servers import command, environment, served
from softgate.commands.drift import DRIFTED
from softgate.commands.running import MAX_BYTES
from softgate.policy.monitor.told import Report


def run(*arguments: object, code: int = 0, **variables: str) -> "subprocess.CompletedProcess[str]":
    ended = subprocess.run(
        command("drift", *arguments),
        capture_output=True,
        text=True,
        env=environment(**variables),
        check=False,
        timeout=60,
    )
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended


def test_traffic_that_drifts_is_an_alarm_and_an_exit_code(tmp_path: Path) -> None:
    model(tmp_path / "toy")
    with served(tmp_path) as server:
        server.predict("toy", inputs=CALM[:300].tolist())
        calm = run(server.url)
        server.predict("toy", inputs=(CALM[:300] / 50).tolist())
        server.started.read_until("drift_alarm")
        ended = run(server.url, "--model", "toy", code=DRIFTED)
        (told,) = json.loads(run(server.url, "--json", code=DRIFTED).stdout)

    assert "No drift" in calm.stdout
    assert "ALARM confidence falling since 20" in ended.stdout
    assert f"{server.url}/v1/models/toy/drift/acknowledge" in ended.stdout
    assert told["alarm"] is True


def test_every_model_is_shown_unless_one_is_named(tmp_path: Path) -> None:
    write_text_model(tmp_path / "words", name="words")
    model(tmp_path / "toy")
    with served(tmp_path) as server:
        both, one = run(server.url).stdout, run(server.url, "--model", "words").stdout
        unknown = run(server.url, "--model", "no/body", code=1).stderr

    assert "toy 1, calibration" in both
    assert "words 1, no calibration" in both
    assert "run softgate calibrate" in one
    assert "toy" not in one
    assert "no such model" in unknown


@contextmanager
def answering(status: int, body: bytes, **headers: str) -> Iterator[str]:
    """A server that is none of ours: the same to every question."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            with suppress(ConnectionError):
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def changed(report: Report, *path: Any, to: Any) -> bytes:
    """The answer with one of its values changed."""
    told = msgspec.to_builtins(report)
    place = told
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return json.dumps(told).encode()


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (200, b"<html>", "expected a softgate server's answer"),
        (200, b'{"models": [{}]}', "expected a softgate server's answer"),
        (200, b'{"models": [{"name": 7}]}', "expected a softgate server's answer"),
        (200, b"[" * 100_000, "expected a softgate server's answer"),
        (200, b'{"models": "\xff"}', "expected a softgate server's answer"),
        (200, b" " * (MAX_BYTES + 1), "expected an answer of at most"),
        (302, b"", "expected status 200; got 302, a redirect, which is not followed"),
        (503, b"", "expected status 200; got 503"),
        (404, b"", "expected status 200; got 404"),
    ],
    ids=range(9),
)
def test_a_server_of_another_kind_is_named(status: int, body: bytes, message: str) -> None:
    with answering(status, body) as url:
        ended = run(url, code=1)

    assert message in ended.stderr
    assert ended.stdout == ""


def test_a_redirect_is_not_followed() -> None:
    with answering(200, b'{"models": []}') as elsewhere, answering(307, b"", location=f"{elsewhere}/") as url:
        assert "got 307" in run(url, code=1).stderr


MEASURE = ("windows", 0, "measures", "label_confidence")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("alarm_every",), 10**400, "it holds a number beyond 1e+18"),
        ((*MEASURE, "mean"), 1e300, "it holds a number beyond 1e+18"),
        ((*MEASURE, "mean"), "high", "Expected `float | null`, got `str`"),
        (("detectors", 0, "rows"), "many", "Expected `int`, got `str`"),
        (("windows",), None, "Expected `array`, got `null`"),
        (("model",), "another", "it is of another model"),
    ],
)
def test_a_report_that_cannot_be_is_refused(tmp_path: Path, path: tuple[Any, ...], value: Any, message: str) -> None:
    with answering(200, changed(drifted(tmp_path / "toy"), *path, to=value)) as url:
        ended = run(url, "--model", "toy", code=1)

    assert f"expected a softgate server's answer; {message}" in ended.stderr
    assert ended.stdout == ""


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("detectors", 0, "raised_at"), 1e17),
        (("detectors", 0, "raised_at"), -1e12),
        (("detectors", 0, "evidence"), -5.0),
        ((*MEASURE, "counts"), [5, -4, 0]),
        ((*MEASURE, "counts"), []),
        ((*MEASURE, "mean"), None),
        ((*MEASURE, "statistics"), {}),
        (("windows",), []),
    ],
)
def test_a_report_that_is_odd_is_shown(tmp_path: Path, path: tuple[Any, ...], value: Any) -> None:
    with answering(200, changed(drifted(tmp_path / "toy"), *path, to=value)) as url:
        assert "ALARM confidence falling" in run(url, "--model", "toy", code=DRIFTED).stdout


def test_json_suits_any_terminal_and_steers_none(tmp_path: Path) -> None:
    path = ("windows", 0, "labels", "vanished")
    labels = ["naïve", "\x7f\x9b\u202e"]
    with answering(200, changed(drifted(tmp_path / "toy"), *path, to=labels)) as url:
        text = run(url, "--model", "toy", "--json", code=DRIFTED, PYTHONIOENCODING="ascii").stdout

    assert all(" " <= character <= "~" for character in text.removesuffix("\n"))
    assert json.loads(text)[0]["windows"][0]["labels"]["vanished"] == labels


def test_a_pipe_gets_no_colours_and_an_ascii_one_no_error(tmp_path: Path) -> None:
    with answering(200, changed(drifted(tmp_path / "toy"), "version", to="1")) as url:
        plain, ascii_only = (
            run(url, "--model", "toy", code=DRIFTED, PYTHONIOENCODING=encoding).stdout
            for encoding in ("utf-8", "ascii")
        )

    assert "\x1b" not in plain + ascii_only
    assert "█" in plain
    assert "+-" in ascii_only


def test_a_server_that_is_not_there_is_named() -> None:
    assert "No answer from http://127.0.0.1:9/v1/models" in run("http://127.0.0.1:9", code=1).stderr
    assert "Expected an http URL" in run("ftp://here", code=1).stderr
