"""Bad requests: each answers a 4xx problem that says what was got and wanted, and repeats nothing of the request."""

import json
import socket
from typing import Any

import pytest

from servers import Served
from softgate.web.errors import PROBLEM_JSON

SECRET = "my-password-is-hunter2"
PREDICT = "/v1/models/{}/predict"
# model, body, status, code, what the detail must say
BODIES: list[tuple[str, bytes, int, str, str]] = [
    ("words", b"", 400, "malformed_body", "In the body"),
    ("words", b"not json", 400, "malformed_body", "(byte 4)"),
    ("words", b"\xff\xfe", 400, "malformed_body", "In the body"),
    ("words", b"[]", 400, "malformed_body", "Expected `object`, got `array`"),
    ("words", b"{}", 400, "malformed_body", "missing required field `inputs`"),
    ("words", b'{"inputs": NaN}', 400, "malformed_body", "malformed"),
    ("words", b'{"inputs": null}', 400, "malformed_body", "Expected `str | array`, got `null`"),
    ("words", b'{"inputs": {"a": 1}}', 400, "malformed_body", "Expected `str | array`, got `object`"),
    ("words", b'{"inputs": ["a", 3]}', 400, "malformed_body", "Expected `str | array`, got `int` - at `$[1]`"),
    ("words", b'{"inputs": []}', 400, "shape_mismatch", "Expected at least 1 row; got none"),
    ("words", b'{"inputs": "a", "top_k": 0}', 400, "malformed_body", "`int` >= 1 - at `$.top_k`"),
    ("words", b'{"inputs": "a", "top_p": 1.5}', 400, "malformed_body", "`float` <= 1.0 - at `$.top_p`"),
    ("words", b'{"inputs": "a", "temperature": 0}', 400, "malformed_body", ">= 0.05 - at `$.temperature`"),
    ("words", b'{"inputs": "a", "logits": 1}', 400, "malformed_body", "Expected `bool`, got `int`"),
    ("words", b'{"inputs": "\\ud800"}', 400, "malformed_body", "In "),
    ("identity", b'{"inputs": []}', 400, "shape_mismatch", "Expected at least 1 row"),
    ("identity", b'{"inputs": [[]]}', 400, "shape_mismatch", "Expected 4 features per row; row 0 has 0"),
    ("identity", b'{"inputs": [1, 2, 3]}', 400, "shape_mismatch", "Expected 4 features per row; row 0 has 3"),
    ("identity", b'{"inputs": [[1,2,3,4],[1,2]]}', 400, "shape_mismatch", "row 1 has 2"),
    ("identity", b'{"inputs": [1, 2, "3", 4]}', 400, "malformed_body", "Expected `float`, got `str` - at `$[2]`"),
    ("identity", b'{"inputs": [true, 2, 3, 4]}', 400, "malformed_body", "Expected `float`, got `bool`"),
    ("identity", b'{"inputs": [null, 2, 3, 4]}', 400, "malformed_body", "Expected `float`, got `null`"),
    ("identity", b'{"inputs": [1e39, 2, 3, 4]}', 400, "non_finite_input", "fit float32; row 0, feature 0"),
    ("identity", b'{"inputs": [1e999, 2, 3, 4]}', 400, "malformed_body", "In "),
    ("identity", b'{"inputs": [NaN, 2, 3, 4]}', 400, "malformed_body", "malformed"),
    ("identity", b'{"inputs": [[[1,2,3,4]]]}', 400, "malformed_body", "Expected `float`, got `array`"),
    ("identity", b'{"inputs": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", 400, "malformed_body", "In "),
    ("picky", b'{"inputs": [1.5]}', 400, "malformed_body", "Expected `int`, got `float`"),
    ("picky", b'{"inputs": [9223372036854775808]}', 400, "non_finite_input", "fit int64"),
    ("nobody", b'{"inputs": "a"}', 404, "unknown_model", "identity, logarithm, picky, words"),
]


def check(answer: Any, status: int, code: str, said: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM_JSON
    problem = answer.json()
    assert problem["code"] == code
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert said in problem["detail"]


@pytest.mark.parametrize(("model", "body", "status", "code", "said"), BODIES)
def test_a_bad_body_is_a_problem(  # noqa: PLR0917 - pytest passes them by name
    server: Served, model: str, body: bytes, status: int, code: str, said: str
) -> None:
    check(server.client.post(PREDICT.format(model), content=body), status, code, said)


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": "a", SECRET: 1},
        {"inputs": "a", "select": SECRET},
        {"inputs": "a", "profile": SECRET},
        {"inputs": [SECRET, 7]},
        {"inputs": {SECRET: SECRET}},
        {"inputs": "a", "top_k": SECRET},
        {"inputs": "a", "id": SECRET * 50},
        {"inputs": SECRET * 2000},
        {"inputs": [SECRET] * 101},
    ],
)
def test_nothing_of_a_request_is_repeated(server: Served, body: dict[str, Any]) -> None:
    for model in ("words", "identity", SECRET):
        answer = server.client.post(PREDICT.format(model), content=json.dumps(body))

        assert 400 <= answer.status_code < 500
        assert SECRET not in answer.text
        assert "Expected" in answer.json()["detail"]


