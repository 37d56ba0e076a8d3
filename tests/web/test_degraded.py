"""Refusals of a server that is too busy, and the decisions that a card may have it tell instead."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from graphs import picky, write_model
from paced_server import PATH, paced
from servers import Served, served
from softgate.web.errors import PROBLEM_JSON
from softgate.web.schema.answers import PredictAnswer
from web.test_deadlines import WAYS, holding

ROW = [1, 2, 3, 4]
FELL_BACK = {"action": "fallback", "target": "human", "confidence": None, "threshold": None}
SILENT: dict[str, Any] = {
    "label": None,
    "confidence": None,
    "probabilities": {},
    "margin": None,
    "entropy": None,
    "energy": None,
}
DEGRADED = "threshold = 0.7\ndegraded = true"


@pytest.fixture(scope="module")
def degraded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("models") / "paced"
    with paced(folder, routing=DEGRADED, SOFTGATE_OVERLOAD_STATUS="503") as running:
        yield running


@contextmanager
def full(server: Served) -> Iterator[None]:
    """While the graph is taken and the rows that wait for it take longer than anything may wait."""
    body = {"inputs": [ROW] * 40}
    with holding(server, seconds=2.0), ThreadPoolExecutor() as threads:
        waiting = threads.submit(httpx2.post, server.url + PATH, json=body, timeout=30)
        while not any(rows for name, rows in server.metrics().items() if name.startswith("softgate_queue_rows{")):
            pass
        yield
        assert waiting.result().status_code == 200


def decided(server: Served, reason: str) -> float:
    """Rows so far that fell back for this reason."""
    wanted = f'action="fallback",calibration="",model="{{}}",reason="{reason}",version="1"'
    return sum(server.metrics()[f"softgate_decisions_total{{{wanted.format(name)}}}"] for name in names(server))


def names(server: Served) -> list[str]:
    return [model["name"] for model in server.client.get("/v1/models").json()["models"]]


def check_refused(answer: httpx2.Response, status: int) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM_JSON)
    assert answer.json()["code"] == "overloaded"
    assert answer.json()["status"] == status
    assert answer.json()["detail"].startswith("Expected a wait of at most 500 ms; the 40 rows in the queue take ")
    assert 1 <= int(answer.headers["retry-after"]) <= 4


@WAYS
def test_what_would_wait_too_long_is_refused_before_its_body_is_read(tmp_path: Path, path: str) -> None:
    with paced(tmp_path / "paced") as server, full(server):
        answers = [server.client.post(path, content=b"no JSON at all") for _ in range(30)]

    for answer in answers:
        check_refused(answer, 429)
    assert len({answer.headers["retry-after"] for answer in answers}) > 1


def test_an_overload_is_a_503_where_the_operator_wants_one(degraded: Served) -> None:
    with full(degraded):
        check_refused(degraded.client.post("/v1/models/paced/rank", json={"inputs": [ROW], "label": "joke"}), 503)


@WAYS
def test_a_degraded_model_tells_each_row_to_fall_back_and_counts_that(degraded: Served, path: str) -> None:
    before, errors = decided(degraded, "overloaded"), 'softgate_errors_total{code="overloaded"}'
    n_errors = degraded.metrics()[errors]
    with full(degraded):
        answer = degraded.client.post(path, json={"inputs": [ROW] * 3, "id": "abc", "logits": True})
        late = degraded.client.post(path, json={"inputs": ROW}, headers={"x-request-timeout-ms": "50"})

    row = {**SILENT, "prediction_set": None, "decision": {**FELL_BACK, "reason": "overloaded"}}
    assert (answer.status_code, late.status_code) == (200, 200)
    assert PredictAnswer.model_validate(answer.json())
    assert answer.json()["predictions"] == [row | {"logits": None}] * 3
    assert (answer.json()["id"], answer.json()["version"]) == ("abc", "1")
    assert late.json()["predictions"] == [row]
    assert decided(degraded, "overloaded") == before + 4
    assert degraded.metrics()[errors] == n_errors + 2


def test_a_deadline_that_passes_is_a_fallback_too(degraded: Served) -> None:
    with holding(degraded, seconds=1.0):
        answer = degraded.client.post(PATH, json={"inputs": ROW}, headers={"x-request-timeout-ms": "50"})

    assert (answer.status_code, answer.json()["predictions"][0]["decision"]["reason"]) == (200, "overloaded")


def test_what_the_client_got_wrong_is_never_a_fallback(degraded: Served) -> None:
    with full(degraded):
        post = degraded.client.post
        found = [
            post(PATH, content=b"no JSON"),
            post(PATH, json={"inputs": [1, 2, 3]}),
            post(PATH, json={"inputs": ROW, "profile": "none such"}),
            post(PATH, json={"inputs": ROW}, headers={"x-request-timeout-ms": "0"}),
            post("/v1/models/nobody/predict", json={"inputs": ROW}),
        ]

    assert [(answer.status_code, answer.json()["code"]) for answer in found] == [
        (400, "malformed_body"),
        (400, "shape_mismatch"),
        (400, "unknown_profile"),
        (400, "invalid_input"),
        (404, "unknown_model"),
    ]


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_a_graph_that_fails_is_a_fallback_and_still_an_error_to_the_operator(tmp_path: Path, activation: str) -> None:
    folder = write_model(tmp_path / "picky", picky(), name="picky", activation=activation, routing=DEGRADED)
    with served(folder) as server:
        fine, poisoned = (server.predict("picky", inputs=[[value]]) for value in (1, 9))
        counted = server.metrics()
        n_decided = decided(server, "model_unavailable")
        record = server.started.read_until("engine_failed")

    decision: dict[str, Any] = {**FELL_BACK, "reason": "model_unavailable"}
    several: dict[str, Any] = {} if activation == "softmax" else {"labels": []}
    decision |= {} if activation == "softmax" else {"targets": []}
    assert fine.json()["predictions"][0]["label"] is not None or activation == "sigmoid"
    assert poisoned.json()["predictions"] == [{**SILENT, "prediction_set": None, "decision": decision, **several}]
    assert PredictAnswer.model_validate(poisoned.json())
    assert n_decided == counted['softgate_errors_total{code="engine_failed"}'] == 1
    assert record["request_id"] == poisoned.headers["x-request-id"]


def test_json_of_a_fallback_holds_no_bare_nan(degraded: Served) -> None:
    with full(degraded):
        content = degraded.client.post(PATH, json={"inputs": ROW}).content

    assert b"NaN" not in content
    assert json.loads(content)["predictions"][0]["decision"]["target"] == "human"
