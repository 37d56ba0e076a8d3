"""The Open Inference Protocol beside inference, over a real server."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import jsonschema
import numpy as np
import pytest

import softgate
from graphs import LABELS, linear, mixed, picky, slow, write_calibration, write_model, write_text_model
from raw_http import connect
from servers import Served, command, served, started

EYE = np.eye(4, dtype=np.float32)
WORDS = {"name": "text", "datatype": "BYTES", "shape": [-1]}
OUTPUTS = [
    {"name": "logits", "datatype": "FP32", "shape": [-1, 4]},
    {"name": "probabilities", "datatype": "FP64", "shape": [-1, 4]},
    {"name": "label", "datatype": "BYTES", "shape": [-1]},
    {"name": "confidence", "datatype": "FP64", "shape": [-1]},
    {"name": "decision", "datatype": "BYTES", "shape": [-1]},
    {"name": "prediction_set", "datatype": "BYTES", "shape": [-1]},
]


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Models of all kinds, served by two workers."""
    folder = tmp_path_factory.mktemp("models")
    write_text_model(folder / "words", name="words")
    write_model(folder / "numbers", linear(EYE), name="numbers")
    write_model(folder / "columns", mixed(), name="columns")
    write_model(folder / "stats", linear(EYE), name="stats")
    write_model(folder / "picky", picky(), name="picky")
    write_calibration(folder / "numbers", temperature=2.0)
    with served(folder, workers=2) as running:
        yield running


def told(server: Served, path: str, status: int = 200) -> Any:
    answer = server.client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json"), answer.text
    return answer.json()


def test_the_server_tells_its_name_version_and_extensions(several: Served) -> None:
    for path in ("/v2", "/v2/"):
        found = told(several, path)

        assert (found["name"], found["version"]) == ("softgate", softgate.__version__)
        assert found["extensions"] == [
            "binary_tensor_data",
            "classification",
            "parameters",
            "model_configuration",
            "statistics",
        ]


def test_health_is_told_with_both_words(several: Served) -> None:
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert told(several, path) == {"live": True, "ready": True}
        # As Triton's own example asks.
        assert told(several, f"{path}?test_1=1&test_2=2") == {"live": True, "ready": True}


def test_the_names_of_the_models_are_listed(several: Served) -> None:
    assert told(several, "/v2/models") == {"models": ["columns", "numbers", "picky", "stats", "words"]}


