"""Drift monitoring through the front door: real servers, real kills."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import jsonschema
import numpy as np
import pytest

from graphs import logarithm, write_model, write_text_model
from references import write_referenced
from servers import Served, command, environment, served, started
from watched import Logits, logits, referenced

DRIFT, ACKNOWLEDGE = "/v1/models/toy/drift", "/v1/models/toy/drift/acknowledge"
FALLING = "confidence_falling"
PATIENCE_SECONDS = 3.0
UNSURE = 1.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("models")
    referenced(models / "toy", logits(2000), gate=-5.0)
    write_text_model(models / "words", name="words")
    return models


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Served]:
    """For what needs no restart."""
    with served(folder, workers=2) as running:
        yield running


def send(server: Served, rows: Logits) -> None:
    """In requests of ten rows, each on a connection of its own, so that either worker may take it."""
    for first in range(0, len(rows), 10):
        body = {"inputs": rows[first : first + 10].tolist(), "top_k": 1}
        answer = server.client.post("/v1/models/toy/predict", json=body, headers={"connection": "close"})
        assert answer.status_code == 200


def report(server: Served) -> dict[str, Any]:
    answer = server.client.get(DRIFT)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def detector(told: dict[str, Any], name: str = FALLING) -> dict[str, Any]:
    (found,) = [one for one in told["detectors"] if one["detector"] == name]
    return dict(found)


def metric(server: Served, name: str, detector: str = FALLING) -> float:
    (found,) = [
        number for series, number in server.metrics().items() if series.startswith(name) and f'"{detector}"' in series
    ]
    return found


def soon(look: Callable[[], Any]) -> Any:
    """What `look` returns as soon as it is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := look()):
        assert time.monotonic() < deadline, f"Not within {PATIENCE_SECONDS} s."
        time.sleep(0.02)
    return found


def workers(server: Served) -> list[int]:
    process = server.process.pid
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def test_an_alarm_is_raised_told_kept_over_kills_and_restarts_and_acknowledged(folder: Path, tmp_path: Path) -> None:
    state = "--state-dir", tmp_path / "state"
    with served(folder, *state, workers=2) as server:
        assert not report(server)["alarm"]
        send(server, logits(50, scale=UNSURE))

        soon(lambda: report(server)["alarm"])
        assert metric(server, "softgate_drift_alarm{") == 1
        event = server.started.read_until("drift_alarm")
        assert (event["level"], event["model"], event["detector"]) == ("warning", "toy", FALLING)
        assert event["evidence"] >= event["budget"] == 30_000

        # Not enough for another one.
        send(server, logits(10, scale=UNSURE, seed=1))
        before = soon(lambda: detector(report(server)) if detector(report(server))["rows"] == 10 else None)
        victim = workers(server)[0]
        os.kill(victim, signal.SIGKILL)
        assert server.started.read_until("worker died")["pid"] == victim
        server.started.read_until("ready")
        assert detector(report(server)) == before
        assert report(server)["windows"][0]["rows"] == 60
        assert metric(server, "softgate_drift_alarm{") == 1
        assert server.stop() == 0

    with served(folder, *state, workers=2) as server:
        kept = detector(report(server))
        assert kept == before
        assert 0 < kept["evidence"] < 1
        assert report(server)["windows"][0]["rows"] == 0
        assert metric(server, "softgate_drift_evidence_ratio{") == kept["evidence"]

        answer = server.client.post(ACKNOWLEDGE, json={"detector": FALLING})

        assert answer.status_code == 200
        after = detector(answer.json())
        assert (answer.json()["alarm"], after["alarm"], after["evidence"], after["raised_at"]) == (
            False,
            False,
            0,
            None,
        )
        assert after["alarms"] == 1
        assert server.started.read_until("drift_acknowledged")["detector"] == FALLING
        assert metric(server, "softgate_drift_alarm{") == 0
        assert metric(server, "softgate_drift_alarms_total{") == 1


def test_a_lone_server_that_is_killed_keeps_its_alarm(folder: Path, tmp_path: Path) -> None:
    state = "--state-dir", tmp_path / "state"
    with served(folder, *state) as server:
        send(server, logits(50, scale=UNSURE))
        server.started.read_until("drift_alarm")
        soon((tmp_path / "state" / "monitor.json").exists)
        server.process.kill()
        server.process.wait()

    with served(folder, *state) as server:
        assert detector(report(server))["alarm"]
        assert metric(server, "softgate_drift_alarm{") == 1


def test_without_a_folder_a_restart_starts_afresh_and_says_so(folder: Path) -> None:
    with started(command("serve", folder, "--port", 0)) as server:
        record = server.read_until("drift detectors start afresh")

    assert record["reason"] == "no --state-dir is given"


def test_a_folder_that_another_server_holds_ends_the_server_with_one_sentence(folder: Path, tmp_path: Path) -> None:
    with served(folder, "--state-dir", tmp_path / "state"):
        ended = subprocess.run(
            command("serve", folder, "--port", 0, "--state-dir", tmp_path / "state"),
            capture_output=True,
            text=True,
            timeout=30,
            env=environment(),
            check=False,
        )

    assert ended.returncode == 1
    assert "another server keeps its state here; wanted a folder of its own" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "listening" not in ended.stderr


