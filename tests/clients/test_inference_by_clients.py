"""Real clients of the Open Inference Protocol, unmodified: inference."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax

from clients.running import told
from graphs import added, looked_up, write_model
from servers import Served, served

SUMS = np.arange(16) + 1
DIGITS = [f"sum {number}" for number in range(16)]
OUTPUTS = ["logits", "probabilities", "label", "confidence", "decision", "prediction_set"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "added", added(16), name="added", labels=DIGITS)
    write_model(folder / "texts", looked_up("batch", 1), name="texts", kind="text")
    with served(folder) as running:
        yield running


@pytest.fixture(scope="module", params=["gevent", "aiohttp"])
def triton(request: pytest.FixtureRequest, server: Served) -> Any:
    return told("tritonclient_http", "tritonclient_infer.py", request.param, server.url.removeprefix("http://"))


@pytest.mark.parametrize("way", ["binary", "json"])
def test_tritons_client_gets_sums_labels_and_decisions(triton: Any, way: str) -> None:
    found = triton[way]

    assert found["logits"] == [SUMS.tolist()]
    assert found["label"] == ["sum 15"]
    (decision,) = map(json.loads, found["decision"])
    assert (decision["action"], decision["target"]) == ("fallback", "human")
    assert found["answer"] == {"model_name": "added", "model_version": "1", "id": "abc"}
    assert triton[f"{way}_texts"]["label"] == ["weather", "joke"]


@pytest.mark.parametrize("way", ["binary", "json"])
def test_tritons_client_gets_the_best_classes(triton: Any, way: str) -> None:
    p = softmax(SUMS.astype(float))
    found = triton[f"{way}_classes"]

    assert found["probabilities"] == [[f"{p[n]:f}:{n}:sum {n}" for n in (15, 14, 13)]]
    assert found["logits"] == [[f"{SUMS[n]:f}:{n}:sum {n}" for n in (15, 14, 13)]]


def test_tritons_client_gets_everything_where_it_names_nothing(triton: Any) -> None:
    assert list(triton["everything"]) == [*OUTPUTS, "answer"]
    (row,) = triton["everything"]["probabilities"]
    assert row == pytest.approx(softmax(SUMS.astype(float)).tolist(), rel=1e-12)
    (cut,) = triton["parameters"]["probabilities"]
    assert cut == [0] * 15 + row[15:]


def test_tritons_client_may_compress_both_ways(triton: Any) -> None:
    for algorithm in ("gzip", "deflate"):
        assert triton[algorithm]["logits"] == [SUMS.tolist()] * 20
        assert triton[algorithm]["label"] == ["sum 15"] * 20


def test_tritons_client_may_have_several_under_way(triton: Any) -> None:
    *sums, text = triton["several"]

    assert [each["logits"] for each in sums] == [[(np.arange(16) + n).tolist()] for n in range(8)]
    assert text["label"] == ["balance"]


def test_tritons_client_is_told_what_is_wrong(triton: Any) -> None:
    assert triton["nobody"]["status"] == triton["version"]["status"] == "404"
    assert triton["nobody"]["said"].startswith("Request for unknown model: 'wrong_model_name' is not served.")
    assert triton["version"]["said"].startswith("Request for unknown model: 'added' is not served.")
    assert triton["shape"] == {
        "status": "400",
        "said": "Expected one tensor for each of the inputs INPUT0, INPUT1; got 1 tensors.",
    }
    assert "class result not available for output due to unsupported type 'BYTES'" in triton["classes_of_text"]["said"]


def test_the_strict_forms_of_open_inference_take_every_answer(server: Served) -> None:
    found = told("open_inference", "open_inference_infer.py", server.url)
    one = found["synchronous"]

    assert one["texts"] == one["version"] == found["asynchronous"]["texts"]
    assert (one["texts"]["model_name"], one["texts"]["id"]) == ("texts", "abc")
    assert [output["name"] for output in one["texts"]["outputs"]] == OUTPUTS
    (label,) = one["subset"]["outputs"]
    assert label["data"] == ["weather", "joke"]
    assert one["added"]["outputs"][0]["data"] == SUMS.tolist()
    assert one["nobody"]["error"].startswith("Request for unknown model: 'nobody'")
    assert one["name"]["error"] == "Expected one tensor for each of the inputs texts; got 1 tensors."


def test_kserves_client_gets_the_same_in_both_forms(server: Served) -> None:
    found = told("kserve", "kserve_infer.py", server.url)

    assert found["binary"] == found["json"]
    assert found["json"]["logits"] == [SUMS.tolist()]
    assert found["json"]["label"] == ["sum 15"]
    assert (found["json"]["id"], found["json"]["model"]) == ("abc", "added")
    assert found["one"]["label"] == ["sum 15"]
    assert found["refused"]["status"] == 400
    assert "In inputs[0]: Expected the shape [-1, 16] for INPUT0; got [1, 3]." in found["refused"]["said"]