@pytest.mark.parametrize("version", ["", "/versions/1"])
def test_a_model_tells_its_inputs_and_outputs(several: Served, version: str) -> None:
    words, numbers = (told(several, f"/v2/models/{name}{version}") for name in ("words", "numbers"))

    assert words["inputs"] == [WORDS]
    assert words["outputs"] == OUTPUTS
    assert (words["name"], words["versions"], words["platform"]) == ("words", ["1"], "onnx_onnxv1")
    assert json.loads(words["properties"]["labels"]) == list(LABELS)
    assert words["properties"]["calibration"] == ""
    assert numbers["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 4]}]
    assert numbers["properties"]["calibration"] == several.client.get("/v1/models/numbers").json()["calibration"]
    assert all(isinstance(value, str) for value in numbers["properties"].values())


def test_a_model_of_several_inputs_tells_each(several: Served) -> None:
    assert told(several, "/v2/models/columns")["inputs"] == [
        {"name": "age", "datatype": "FP32", "shape": [-1, 1]},
        {"name": "plan", "datatype": "BYTES", "shape": [-1, 1]},
        {"name": "vip", "datatype": "BOOL", "shape": [-1, 1]},
        {"name": "visits", "datatype": "INT64", "shape": [-1, 1]},
    ]


@pytest.mark.parametrize("version", ["", "/versions/1"])
def test_a_model_is_ready(several: Served, version: str) -> None:
    assert told(several, f"/v2/models/words{version}/ready") == {"name": "words", "ready": True}


@pytest.mark.parametrize("version", ["", "/versions/1"])
def test_the_configuration_has_tritons_form(several: Served, version: str) -> None:
    found = told(several, f"/v2/models/numbers{version}/config")

    assert found["input"] == [{"name": "features", "data_type": "TYPE_FP32", "dims": [4]}]
    assert found["output"][2:4] == [
        {"name": "label", "data_type": "TYPE_STRING", "dims": []},
        {"name": "confidence", "data_type": "TYPE_FP64", "dims": []},
    ]
    assert (found["name"], found["platform"], found["backend"]) == ("numbers", "onnxruntime_onnx", "onnxruntime")
    assert found["max_batch_size"] == 64
    assert found["dynamic_batching"] == {"preferred_batch_size": [64], "max_queue_delay_microseconds": 0}


UNKNOWN = (
    ("/v2/models/nobody{}", "Request for unknown model: 'nobody'"),
    ("/v2/models/words/versions/2{}", "Request for unknown model: 'words'"),
    ("/v2/models/<script>{}", "Request for unknown model"),
    ("/v2/models/words/versions/..{}", "Request for unknown model: 'words'"),
)


@pytest.mark.parametrize(("path", "said"), UNKNOWN)
@pytest.mark.parametrize("what", ["", "/ready", "/config", "/stats"])
def test_an_unknown_model_or_version_is_told_so(several: Served, path: str, said: str, what: str) -> None:
    # Quoted, or the client itself would resolve the dots.
    asked = path.format(what).replace("..", "%2e%2e%2e")
    found = told(several, asked, 404)

    assert found["error"].startswith(said)
    assert found.keys() == {"error"}
    assert "<script>" not in found["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v2", 405),
        ("DELETE", "/v2/models/words", 405),
        ("GET", "/v2/repository/index", 405),
        ("POST", "/v2/models/words/ready", 405),
        ("GET", "/v2/nothing", 404),
        ("GET", "/v2/models/words/", 404),
        ("GET", "/v2/models/words/versions", 404),
        ("POST", "/v2/systemsharedmemory/region/a/register", 404),
        ("POST", "/v2/repository/models/words/load", 404),
        ("POST", "/v2/repository/models/words/unload", 404),
    ],
)
def test_a_wrong_verb_or_path_is_told_in_the_protocols_form(
    several: Served, method: str, path: str, status: int
) -> None:
    answer = several.client.request(method, path)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert list(answer.json()) == ["error"]
    assert ("allow" in answer.headers) is (status == 405)


@pytest.mark.parametrize("content_type", [None, "application/octet-stream", "text/plain", "application/json", "a/\xff"])
@pytest.mark.parametrize("content", [b"", b"{}", b' {"ready": true} ', b'{"repository_name": "", "ready": false}'])
def test_the_index_reads_its_body_whatever_its_content_type_says(
    several: Served, content: bytes, content_type: str | None
) -> None:
    headers = [] if content_type is None else [(b"content-type", content_type.encode("latin-1"))]
    answer = several.client.post("/v2/repository/index", content=content, headers=headers)

    assert answer.status_code == 200
    names = ("columns", "numbers", "picky", "stats", "words")
    assert answer.json() == [{"name": name, "version": "1", "state": "READY", "reason": ""} for name in names]


@pytest.mark.parametrize("content", [b"{", b"[]", b"null", b'{"ready": 1}', b'{"ready": "yes"}', b"\xff", b"[" * 5000])
def test_a_malformed_index_is_refused(several: Served, content: bytes) -> None:
    answer = several.client.post("/v2/repository/index", content=content)

    assert (answer.status_code, list(answer.json())) == (400, ["error"])


def test_the_index_is_bounded_as_any_body_is(server: Served) -> None:
    for sent in (b" " * 300_000, iter([b" " * 100_000] * 3)):
        answer = server.client.post("/v2/repository/index", content=sent)

        assert (answer.status_code, list(answer.json())) == (413, ["error"])


def test_a_client_that_leaves_within_its_body_is_counted_as_gone(server: Served) -> None:
    def counted(status: int) -> float:
        return server.metrics()[f'softgate_http_responses_total{{status="{status}"}}']

    before, failed = counted(499), counted(500)
    with connect(server) as client:
        client.sendall(b"POST /v2/repository/index HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{")
    end = time.monotonic() + 10
    while counted(499) == before:
        assert time.monotonic() < end
    assert (counted(499), counted(500)) == (before + 1, failed)


