"""The messages, byte by byte. A tag: 8 times a field's number, plus 0 for an integer, 1 for 8 bytes, 2 for a length."""

import struct
from typing import Any

import pytest
from google.protobuf import descriptor_pool

from softgate.web.grpc.messages import MESSAGES

WIRE: list[tuple[str, dict[str, Any], bytes]] = [
    ("ServerLiveRequest", {}, b""),
    ("ServerLiveResponse", {"live": True}, b"\x08\x01"),
    ("ServerReadyResponse", {"ready": True}, b"\x08\x01"),
    ("ModelReadyRequest", {"name": "m", "version": "1"}, b"\x0a\x01m\x12\x011"),
    ("ModelReadyResponse", {"ready": True}, b"\x08\x01"),
    (
        "ServerMetadataResponse",
        {"name": "n", "version": "v", "extensions": ["a", "b"]},
        b"\x0a\x01n\x12\x01v\x1a\x01a\x1a\x01b",
    ),
    ("ModelMetadataRequest", {"name": "m", "version": "1"}, b"\x0a\x01m\x12\x011"),
    (
        "ModelMetadataResponse",
        {"name": "m", "versions": ["1"], "platform": "p", "properties": {"k": "v"}},
        b"\x0a\x01m\x12\x011\x1a\x01p\x32\x06\x0a\x01k\x12\x01v",
    ),
    # -1 takes ten bytes.
    (
        "ModelMetadataResponse",
        {"inputs": [MESSAGES["TensorMetadata"](name="i", datatype="FP32", shape=[-1, 4])]},
        b"\x22\x16\x0a\x01i\x12\x04FP32\x1a\x0b" + b"\xff" * 9 + b"\x01\x04",
    ),
    ("ModelMetadataResponse", {"outputs": [MESSAGES["TensorMetadata"](name="o")]}, b"\x2a\x03\x0a\x01o"),
    ("InferParameter", {"bool_param": False}, b"\x08\x00"),
    ("InferParameter", {"int64_param": 5}, b"\x10\x05"),
    ("InferParameter", {"string_param": "s"}, b"\x1a\x01s"),
    ("InferParameter", {"double_param": 0.5}, b"\x21" + struct.pack("<d", 0.5)),
    ("InferParameter", {"uint64_param": 5}, b"\x28\x05"),
    ("InferTensorContents", {"bool_contents": [True, False]}, b"\x0a\x02\x01\x00"),
    ("InferTensorContents", {"int_contents": [1, 2]}, b"\x12\x02\x01\x02"),
    ("InferTensorContents", {"int64_contents": [3]}, b"\x1a\x01\x03"),
    ("InferTensorContents", {"uint_contents": [4]}, b"\x22\x01\x04"),
    ("InferTensorContents", {"uint64_contents": [5]}, b"\x2a\x01\x05"),
    ("InferTensorContents", {"fp32_contents": [0.5]}, b"\x32\x04" + struct.pack("<f", 0.5)),
    ("InferTensorContents", {"fp64_contents": [0.5]}, b"\x3a\x08" + struct.pack("<d", 0.5)),
    ("InferTensorContents", {"bytes_contents": [b"a", b""]}, b"\x42\x01a\x42\x00"),
    (
        "InferInputTensor",
        {
            "name": "i",
            "datatype": "BOOL",
            "shape": [1],
            "parameters": {"k": MESSAGES["InferParameter"](int64_param=5)},
            "contents": MESSAGES["InferTensorContents"](bool_contents=[True]),
        },
        b"\x0a\x01i\x12\x04BOOL\x1a\x01\x01\x22\x07\x0a\x01k\x12\x02\x10\x05\x2a\x03\x0a\x01\x01",
    ),
    ("InferRequestedOutputTensor", {"name": "o"}, b"\x0a\x01o"),
    (
        "ModelInferRequest",
        {
            "model_name": "m",
            "model_version": "1",
            "id": "x",
            "parameters": {"k": MESSAGES["InferParameter"](bool_param=True)},
            "inputs": [MESSAGES["InferInputTensor"](name="i")],
            "outputs": [MESSAGES["InferRequestedOutputTensor"](name="o")],
            "raw_input_contents": [b"r"],
        },
        b"\x0a\x01m\x12\x011\x1a\x01x\x22\x07\x0a\x01k\x12\x02\x08\x01\x2a\x03\x0a\x01i\x32\x03\x0a\x01o\x3a\x01r",
    ),
    (
        "ModelInferResponse",
        {
            "model_name": "m",
            "model_version": "1",
            "id": "x",
            "parameters": {"k": MESSAGES["InferParameter"](string_param="v")},
            "outputs": [MESSAGES["InferOutputTensor"](name="o")],
            "raw_output_contents": [b"r"],
        },
        b"\x0a\x01m\x12\x011\x1a\x01x\x22\x08\x0a\x01k\x12\x03\x1a\x01v\x2a\x03\x0a\x01o\x32\x01r",
    ),
    ("RepositoryIndexRequest", {"repository_name": "r", "ready": True}, b"\x0a\x01r\x10\x01"),
    (
        "RepositoryIndexResponse",
        {"models": [MESSAGES["ModelIndex"](name="m", version="1", state="READY", reason="r")]},
        b"\x0a\x10\x0a\x01m\x12\x011\x1a\x05READY\x22\x01r",
    ),
    ("RepositoryModelLoadRequest", {"name": "k", "model_name": "t"}, b"\x0a\x01k\x12\x01t"),
    (
        "RepositoryModelLoadRequest",
        {"parameters": {"k": MESSAGES["ModelRepositoryParameter"]()}},
        b"\x1a\x05\x0a\x01k\x12\x00",
    ),
    ("RepositoryModelLoadResponse", {"model_name": "m", "is_loaded": True}, b"\x0a\x01m\x10\x01"),
    ("RepositoryModelUnloadRequest", {"name": "k", "model_name": "t"}, b"\x0a\x01k\x12\x01t"),
    ("RepositoryModelUnloadResponse", {"model_name": "m", "is_unloaded": True}, b"\x0a\x01m\x10\x01"),
]


