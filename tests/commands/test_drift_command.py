"""`softgate drift`: a running server's drift report in the terminal."""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO, TextIOWrapper
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console

from graphs import linear, write_model, write_text_model
from references import write_referenced
from servers import command, environment, served
from softgate.commands.drift import DRIFTED
from softgate.commands.drift_screen import show, sparkline
from softgate.policy.monitor.board import watched
from softgate.policy.monitor.offline import Offline
from softgate.policy.monitor.report import describe
from softgate.policy.monitor.told import Report

CALM = np.random.default_rng(0).normal(scale=4, size=(2000, 4))


def run(*arguments: object, code: int = 0) -> "subprocess.CompletedProcess[str]":
    ended = subprocess.run(
        command("drift", *arguments), capture_output=True, text=True, env=environment(), check=False, timeout=60
    )
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended


def model(folder: Path, *, name: str = "toy") -> Path:
    write_model(folder, linear(np.eye(4, dtype=np.float32)), name=name)
    write_referenced(folder, CALM, thresholds={"default": 0.5}, gate=2.0)
    return folder


def printed(report: Report, *, width: int = 80, encoding: str = "utf-8", base: str | None = None) -> str:
    stream = TextIOWrapper(BytesIO(), encoding=encoding, errors="replace")
    show(report, Console(file=stream, width=width, color_system=None), base=base)
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)


def drifted(folder: Path) -> Report:
    """Of 400 rows of which nothing is sure, after 400 ordinary ones."""
    from graphs import load_classifier  # noqa: PLC0415

    classifier = load_classifier(model(folder))
    offline = Offline(classifier.model.bundle)
    for logits in (CALM[:400], CALM[400:800] / 50):
        offline.add(classifier.replay(logits))
    classifier.close()
    return offline.report()


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


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(tmp_path: Path, width: int) -> None:
    lines = printed(drifted(tmp_path / "toy"), width=width).splitlines()

    assert max(len(line.rstrip()) for line in lines) <= width
    assert not any("…" in line for line in lines)


def test_a_terminal_without_unicode_gets_plain_characters(tmp_path: Path) -> None:
    text = printed(drifted(tmp_path / "toy"), encoding="ascii")

    assert "#" in text
    assert "??" not in text


def test_what_a_server_says_steers_no_terminal(tmp_path: Path) -> None:
    report = drifted(tmp_path / "toy")
    (window,) = report.windows
    hostile = replace(
        report,
        model="\x1b[31mred",
        version="\x07",
        windows=[replace(window, window="1h", labels=replace(window.labels, vanished=["a\x1b[2J"] * 100))],
    )

    text = printed(hostile, base="http://127.0.0.1:1")

    assert "\x1b" not in text
    assert "\x07" not in text
    assert "and 92 more" in text


def test_a_sparkline_has_a_block_for_each_bin_and_none_for_an_empty_one() -> None:
    # Of 1011 rows: 7 ln(1 + 1000 / 1011) / ln 1001 = 0.70, of ten 2.42, of a thousand 6.99.
    assert sparkline([0, 1, 10, 1000, 0], unicode=True) == " ▂▃█"
    assert sparkline([0, 0, 0], unicode=True) == ""


def test_a_report_without_rows_is_shown(tmp_path: Path) -> None:
    from softgate.runtime.repository import read_bundle  # noqa: PLC0415

    report = describe(watched(read_bundle(model(tmp_path / "toy"))), [], updated_at=0.0)

    assert "No drift" in printed(report)
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


@contextmanager
def answering(status: int, body: bytes, **headers: str) -> Iterator[str]:
    """A server that is none of ours."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (200, b"<html>", "expected a softgate server's answer"),
        (200, b'{"models": [{}]}', "expected a softgate server's answer"),
        (200, b'{"models": [{"name": 7}]}', "expected a softgate server's answer"),
        (200, b"[" * 100_000, "expected a softgate server's answer"),
        (200, b'{"models": "\xff"}', "expected a softgate server's answer"),
        (503, b"", "expected status 200; got 503"),
        (404, b"", "expected status 200; got 404"),
    ],
)
def test_a_server_of_another_kind_is_named(status: int, body: bytes, message: str) -> None:
    with answering(status, body) as url:
        assert message in run(url, code=1).stderr


def test_a_server_that_is_not_there_is_named() -> None:
    assert "No answer from http://127.0.0.1:9/v1/models" in run("http://127.0.0.1:9", code=1).stderr
    assert "Expected an http URL" in run("ftp://here", code=1).stderr