def statistics(server: Served, name: str) -> Any:
    (found,) = told(server, f"/v2/models/{name}/stats")["model_stats"]
    return found


def test_nothing_is_counted_before_the_first_request(several: Served) -> None:
    found = statistics(several, "columns")

    nothing = {"count": 0, "ns": 0}
    parts = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")
    assert found == {
        "name": "columns",
        "version": "1",
        "last_inference": 0,
        "inference_count": 0,
        "execution_count": 0,
        "inference_stats": dict.fromkeys(parts, nothing),
        "batch_stats": [],
    }


def test_rows_and_runs_of_all_workers_are_counted(several: Served) -> None:
    began = time.time() * 1000
    for n_rows in (1, 2, 3) * 4:
        # A connection each, which either worker may take.
        answer = httpx2.post(f"{several.url}/v1/models/numbers/predict", json={"inputs": [[1, 2, 3, 4]] * n_rows})
        assert answer.status_code == 200

    found = statistics(several, "numbers")
    assert (found["inference_count"], found["execution_count"]) == (24, 12)
    assert began - 1 <= found["last_inference"] <= time.time() * 1000 + 1
    counted = found["inference_stats"]
    assert {name: counted[name]["count"] for name in counted} == {
        "success": 12,
        "fail": 0,
        "queue": 12,
        "compute_input": 0,
        "compute_infer": 12,
        "compute_output": 0,
    }
    assert counted["success"]["ns"] > counted["compute_infer"]["ns"] > 0
    assert told(several, "/v2/models/numbers/versions/1/stats")["model_stats"] == [found]


def test_a_request_that_the_graph_fails_on_is_counted_as_failed(several: Served) -> None:
    assert several.predict("picky", inputs=[[7]]).status_code == 500
    assert several.predict("picky", inputs=["seven"]).status_code == 400

    found = statistics(several, "picky")
    assert (found["inference_count"], found["inference_stats"]["success"]["count"]) == (0, 0)
    assert found["inference_stats"]["fail"]["count"] == 1
    assert found["inference_stats"]["fail"]["ns"] > 0


def test_counts_of_all_models_are_told_together(several: Served) -> None:
    found = told(several, "/v2/models/stats")["model_stats"]

    assert [each["name"] for each in found] == ["columns", "numbers", "picky", "stats", "words"]
    assert told(several, "/v2/models/stats/versions/1/stats")["model_stats"][0] in found


def test_answers_are_of_the_published_form(several: Served) -> None:
    document = told(several, "/openapi.json")
    for template, operations in document["paths"].items():
        if not template.startswith("/v2") or "get" not in operations:
            continue
        found = told(several, template.replace("{model}", "words").replace("{version}", "1"))
        form = operations["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.validate(found, {**form, "components": document["components"]})


def test_while_a_model_loads_the_server_lives_and_is_not_ready(tmp_path: Path) -> None:
    write_text_model(tmp_path / "a", name="quick")
    write_model(tmp_path / "b", slow(seconds=0.5), name="slow")
    paths = ("/v2/health/live", "/v2/health/ready", "/v2/models/slow/ready", "/v2/models/slow", "/v2/models/slow/stats")
    with (
        started(command("serve", tmp_path, "--port", 0)) as server,
        httpx2.Client(base_url=server.read_until("listening")["url"]) as client,
    ):
        live, ready, model, metadata, counts = (client.get(path) for path in paths)
        index, chosen = (client.post("/v2/repository/index", json=asked) for asked in ({}, {"ready": True}))
        server.read_until("ready")
        late = client.get("/v2/models/slow/ready")

    assert (live.status_code, live.json()) == (200, {"live": True, "ready": False})
    assert (ready.status_code, ready.json()) == (503, {"live": True, "ready": False})
    assert (model.status_code, model.json()) == (503, {"name": "slow", "ready": False})
    assert (metadata.status_code, list(metadata.json())) == (503, ["error"])
    assert counts.json()["model_stats"][0]["inference_count"] == 0
    assert {each["name"]: each["state"] for each in index.json()}["slow"] == "LOADING"
    assert "slow" not in [each["name"] for each in chosen.json()]
    assert late.json() == {"name": "slow", "ready": True}
