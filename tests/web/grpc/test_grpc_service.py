"""The service as clients see it: the same answers as over HTTP, the same refusals, counted once."""

import json
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from graphs import flat, linear, write_model
from memory import peak_mib
from processes import until
from rpc import SERVICE, Spoken, asking, connected, refused, spoken, tensors, texts
from softgate.web.grpc.messages import MESSAGES
from web.conftest import write_models

Status = grpc.StatusCode
ROW = [[1.0, 2.0, 3.0, 4.0]]
MAX_BODY_BYTES, MAX_ROWS, MAX_HEADER_BYTES = 200_000, 100, 4096


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spoken]:
    folder = write_models(tmp_path_factory.mktemp("models"))
    write_model(folder / "wide", linear(np.eye(8, 4, dtype=np.float32) * 3), name="wide", routing="threshold = 0.3")
    write_model(folder / "small", flat(np.int8, "batch", 4, gives=4), name="small")
    variables = {
        "SOFTGATE_MAX_BODY_BYTES": str(MAX_BODY_BYTES),
        "SOFTGATE_MAX_ROWS": str(MAX_ROWS),
        "SOFTGATE_MAX_HEADER_BYTES": str(MAX_HEADER_BYTES),
        "SOFTGATE_BODY_SECONDS": "1",
    }
    with spoken(folder, variables=variables) as found:
        yield found


def typed(model: str, datatype: str, shape: list[int], *, name: str = "features", **contents: Any) -> Any:
    tensor = MESSAGES["InferInputTensor"](
        name=name, datatype=datatype, shape=shape, contents=MESSAGES["InferTensorContents"](**contents)
    )
    return MESSAGES["ModelInferRequest"](model_name=model, inputs=[tensor])


def outputs(*names: str, **parameters: int) -> list[Any]:
    said = {name: MESSAGES["InferParameter"](int64_param=value) for name, value in parameters.items()}
    return [MESSAGES["InferRequestedOutputTensor"](name=name, parameters=said) for name in names]


def test_health(running: Spoken) -> None:
    assert running.call("ServerLive").live
    assert running.call("ServerReady").ready
    assert running.call("ModelReady", name="words", version="1").ready


def test_metadata_are_those_that_http_tells(running: Spoken) -> None:
    client = running.server.client
    server, model = running.call("ServerMetadata"), running.call("ModelMetadata", name="words")
    index = running.call("RepositoryIndex", ready=True)

    assert fields(server) == client.get("/v2").json()
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

    assert (refusal.status, refusal.code) == (Status.UNIMPLEMENTED, "unsupported_extension")


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


@pytest.mark.parametrize(
    ("request_", "detail"),
    [
        (b"\xff\xff\xff", "Expected a ModelInferRequest; the message is none."),
        (typed("identity", "FP32", [1, 4], fp32_contents=[1, 2, 3]), "Expected 4 elements, as its shape says; got 3."),
        (
            typed("identity", "FP32", [1, 4], fp64_contents=[1, 2, 3, 4]),
            "Expected the elements of FP32 in fp32_contents",
        ),
        (typed("identity", "FP64", [1, 4], fp64_contents=[1, 2, 3, 4]), "Expected the datatype FP32 for features; got"),
        (typed("identity", "secret", [1, 4]), "Expected the datatype FP32 for features; got something else."),
        (typed("identity", "FP32", [-1, 4]), "Expected a shape without negative sizes."),
        (typed("identity", "FP32", [2**62, 4]), "Expected at most 100 rows"),
        (typed("identity", "FP32", [0, 4]), "Expected at least 1 row; got none."),
        (typed("identity", "FP32", []), "Expected the shape [-1, 4] for features; got 0 axes."),
        (typed("identity", "FP32", [1, 4], name="secret", fp32_contents=ROW[0]), "Expected one tensor for each"),
        (typed("identity", "FP32", [1, 4], fp32_contents=[1, 2, 3, float("nan")]), "features[0, 3] does not."),
        (typed("small", "INT8", [1, 4], int_contents=[1, 2, 300, 4]), "element 2 of inputs[0] does not."),
        (typed("small", "INT8", [1, 4], int_contents=[1, -129, 3, 4]), "element 1 of inputs[0] does not."),
        (MESSAGES["ModelInferRequest"](model_name="identity"), "got 0 tensors."),
        (asking("identity", np.array(ROW), id="x" * 129), "Expected an id of at most 128 characters; got 129."),
        (asking("identity", np.array(ROW), outputs=outputs("secret")), "In outputs[0]: Expected one of logits"),
        (asking("identity", np.array(ROW), outputs=outputs("label", "label")), "Expected each output once"),
        (asking("identity", np.array(ROW), outputs=outputs("label", classification=2)), "unsupported type 'BYTES'"),
        (
            asking("identity", np.array(ROW), parameters={"top_k": MESSAGES["InferParameter"](string_param="secret")}),
            "In the parameters: Expected `int | null`, got `str` - at `$.top_k`.",
        ),
    ],
)
def test_a_mistake_is_told_and_nothing_of_the_request_with_it(running: Spoken, request_: Any, detail: str) -> None:
    with refused() as refusal:
        running.send("ModelInfer", request_)

    too_many = "at most 100 rows" in detail
    assert refusal.status == (Status.RESOURCE_EXHAUSTED if too_many else Status.INVALID_ARGUMENT)
    assert detail in refusal.detail
    assert "secret" not in refusal.detail