@pytest.mark.parametrize(("name", "fields", "wire"), WIRE)
def test_a_message_has_the_bytes_of_its_field_numbers(name: str, fields: dict[str, Any], wire: bytes) -> None:
    message = MESSAGES[name](**fields)

    assert message.SerializeToString(deterministic=True) == wire
    assert MESSAGES[name].FromString(wire) == message


def test_every_field_is_written_by_hand_once() -> None:
    written = {(name, field) for name, fields, _ in WIRE for field in fields}
    listed = {(name, field.name) for name, kind in MESSAGES.items() for field in kind.DESCRIPTOR.fields}

    # An output's tensor is an input's; a tensor's metadata and an index stand in their lists.
    twins = {("InferInputTensor", "InferOutputTensor")}
    written |= {(other, field) for name, field in written for one, other in twins if name == one}
    written |= {("TensorMetadata", field) for field in ("name", "datatype", "shape")}
    written |= {("ModelIndex", field) for field in ("name", "version", "state", "reason")}
    written |= {("InferRequestedOutputTensor", "parameters")}
    assert written == listed


def test_at_most_one_value_of_a_parameter_is_there() -> None:
    parameter = MESSAGES["InferParameter"].FromString(b"\x08\x01\x10\x05")

    assert parameter.WhichOneof("parameter_choice") == "int64_param"
    assert not parameter.HasField("bool_param")


def test_fields_of_other_servers_are_passed_over() -> None:
    assert MESSAGES["ServerLiveRequest"].FromString(b"\x82\x7d\x01x") is not None


def test_other_messages_of_the_same_names_do_no_harm() -> None:
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("inference.ModelInferRequest")