def test_too_many_rows_and_too_long_a_text_are_refused(server: Served) -> None:
    check(server.predict("words", inputs=["a"] * 101), 400, "too_many_rows", "at most 100 rows per request; got 101")
    check(server.predict("words", inputs=["b", "a" * 40_000]), 400, "text_too_long", "row 1 has 40000")


def test_a_body_above_the_limit_is_refused_declared_or_streamed(server: Served) -> None:
    ten_megabytes = b"x" * 10_000_000
    check(server.client.post(PREDICT.format("words"), content=ten_megabytes), 413, "body_too_large", "got 10000000")
    pieces = (b"x" * 50_000 for _ in range(6))
    check(server.client.post(PREDICT.format("words"), content=pieces), 413, "body_too_large", "at most 200000 bytes")


def test_a_body_of_an_encoding_that_is_not_known_is_refused(server: Served) -> None:
    answer = server.client.post(PREDICT.format("words"), content=b"\x1f\x8b", headers={"content-encoding": "br"})

    check(answer, 415, "unsupported_encoding", "gzip or deflate")


def test_paths_methods_and_versions_that_are_not_served(server: Served) -> None:
    client = server.client
    check(client.get("/nothing/here"), 404, "not_found", "/docs")
    check(client.get(PREDICT.format("words")), 405, "method_not_allowed", "Allow")
    assert client.get(PREDICT.format("words")).headers["allow"] == "POST"
    check(client.get("/v1/models/nobody"), 404, "unknown_model", "words")
    check(client.post(PREDICT.format("words") + "/", content=b"{}"), 404, "not_found", "/docs")
    body = {"inputs": "a"}
    check(client.post("/v1/models/words/versions/2/predict", json=body), 404, "unknown_version", "words: 1")


def test_a_graph_that_fails_is_a_500_that_tells_the_client_nothing(server: Served) -> None:
    before = server.metrics()['softgate_errors_total{code="engine_failed"}']
    check(server.predict("picky", inputs=[[1], [9]]), 500, "engine_failed", "its log holds the reason")

    assert server.metrics()['softgate_errors_total{code="engine_failed"}'] == before + 1
    assert server.predict("picky", inputs=[[1]]).status_code == 200


def test_json_is_read_whatever_the_content_type(server: Served) -> None:
    for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
        headers = {"content-type": kind}
        answer = server.client.post(PREDICT.format("words"), content=b'{"inputs": "rain"}', headers=headers)
        assert answer.status_code == 200


def raw(server: Served, request: bytes) -> bytes:
    """What comes back for these bytes until the server closes."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
def test_a_body_behind_an_upgrade_is_refused_and_never_taken_for_a_request(server: Served, protocol: str) -> None:
    hidden = b"GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    head = f"POST /v1/models/words/predict HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n"

    before = server.metrics()['softgate_errors_total{code="malformed_body"}']
    answer = raw(server, f"{head}content-length: {len(hidden)}\r\n\r\n".encode() + hidden)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"connection: close" in answer
    assert answer.count(b"HTTP/1.1") == 1
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["detail"].startswith(
        "Expected a body without an Upgrade header"
    )
    assert server.metrics()['softgate_errors_total{code="malformed_body"}'] == before + 1


def test_an_upgrade_without_a_body_is_ignored(server: Served) -> None:
    head = b"GET /livez HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: h2c\r\n"

    for none in (b"\r\n", b"content-length: 0\r\n\r\n", b"\r\nGET /livez HTTP/1.1\r\nhost: a\r\n\r\n"):
        answer = raw(server, head + none)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.count(b"HTTP/1.1") == 1
        assert b"connection: close" in answer


def test_a_request_before_an_upgrade_on_the_same_connection_gets_its_own_answer(server: Served) -> None:
    first = b'POST /v1/models/words/predict HTTP/1.1\r\nhost: a\r\ncontent-length: 18\r\n\r\n{"inputs": "rain"}'
    head = b"POST /v1/models/words/predict HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: h2c\r\n"

    answer = raw(server, first + head + b'content-length: 18\r\n\r\n{"inputs": "rain"}')

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1 400 ") == 1