@pytest.mark.parametrize("content", [b"", b"\0" * 15, b"\0" * 17, b"\0" * 4096])
def test_raw_contents_of_another_length(running: Spoken, content: bytes) -> None:
    request = asking("identity", np.array(ROW))
    request.raw_input_contents[0] = content
    with refused() as refusal:
        running.send("ModelInfer", request)

    assert (refusal.status, refusal.code) == (Status.INVALID_ARGUMENT, "shape_mismatch")
    assert f"Expected 16 bytes; got {len(content)}." in refusal.detail


def test_raw_contents_are_for_all_inputs_or_for_none(running: Spoken) -> None:
    both = typed("identity", "FP32", [1, 4], fp32_contents=ROW[0])
    both.raw_input_contents.append(b"\0" * 16)
    more = asking("identity", np.array(ROW))
    more.raw_input_contents.append(b"")
    for request, detail in ((both, "no contents beside raw ones"), (more, "each of the 1 inputs or for none; got 2")):
        with refused() as refusal:
            running.send("ModelInfer", request)

        assert refusal.status == Status.INVALID_ARGUMENT
        assert detail in refusal.detail


@pytest.mark.parametrize("length", [5, 2**31, 2**32 - 1])
def test_a_text_longer_than_its_tensor(running: Spoken, length: int) -> None:
    request = texts("words", "rain")
    request.inputs[0].ClearField("contents")
    request.raw_input_contents.append(struct.pack("<I", length) + b"rain")
    with refused() as refusal:
        running.send("ModelInfer", request)

    assert (refusal.status, refusal.code) == (Status.INVALID_ARGUMENT, "malformed_body")


def test_there_is_no_shared_memory(running: Spoken) -> None:
    of_input, of_output = asking("identity", np.array(ROW)), asking("identity", np.array(ROW), outputs=outputs("label"))
    of_input.inputs[0].parameters["shared_memory_region"].string_param = "r"
    of_output.outputs[0].parameters["shared_memory_region"].string_param = "r"
    for request in (of_input, of_output):
        with refused() as refusal:
            running.send("ModelInfer", request)

        assert (refusal.status, refusal.code) == (Status.UNIMPLEMENTED, "unsupported_extension")


@pytest.mark.parametrize("version", ["", "9"])
def test_a_model_that_is_not_served(running: Spoken, version: str) -> None:
    name = "words" if version else "nobody"
    messages = {
        "ModelReady": MESSAGES["ModelReadyRequest"](name=name, version=version),
        "ModelMetadata": MESSAGES["ModelMetadataRequest"](name=name, version=version),
        "ModelInfer": MESSAGES["ModelInferRequest"](model_name=name, model_version=version),
    }
    for method, message in messages.items():
        with refused() as refusal:
            running.send(method, message)

        assert refusal.status == Status.NOT_FOUND
        assert refusal.detail.startswith(f"Request for unknown model: '{name}' ")


@pytest.mark.parametrize("path", [f"{SERVICE}/ModelStreamInfer", f"{SERVICE}/Secret", "/other.Service/Method", "/"])
def test_a_method_that_is_not_there(running: Spoken, path: str) -> None:
    for call in (running.channel.unary_unary(path), running.channel.stream_stream(path)):
        with refused() as refusal:
            asked = b"" if isinstance(call, grpc.UnaryUnaryMultiCallable) else iter(())
            answer = call(asked, timeout=30)
            list(answer)

        assert (refusal.status, refusal.code) == (Status.UNIMPLEMENTED, "unsupported_extension")
        assert "Secret" not in refusal.detail


def test_a_message_above_the_limit_is_refused_whether_compressed_or_not(running: Spoken) -> None:
    call, before = running.channel.unary_unary(f"{SERVICE}/ModelInfer"), running.server.metrics()
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate):
        with refused() as refusal:
            call(b"\0" * (MAX_BODY_BYTES + 1), timeout=30, compression=compression)

        assert refusal.status == Status.RESOURCE_EXHAUSTED
    # It is the library that refuses it: the service only sees that it is not to answer.
    gone = 'softgate_http_responses_total{status="499"}'
    until(lambda: running.server.metrics()[gone] == before[gone] + 3, seconds=10)
    assert running.call("ServerLive").live


