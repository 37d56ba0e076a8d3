"""What the service refuses, and how: each mistake as the client's own, and nothing of the request in what is said."""

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

from memory import peak_mib
from processes import until
from rpc import SERVICE, Spoken, asking, connected, outputs, refused, spoken, texts, typed
from softgate.errors import NotReady, Overloaded
from softgate.web import errors
from softgate.web.grpc.messages import MESSAGES
from softgate.web.grpc.service import status_of
from web.conftest import write_models
from web.grpc.conftest import MAX_BODY_BYTES, MAX_HEADER_BYTES

Status = grpc.StatusCode
ROW = [[1.0, 2.0, 3.0, 4.0]]


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


def test_metadata_above_the_limits(running: Spoken) -> None:
    for metadata in ([("x", "y" * MAX_HEADER_BYTES)], [("x", "y")] * 101):
        with refused() as refusal:
            running.call("ServerLive", metadata=metadata)

        assert refusal.status == Status.RESOURCE_EXHAUSTED


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


@pytest.mark.parametrize("overload_status", [429, 503])
def test_an_overload_is_never_unavailable_of_which_clients_try_again_at_once(overload_status: int) -> None:
    problem = errors.problem(Overloaded("The queue is full."), overload_status=overload_status)

    assert status_of(problem) == Status.RESOURCE_EXHAUSTED
    assert status_of(errors.problem(NotReady("Not yet."))) == Status.UNAVAILABLE