def test_a_folder_that_vanishes_stops_no_answer(folder: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with served(folder, "--state-dir", state) as server:
        for path in state.iterdir():
            path.unlink()
        state.rmdir()
        send(server, logits(50, scale=UNSURE))

        assert server.started.read_until("the monitor's state is not saved")["level"] == "error"
        assert detector(report(server))["alarm"]
        assert server.metrics()["softgate_monitor_state_write_failures_total"] >= 1
        assert server.stop() == 0


@pytest.fixture(scope="module")
def document(server: Served) -> dict[str, Any]:
    answer: dict[str, Any] = server.client.get("/openapi.json").json()
    return answer


def published(document: dict[str, Any], path: str, method: str, status: int) -> dict[str, Any]:
    kind = "application/json" if status == 200 else "application/problem+json"
    template = path.replace("/toy/", "/{model}/").replace("/words/", "/{model}/")
    found = document["paths"][template][method]["responses"][str(status)]["content"][kind]["schema"]
    return {**found, "components": document["components"]}


@pytest.mark.parametrize("model", ["toy", "words"])
def test_reports_are_of_the_published_form(server: Served, document: dict[str, Any], model: str) -> None:
    path = f"/v1/models/{model}/drift"
    for rows in (0, 30):
        send(server, logits(rows))
        answer = server.client.get(path)
        assert answer.status_code == 200
        jsonschema.validate(answer.json(), published(document, path, "get", 200))

        answer = server.client.post(f"{path}/acknowledge", json={})
        assert answer.status_code == 200
        jsonschema.validate(answer.json(), published(document, f"{path}/acknowledge", "post", 200))


SECRET = "s3cret-of-the-client"
JSON = "application/json"
REFUSED: dict[str, tuple[str, bytes, str]] = {
    "an unknown detector": ("toy", json.dumps({"detector": SECRET}).encode(), JSON),
    "a detector of a model that has none": ("words", json.dumps({"detector": FALLING}).encode(), JSON),
    "a number": ("toy", b'{"detector": 7}', JSON),
    "an unknown key": ("toy", json.dumps({"detectors": SECRET}).encode(), JSON),
    "a list": ("toy", json.dumps([SECRET]).encode(), JSON),
    "half a body": ("toy", b'{"detector": "' + SECRET.encode(), JSON),
    "no text": ("toy", b"\xff" + SECRET.encode(), JSON),
    "no body": ("toy", b"", JSON),
    "no JSON": ("toy", b"{}", "text/plain"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_an_acknowledgement_that_is_none_is_refused_without_an_echo(server: Served, what: str) -> None:
    model, content, kind = REFUSED[what]

    answer = server.client.post(
        f"/v1/models/{model}/drift/acknowledge", content=content, headers={"content-type": kind}
    )

    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    assert SECRET not in answer.text
    assert ("the header Content-Type: application/json" in answer.json()["detail"]) == (kind != JSON)


def test_an_unknown_model_is_a_problem_without_an_echo(server: Served) -> None:
    path = f"/v1/models/{SECRET}/drift"
    for answer in (server.client.get(path), server.client.post(f"{path}/acknowledge", json={})):
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_model")
        assert answer.headers["content-type"] == "application/problem+json"
        assert SECRET not in answer.text
    assert server.client.put(ACKNOWLEDGE, json={}).status_code == 405


def test_an_acknowledgement_without_an_alarm_changes_nothing(server: Served) -> None:
    before = report(server)["detectors"]

    answer = server.client.post(ACKNOWLEDGE, json={"detector": None})

    assert answer.status_code == 200
    assert [(one["alarm"], one["alarms"]) for one in answer.json()["detectors"]] == [(False, 0)] * len(before)


@pytest.mark.parametrize("row", [[1e300, 0.0, 0.0, 0.0], [-1e300] * 4, [1e308] * 4, [1e160, -1e160, 0.0, 0.0]])
def test_a_report_of_huge_logits_is_valid_json(server: Served, document: dict[str, Any], row: list[float]) -> None:
    for _ in range(2):
        send(server, np.array([row]))
        answer = server.client.get(DRIFT)

        assert answer.status_code == 200
        told = json.loads(answer.text, parse_constant=pytest.fail)
        jsonschema.validate(told, published(document, DRIFT, "get", 200))


def test_a_report_of_logits_that_are_no_numbers_is_valid_json(tmp_path: Path, document: dict[str, Any]) -> None:
    write_model(tmp_path / "toy", logarithm(4))
    write_referenced(tmp_path / "toy", np.log(np.random.default_rng(0).random((500, 4))))
    with served(tmp_path) as server:
        send(server, np.full((200, 4), -1.0))
        told = soon(lambda: report(server) if server.metrics()["softgate_monitor_updated_timestamp_seconds"] else None)

        jsonschema.validate(told, published(document, DRIFT, "get", 200))
        assert (told["windows"][0]["rows"], told["windows"][0]["finite_rows"]) == (200, 0)
        assert [rule["rule"] for rule in told["windows"][0]["rules"] if rule["broken"]] == ["non_finite_above"]
        assert "NaN" in server.client.get("/metrics").text


STUCK = """
import time
from softgate.policy.monitor.watch import Watch
def fail(*_, **__): raise RuntimeError("out of luck")
Watch.step = fail
from softgate.cli import main
main()
"""


def test_a_monitor_that_fails_stops_no_answer_and_no_replacement(folder: Path) -> None:
    line = [sys.executable, "-c", STUCK, "serve", str(folder), "--port", "0", "--workers", "2"]
    with started(line) as process:
        url = process.read_until("listening")["url"]
        with httpx2.Client(base_url=url, timeout=30) as client:
            server = Served(url, process, client)
            assert "out of luck" in process.read_until("the monitor's step failed")["exception"]
            os.kill(workers(server)[0], signal.SIGKILL)
            process.read_until("worker died")
            process.read_until("ready")
            send(server, logits(20))

            assert report(server)["windows"][0]["rows"] == 20
            assert client.post(ACKNOWLEDGE, json={}).status_code == 200
            assert server.metrics()["softgate_monitor_updated_timestamp_seconds"] == 0
            assert server.stop() == 0