def test_a_small_message_that_inflates_takes_no_memory(tmp_path: Path) -> None:
    with spoken(write_models(tmp_path)) as found:
        call = found.channel.unary_unary(f"{SERVICE}/ModelInfer")
        before = peak_mib(found.server.process.pid)
        for _ in range(4):
            with refused() as refusal:
                call(b"\0" * (200 * 2**20), timeout=30, compression=grpc.Compression.Gzip)
            assert refusal.status == Status.RESOURCE_EXHAUSTED

        assert peak_mib(found.server.process.pid) - before < 50


def test_a_compressed_message_is_understood(running: Spoken) -> None:
    call = running.channel.unary_unary(f"{SERVICE}/ModelInfer")
    content = asking("identity", np.array(ROW * 50)).SerializeToString()
    answers = [
        call(content, timeout=30, compression=compression)
        for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate)
    ]

    assert len(set(answers)) == 1


def test_metadata_above_the_limits(running: Spoken) -> None:
    for metadata in ([("x", "y" * MAX_HEADER_BYTES)], [("x", "y")] * 101):
        with refused() as refusal:
            running.call("ServerLive", metadata=metadata)

        assert refusal.status == Status.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(("sent", "kept"), [("abc-1", True), ("not harmless", False), ("x" * 65, False)])
def test_a_request_id_comes_back_where_it_is_harmless(running: Spoken, sent: str, kept: bool) -> None:
    call = running.channel.unary_unary(f"{SERVICE}/ServerLive")
    _, answered = call.with_call(b"", timeout=30, metadata=[("x-request-id", sent)])
    with refused() as refusal:
        running.call("ModelReady", name="nobody", metadata=[("x-request-id", sent)])

    for found in (dict(answered.trailing_metadata())["x-request-id"], refusal.trailing["x-request-id"]):
        assert (found == sent) is kept


def test_a_message_that_never_ends_has_a_deadline(running: Spoken) -> None:
    def nothing() -> Iterator[bytes]:
        held = threading.Event()
        held.wait(20)
        yield b""

    with refused() as refusal:
        running.channel.stream_unary(f"{SERVICE}/ModelInfer")(nothing(), timeout=15)

    assert (refusal.status, refusal.code) == (Status.DEADLINE_EXCEEDED, "request_timeout")


def test_no_message_at_all(running: Spoken) -> None:
    with refused() as refusal:
        running.channel.stream_unary(f"{SERVICE}/ModelInfer")(iter(()), timeout=15)

    assert (refusal.status, refusal.code) == (Status.INVALID_ARGUMENT, "malformed_body")


def test_errors_are_counted_by_their_code_and_the_status_of_http(running: Spoken) -> None:
    before = running.server.metrics()
    with refused():
        running.call("ModelReady", name="nobody")
    after = running.server.metrics()

    for name in ('softgate_errors_total{code="unknown_model"}', 'softgate_http_responses_total{status="404"}'):
        assert after[name] == before[name] + 1


WHOLE = asking("identity", np.array(ROW)).SerializeToString()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=200),
        st.tuples(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=6)).map(
            lambda cut: WHOLE[: cut[0]] + cut[1] + WHOLE[cut[0] + 1 :]
        ),
        st.integers(0, len(WHOLE)).map(lambda end: WHOLE[:end]),
    )
)
@example(b"\x2a" + b"\xff" * 8)
@example(b"\x0b" * 150)
def test_any_bytes_are_answered_or_refused_as_the_clients_mistake(running: Spoken, content: bytes) -> None:
    try:
        running.send("ModelInfer", content)
    except grpc.RpcError as exc:
        assert exc.code() in {Status.INVALID_ARGUMENT, Status.NOT_FOUND, Status.RESOURCE_EXHAUSTED}  # noqa: PT017
    assert running.call("ServerLive").live


def test_bytes_that_are_no_http2_harm_nobody(running: Spoken) -> None:
    for content in (
        b"GET / HTTP/1.1\r\nhost: here\r\n\r\n",
        b"\0" * 100,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 99,
    ):
        with socket.create_connection(("127.0.0.1", running.port), timeout=30) as client:
            client.sendall(content)
            while client.recv(4096):
                pass

    with connected(running.port) as channel:
        assert MESSAGES["ServerLiveResponse"].FromString(channel.unary_unary(f"{SERVICE}/ServerLive")(b"", timeout=30))


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
