"""Logs: structured, without input text, and never in the way."""

import json
import logging
import os
import subprocess
from pathlib import Path

import httpx2
import numpy as np
import pytest

from graphs import picky, write_model, write_text_model
from servers import command, environment, served, started
from softgate.web.logs import MAX_LINE_BYTES, JsonFormatter, LineHandler, TextFormatter
from softgate.web.sockets import bind

SECRET = "hunter2"


def record(message: str = "request", **extra: object) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "softgate.web", "levelname": "INFO", "msg": message, **extra})


def test_a_line_is_one_json_object_with_the_extra_fields() -> None:
    line = json.loads(JsonFormatter().format(record(status=404, path="/a\n/b")))

    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "info", "logger": "softgate.web", "message": "request", "status": 404, "path": "/a\n/b"}


def test_a_text_line_stays_one_line_whatever_a_client_sends() -> None:
    line = TextFormatter().format(record(path="/a\n12:00:00 error forged", status=404))

    assert "\n" not in line
    assert line.endswith("status=404")


def test_a_long_line_is_still_one_json_object() -> None:
    line = JsonFormatter().format(record(path="/" + "ä" * 9000, traceback="x" * 6000 + "the last frame", status=404))

    assert len(line.encode()) < MAX_LINE_BYTES
    short = json.loads(line)
    assert short["status"] == 404
    assert short["traceback"].endswith("the last frame")


def test_an_unread_pipe_drops_lines_and_counts_them() -> None:
    reading, writing = os.pipe()
    dropped = np.zeros(1)
    handler = LineHandler(writing, dropped)

    for number in range(10_000):
        handler.emit(record(f"{number:<99}"))

    assert dropped[0] > 0
    os.close(writing)
    handler.close()
    with open(reading, "rb") as pipe:
        os.set_blocking(reading, False)
        lines = pipe.read().splitlines()
    assert len(lines) + dropped[0] == 10_000
    assert [line.rstrip() for line in lines[:2]] == [b"0", b"1"]


def test_a_full_disk_drops_lines_and_counts_them() -> None:
    dropped = np.zeros(1)
    descriptor = os.open("/dev/full", os.O_WRONLY)

    handler = LineHandler(descriptor, dropped)
    handler.emit(record())

    assert dropped[0] == 1
    handler.close()
    os.close(descriptor)


def test_a_long_line_is_cut_so_that_workers_cannot_tear_it(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        handler = LineHandler(file.fileno(), np.zeros(1))
        handler.emit(record("x" * 100_000))
        handler.emit(record("y"))
        handler.close()

    first, second = path.read_bytes().splitlines()
    assert len(first) == MAX_LINE_BYTES - 1
    assert second == b"y"


@pytest.mark.parametrize("sink", ["an unread pipe", "/dev/full"])
def test_a_server_whose_log_nobody_reads_goes_on_serving(tmp_path: Path, sink: str) -> None:
    folder = write_text_model(tmp_path / "toy")
    reading, writing = os.pipe() if sink == "an unread pipe" else (-1, os.open(sink, os.O_WRONLY))
    with bind("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        command("serve", folder, "--port", port), stderr=writing, env=environment(SOFTGATE_ACCESS_LOG="all")
    )
    os.close(writing)
    transport = httpx2.HTTPTransport(retries=10)
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", transport=transport, timeout=10) as client:
        try:
            answers = [client.post("/v1/models/toy/predict", json={"inputs": "rain"}) for _ in range(1500)]
            scrape = client.get("/metrics").text
        finally:
            process.terminate()
            process.wait(timeout=10)
            if reading >= 0:
                os.close(reading)

    assert {answer.status_code for answer in answers} <= {200, 503}
    assert answers[-1].status_code == 200
    dropped = next(line for line in scrape.splitlines() if line.startswith("softgate_dropped_log_lines_total"))
    assert float(dropped.split()[1]) > 0
    assert process.returncode == 0


@pytest.mark.parametrize("form", ["json", "text"])
def test_nothing_of_an_input_is_ever_logged(tmp_path: Path, form: str) -> None:
    folder = write_text_model(tmp_path / "toy")
    line = command("serve", folder, "--port", 0)
    with started(line, variables={"SOFTGATE_ACCESS_LOG": "all", "SOFTGATE_LOG_FORMAT": form}) as server:
        listening = next(line for line in server.log if "listening" in line)
        url = "http" + listening.partition("http")[2].rstrip('"}\n')
        with httpx2.Client(base_url=url, transport=httpx2.HTTPTransport(retries=10)) as client:
            for body in ({"inputs": SECRET}, {"inputs": [SECRET, 3]}, {SECRET: 1}, {"inputs": SECRET * 10_000}):
                client.post("/v1/models/toy/predict", json=body)
            client.post("/v1/models/toy/predict", content=SECRET.encode())
            client.get(f"/livez?{SECRET}", headers={"authorization": SECRET, "cookie": SECRET})
        server.process.terminate()
        log = server.log.read()

    assert log.count("/v1/models/toy/predict") == 5
    assert SECRET not in log


def test_no_number_of_an_input_is_logged_where_the_graph_fails_on_it(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "picky", picky(), name="picky")
    with served(folder) as server:
        assert server.predict("picky", inputs=[[987654321]]).status_code == 500
        server.stop()
        log = server.started.log.read()

    assert "987654321" not in log
    assert json.loads(log.splitlines()[0])["reason"].startswith("onnxruntime failed while it ran the graph:")
