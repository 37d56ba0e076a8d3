"""
The protocol's messages, built from their field numbers when this is imported.

Not generated: what protoc writes runs with some releases of protobuf and not with others, and a table needs no tool.
They live in a pool of their own, so that another library's messages of the same names do no harm.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "inference"
_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS: Mapping[str, int] = {
    "bool": _Field.TYPE_BOOL,
    "bytes": _Field.TYPE_BYTES,
    "double": _Field.TYPE_DOUBLE,
    "float": _Field.TYPE_FLOAT,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "string": _Field.TYPE_STRING,
    "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
}
_MANY = "*"
"""Behind the type of a field that repeats."""
_NAMED = "map "
"""Before the type of the values of a map, whose keys are strings."""
_TENSOR = {
    "name": (1, "string"),
    "datatype": (2, "string"),
    "shape": (3, "int64*"),
    "parameters": (4, "map InferParameter"),
    "contents": (5, "InferTensorContents"),
}
# Of each message its fields, each with its number and its type.
_FIELDS: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "ServerLiveRequest": {},
    "ServerLiveResponse": {"live": (1, "bool")},
    "ServerReadyRequest": {},
    "ServerReadyResponse": {"ready": (1, "bool")},
    "ModelReadyRequest": {"name": (1, "string"), "version": (2, "string")},
    "ModelReadyResponse": {"ready": (1, "bool")},
    "ServerMetadataRequest": {},
    "ServerMetadataResponse": {"name": (1, "string"), "version": (2, "string"), "extensions": (3, "string*")},
    "ModelMetadataRequest": {"name": (1, "string"), "version": (2, "string")},
    "ModelMetadataResponse": {
        "name": (1, "string"),
        "versions": (2, "string*"),
        "platform": (3, "string"),
        "inputs": (4, "TensorMetadata*"),
        "outputs": (5, "TensorMetadata*"),
        "properties": (6, "map string"),
    },
    "TensorMetadata": {"name": (1, "string"), "datatype": (2, "string"), "shape": (3, "int64*")},
    "InferParameter": {
        "bool_param": (1, "bool"),
        "int64_param": (2, "int64"),
        "string_param": (3, "string"),
        "double_param": (4, "double"),
        "uint64_param": (5, "uint64"),
    },
    "InferTensorContents": {
        "bool_contents": (1, "bool*"),
        "int_contents": (2, "int32*"),
        "int64_contents": (3, "int64*"),
        "uint_contents": (4, "uint32*"),
        "uint64_contents": (5, "uint64*"),
        "fp32_contents": (6, "float*"),
        "fp64_contents": (7, "double*"),
        "bytes_contents": (8, "bytes*"),
    },
    "InferInputTensor": _TENSOR,
    "InferOutputTensor": _TENSOR,
    "InferRequestedOutputTensor": {"name": (1, "string"), "parameters": (2, "map InferParameter")},
    "ModelInferRequest": {
        "model_name": (1, "string"),
        "model_version": (2, "string"),
        "id": (3, "string"),
        "parameters": (4, "map InferParameter"),
        "inputs": (5, "InferInputTensor*"),
        "outputs": (6, "InferRequestedOutputTensor*"),
        "raw_input_contents": (7, "bytes*"),
    },
    "ModelInferResponse": {
        "model_name": (1, "string"),
        "model_version": (2, "string"),
        "id": (3, "string"),
        "parameters": (4, "map InferParameter"),
        "outputs": (5, "InferOutputTensor*"),
        "raw_output_contents": (6, "bytes*"),
    },
    "RepositoryIndexRequest": {"repository_name": (1, "string"), "ready": (2, "bool")},
    "RepositoryIndexResponse": {"models": (1, "ModelIndex*")},
    "ModelIndex": {"name": (1, "string"), "version": (2, "string"), "state": (3, "string"), "reason": (4, "string")},
    # KServe's clients name the model in the first field and want to be told of it; Triton's name it in the second, the
    # first being a repository's, and pass over what they are told.
    "RepositoryModelLoadRequest": {
        "name": (1, "string"),
        "model_name": (2, "string"),
        "parameters": (3, "map ModelRepositoryParameter"),
    },
    "RepositoryModelLoadResponse": {"model_name": (1, "string"), "is_loaded": (2, "bool")},
    "RepositoryModelUnloadRequest": {"name": (1, "string"), "model_name": (2, "string")},
    # Of a load the names of its parameters are all that is looked at.
    "ModelRepositoryParameter": {},
    "RepositoryModelUnloadResponse": {"model_name": (1, "string"), "is_unloaded": (2, "bool")},
}
# All of whose fields are alternatives: at most one is there.
_ALTERNATIVES = {"InferParameter": "parameter_choice"}


def _file() -> descriptor_pb2.FileDescriptorProto:
    return descriptor_pb2.FileDescriptorProto(
        name="softgate/open_inference.proto",
        package=PACKAGE,
        syntax="proto3",
        message_type=[_message(name, fields) for name, fields in _FIELDS.items()],
    )


def _message(name: str, fields: Mapping[str, tuple[int, str]]) -> descriptor_pb2.DescriptorProto:
    choice = _ALTERNATIVES.get(name)
    return descriptor_pb2.DescriptorProto(
        name=name,
        field=[_field(name, field, number, kind, choice=choice) for field, (number, kind) in fields.items()],
        oneof_decl=[] if choice is None else [descriptor_pb2.OneofDescriptorProto(name=choice)],
        nested_type=list(_entries(fields)),
    )


def _field(message: str, name: str, number: int, kind: str, *, choice: str | None = None) -> Any:
    is_map = kind.startswith(_NAMED)
    of = f"{message}.{_entry(name)}" if is_map else kind.removesuffix(_MANY)
    field = _Field(
        name=name,
        number=number,
        label=_Field.LABEL_REPEATED if is_map or kind.endswith(_MANY) else _Field.LABEL_OPTIONAL,
        type=_SCALARS.get(of, _Field.TYPE_MESSAGE),
    )
    if of not in _SCALARS:
        field.type_name = f".{PACKAGE}.{of}"
    if choice is not None:
        field.oneof_index = 0
    return field


def _entries(fields: Mapping[str, tuple[int, str]]) -> Iterator[descriptor_pb2.DescriptorProto]:
    """On the wire a map is a repeated message of a key and a value."""
    for name, (_, kind) in fields.items():
        if kind.startswith(_NAMED):
            yield descriptor_pb2.DescriptorProto(
                name=_entry(name),
                field=[_field("", "key", 1, "string"), _field("", "value", 2, kind.removeprefix(_NAMED))],
                options=descriptor_pb2.MessageOptions(map_entry=True),
            )


def _entry(field: str) -> str:
    """As protobuf demands it of a map's entries."""
    return f"{field.title().replace('_', '')}Entry"


_pool = descriptor_pool.DescriptorPool()
_pool.AddSerializedFile(_file().SerializeToString())
MESSAGES: Mapping[str, Any] = {
    name: message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in _FIELDS
}
"""The classes, by the names that the protocol gives them."""
