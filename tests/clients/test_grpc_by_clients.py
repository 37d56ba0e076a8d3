"""Real clients of the Open Inference Protocol over gRPC, unmodified."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from clients.running import told
from graphs import linear, write_model, write_text_model
from rpc import Spoken, spoken
from web.test_reload import ADMIN, EYE

OUTPUTS = ["logits", "probabilities", "label", "confidence", "decision", "prediction_set"]
EXPECTED = np.exp(np.arange(1, 5)) / np.exp(np.arange(1, 5)).sum()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spoken]:
    folder = tmp_path_factory.mktemp("models")
    for name in ("toy", "other"):
        write_model(folder / name, linear(EYE), name=name, routing="threshold = 0.6")
    write_text_model(folder / "words", name="words")
    with spoken(folder, workers=2, variables=ADMIN) as found:
        yield found


@pytest.fixture(scope="module", params=["blocking", "asyncio"])
def triton(request: pytest.FixtureRequest, running: Spoken) -> Any:
    return told("tritonclient_grpc", "tritonclient_grpc_calls.py", request.param, f"127.0.0.1:{running.port}")


def test_tritons_grpc_client_infers(triton: Any) -> None:
    found = triton["inference"]

    assert list(found["everything"]) == OUTPUTS
    assert found["everything"]["logits"] == [[1, 2, 3, 4]]
    assert found["everything"]["probabilities"][0] == pytest.approx(EXPECTED.tolist())
    assert found["answer"] == {"model_name": "toy", "model_version": "1", "id": "abc"}
    assert found["texts"] == {"label": ["weather", "joke"]}
    assert found["classes"] == {"probabilities": [[f"{EXPECTED[3]:f}:3:joke", f"{EXPECTED[2]:f}:2:weather"]]}
    for compressed in found["compressed"]:
        assert compressed["logits"] == [[1, 2, 3, 4]] * 50
    assert found["parameters"]["probabilities"][0] == pytest.approx([0, 0, 0, EXPECTED[3]])


def test_tritons_grpc_client_is_told_what_is_wrong(triton: Any) -> None:
    found = triton["inference"]

    assert found["shape"]["status"] == "StatusCode.INVALID_ARGUMENT"
    assert found["nobody"]["status"] == "StatusCode.NOT_FOUND"
    assert found["nobody"]["said"].startswith("Request for unknown model: 'wrong_model_name' is not served.")
    assert found["region"]["status"] == "StatusCode.UNIMPLEMENTED"


def test_tritons_grpc_client_reads_and_controls_models(running: Spoken, triton: Any) -> None:
    found = triton["control"]
    http = running.server.client

    assert [found[name] for name in ("live", "ready", "toy", "without", "again")] == [True] * 5
    told = http.get("/v2").json()
    # What HTTP alone has.
    for extension in ("model_configuration", "statistics"):
        told["extensions"].remove(extension)
    assert found["server"] == told
    of_http = http.get("/v2/models/toy").json()
    assert [each["name"] for each in found["model"]["outputs"]] == [each["name"] for each in of_http["outputs"]]
    assert [each["name"] for each in found["index"]["models"]] == ["other", "toy", "words"]
    states = {each["name"]: each["state"] for each in found["index_without"]["models"]}
    assert states == {"other": "UNAVAILABLE", "toy": "READY", "words": "READY"}
    statuses = {name: found[name]["status"] for name in ("configuration", "override", "wrong")}
    assert statuses == {
        "configuration": "StatusCode.UNIMPLEMENTED",
        "override": "StatusCode.UNIMPLEMENTED",
        "wrong": "StatusCode.NOT_FOUND",
    }


def test_kserves_grpc_client_infers(running: Spoken) -> None:
    found = told("kserve", "kserve_grpc_calls.py", f"127.0.0.1:{running.port}")

    assert (found["live"], found["ready"], found["toy"]) == (True, True, True)
    assert found["raw"] == found["typed"]
    assert found["raw"]["logits"] == [[1, 2, 3, 4]]
    assert (found["raw"]["label"], found["raw"]["id"], found["raw"]["model"]) == (["joke"], "abc", "toy")
    assert found["refused"] == {
        "status": "INVALID_ARGUMENT",
        "said": "In inputs[0]: Expected the shape [-1, 4] for features; got [1, 3].",
    }


def test_open_inference_grpc_has_stubs_that_fit(running: Spoken) -> None:
    found = told("open_inference", "open_inference_grpc_calls.py", f"127.0.0.1:{running.port}")

    assert (found["live"], found["ready"], found["toy"], found["server"]) == (True, True, True, "softgate")
    assert found["inputs"] == [["features", "FP32", [-1, 4]]]
    assert found["properties"] == ["activation", "calibration", "labels", "sha256"]
    assert (found["id"], found["label"]) == ("abc", ["joke"])
