"""The service as clients see it: the same answers as over HTTP, counted and logged once."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import pytest

from rpc import SERVICE, Spoken, asking, outputs, refused, spoken, tensors, texts, typed
from softgate.web.grpc.inference import encode
from softgate.web.grpc.messages import MESSAGES
from softgate.web.protocols.open_inference.outputs import Told
from softgate.web.protocols.open_inference.tensors import Tensor
from web.conftest import write_models

ROW = [[1.0, 2.0, 3.0, 4.0]]


def test_health(running: Spoken) -> None:
    assert running.call("ServerLive").live
    assert running.call("ServerReady").ready
    assert running.call("ModelReady", name="words", version="1").ready


def test_metadata_are_those_that_http_tells(running: Spoken) -> None:
    client = running.server.client
    server, model = running.call("ServerMetadata"), running.call("ModelMetadata", name="words")
    index = running.call("RepositoryIndex", ready=True)

    told = client.get("/v2").json()
    # The calls of these two are not there.
    left_out = {"model_configuration", "statistics"}
    assert fields(server) == told | {"extensions": [each for each in told["extensions"] if each not in left_out]}
    assert fields(model) == client.get("/v2/models/words").json()
    assert [fields(each) for each in index.models] == client.post("/v2/repository/index").json()


def fields(message: Any) -> dict[str, Any]:
    found = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if hasattr(value, "items"):
            value = dict(value)
        elif field.is_repeated:
            value = [fields(each) if hasattr(each, "DESCRIPTOR") else each for each in value]
        found[field.name] = value
    return found


@pytest.mark.parametrize("verb", ["Load", "Unload"])
def test_models_are_not_loaded_where_there_is_no_admin(running: Spoken, verb: str) -> None:
    with refused() as refusal:
        running.call(f"RepositoryModel{verb}", model_name="words")

    assert (refusal.status, refusal.code) == (grpc.StatusCode.UNIMPLEMENTED, "unsupported_extension")


def test_an_answer_is_raw_where_a_message_has_no_other_form_for_it() -> None:
    model: Any = SimpleNamespace(name="half", version="1")
    logits, label = np.ones((1, 2), np.float16), np.array(["rain"], dtype=object)
    told = Told([Tensor("logits", "FP16", logits), Tensor("label", "BYTES", label)], {})

    answer = MESSAGES["ModelInferResponse"].FromString(encode(model, "", False, told).body)

    assert list(answer.raw_output_contents) == [logits.tobytes(), b"\4\0\0\0rain"]
    assert not any(output.HasField("contents") for output in answer.outputs)


def test_a_raw_request_is_answered_raw_and_a_typed_one_typed(running: Spoken) -> None:
    raw = running.send("ModelInfer", asking("identity", np.array(ROW), id="abc"))
    same = running.send("ModelInfer", typed("identity", "FP32", [1, 4], fp32_contents=ROW[0]))

    assert len(raw.raw_output_contents) == len(raw.outputs) == 6
    assert not any(output.HasField("contents") for output in raw.outputs)
    assert (raw.model_name, raw.model_version, raw.id) == ("identity", "1", "abc")
    assert not same.raw_output_contents
    found, told = tensors(raw), tensors(same)
    assert all(np.array_equal(found[name], told[name]) for name in found)
    assert found["logits"].tolist() == ROW
    assert found["label"].tolist() == [b"joke"]


def test_answers_are_bit_identical_to_those_over_http_and_counted_once(running: Spoken) -> None:
    rows = np.random.default_rng(0).normal(size=(7, 8)).astype(np.float32)
    before = running.server.metrics()
    native = running.server.predict("wide", inputs=rows.tolist(), logits=True).json()["predictions"]
    body = {"inputs": [{"name": "features", "shape": [7, 8], "datatype": "FP32", "data": rows.ravel().tolist()}]}
    rest = running.server.client.post("/v2/models/wide/infer", json=body).json()
    found = tensors(running.send("ModelInfer", asking("wide", rows)))
    after = running.server.metrics()

    assert found["logits"].tolist() == [each["logits"] for each in native]
    assert found["confidence"].tolist() == [each["confidence"] for each in native]
    assert [json.loads(each) for each in found["decision"]] == [each["decision"] for each in native]
    for output in rest["outputs"]:
        values = found[output["name"]].ravel()
        told = [each.encode() if isinstance(each, str) else each for each in output["data"]]
        assert np.array_equal(values, np.array(told, dtype=values.dtype))
    decided = [name for name in after if name.startswith("softgate_decisions_total") and 'model="wide"' in name]
    assert sum(after[name] - before[name] for name in decided) == 3 * 7
    answers = 'softgate_http_responses_total{status="200"}'
    # The first scrape is an answer too.
    assert after[answers] - before[answers] == 3 + 1


def test_texts(running: Spoken) -> None:
    name = json.loads(running.server.client.get("/v1/models/words").text)["name"]
    found = tensors(running.send("ModelInfer", texts(name, "rain rain", "laugh")))

    assert found["label"].tolist() == [b"weather", b"joke"]


def test_outputs_are_those_asked_for_in_their_order(running: Spoken) -> None:
    request = asking("identity", np.array(ROW), outputs=outputs("label", "logits"))

    assert [output.name for output in running.send("ModelInfer", request).outputs] == ["label", "logits"]


def test_classes_are_told_with_calibrated_probabilities(running: Spoken) -> None:
    request = asking("identity", np.array(ROW), outputs=outputs("probabilities", classification=2))

    (output,) = (answer := running.send("ModelInfer", request)).outputs
    assert (output.datatype, list(output.shape)) == ("BYTES", [1, 2])
    assert tensors(answer)["probabilities"].tolist() == [[b"0.643914:3:joke", b"0.236883:2:weather"]]


def test_parameters_change_what_is_shown(running: Spoken) -> None:
    said = {
        "top_k": MESSAGES["InferParameter"](int64_param=1),
        "temperature": MESSAGES["InferParameter"](double_param=2.0),
        "of another server": MESSAGES["InferParameter"](string_param="x"),
        "of none": MESSAGES["InferParameter"](),
    }
    found = tensors(running.send("ModelInfer", asking("identity", np.array(ROW), parameters=said)))

    expected = np.exp(np.array(ROW[0]) / 2)
    assert found["probabilities"][0].tolist() == pytest.approx([0, 0, 0, expected[3] / expected.sum()])


def test_a_compressed_message_is_understood(running: Spoken) -> None:
    call = running.channel.unary_unary(f"{SERVICE}/ModelInfer")
    content = asking("identity", np.array(ROW * 50)).SerializeToString()
    answers = [
        call(content, timeout=30, compression=compression)
        for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate)
    ]

    assert len(set(answers)) == 1


@pytest.mark.parametrize(("sent", "kept"), [("abc-1", True), ("not harmless", False), ("x" * 65, False)])
def test_a_request_id_comes_back_where_it_is_harmless(running: Spoken, sent: str, kept: bool) -> None:
    call = running.channel.unary_unary(f"{SERVICE}/ServerLive")
    _, answered = call.with_call(b"", timeout=30, metadata=[("x-request-id", sent)])
    with refused() as refusal:
        running.call("ModelReady", name="nobody", metadata=[("x-request-id", sent)])

    for found in (dict(answered.trailing_metadata())["x-request-id"], refusal.trailing["x-request-id"]):
        assert (found == sent) is kept


def test_errors_are_counted_by_their_code_and_the_status_of_http(running: Spoken) -> None:
    before = running.server.metrics()
    with refused():
        running.call("ModelReady", name="nobody")
    after = running.server.metrics()

    for name in ('softgate_errors_total{code="unknown_model"}', 'softgate_http_responses_total{status="404"}'):
        assert after[name] == before[name] + 1


def test_the_log_tells_of_a_refused_call_as_of_a_refused_request(tmp_path: Path) -> None:
    folder = write_models(tmp_path)
    with spoken(folder) as found:
        with refused():
            found.call("ModelReady", name="nobody", metadata=[("x-request-id", "abc")])
        record = found.server.started.read_until("request")

    assert record["path"] == f"{SERVICE}/ModelReady"
    assert (record["method"], record["status"], record["client"], record["request_id"]) == (
        "POST",
        404,
        "127.0.0.1",
        "abc",
    )
