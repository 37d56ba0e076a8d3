"""An ONNX file, parsed: its graphs, what their nodes carry, and every tensor among that."""

from collections.abc import Iterator
from typing import Any

from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, TensorProto, load_model_from_string

from softgate.errors import GraphInvalid


def parse(data: bytes) -> ModelProto:
    """Raises GraphInvalid."""
    try:
        model = load_model_from_string(data)
    # protobuf's DecodeError derives from Exception only, and protobuf is onnx's choice, not ours.
    except Exception as exc:
        raise GraphInvalid(f"The file is not a whole ONNX model: {exc}.") from exc
    if not model.graph.output:
        raise GraphInvalid("The file holds no graph with an output; wanted an ONNX model.")
    if not _is_text(model):
        raise GraphInvalid("The file has a name in it that is not UTF-8.")
    return model


def _is_text(message: Any) -> bool:
    """Where a string is not UTF-8, protobuf gives bytes in its place. It nests messages 100 deep and no deeper."""
    for field, value in message.ListFields():
        if field.type == field.TYPE_STRING:
            if any(isinstance(each, bytes) for each in ([value] if isinstance(value, str | bytes) else value)):
                return False
        elif field.type == field.TYPE_MESSAGE and not all(
            _is_text(each) for each in ([value] if hasattr(value, "ListFields") else value)
        ):
            return False
    return True


def graphs(model: ModelProto) -> Iterator[GraphProto | FunctionProto]:
    """The graph, those inside its nodes, and the functions that come with it."""
    waiting = [model.graph, *model.functions]
    for training in model.training_info:
        waiting += [training.initialization, training.algorithm]
    for graph in waiting:
        yield graph
        for _, each in attributes(graph):
            waiting += [each.g] if each.HasField("g") else []
            waiting += each.graphs


def attributes(graph: GraphProto | FunctionProto) -> Iterator[tuple[str, AttributeProto]]:
    for node in graph.node:
        # Few nodes have a name of their own.
        name = node.name or next(iter(node.output), node.op_type)
        yield from ((f"{name}.{each.name}", each) for each in node.attribute)
    if isinstance(graph, FunctionProto):
        yield from ((f"{graph.name}.{each.name}", each) for each in graph.attribute_proto)


def tensors(graph: GraphProto | FunctionProto) -> Iterator[tuple[str, TensorProto]]:
    sparse = []
    if isinstance(graph, GraphProto):
        yield from ((tensor.name, tensor) for tensor in graph.initializer)
        sparse += [(each.values.name, each) for each in graph.sparse_initializer]
    for name, each in attributes(graph):
        yield from ((name, tensor) for tensor in each.tensors)
        if each.HasField("t"):
            yield name, each.t
        if each.HasField("sparse_tensor"):
            sparse.append((name, each.sparse_tensor))
        sparse += [(name, inner) for inner in each.sparse_tensors]
    for name, pair in sparse:
        yield name, pair.values
        yield f"{name}.indices", pair.indices
