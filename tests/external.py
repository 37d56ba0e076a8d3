"""Graphs whose weights lie in a file beside them, as exporters and as enemies write them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.helper import make_sparse_tensor

from graphs import write_model

NAME = "model.onnx.data"
WEIGHTS = np.arange(4, dtype=np.float32).reshape(2, 2) - 1
CONTENT = WEIGHTS.tobytes()
FILES = {NAME: CONTENT}
MULTIPLY = helper.make_node("MatMul", ["features", "weights"], ["logits"])


def outside(
    name: str = "weights",
    place: str = NAME,
    *,
    dims: tuple[int, ...] = (2, 2),
    kind: int = TensorProto.FLOAT,
    **told: object,
) -> TensorProto:
    """A constant in another file; `told` are its offset and length, as they stand there."""
    tensor = TensorProto(name=name, data_type=kind, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": place, **told}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def features_to_logits(nodes: list[NodeProto], *constants: TensorProto) -> bytes:
    return bytes(_whole(nodes, *constants).SerializeToString())


def linear_beside(place: str = NAME, **told: Any) -> bytes:
    """features (batch, 2) times the weights, which lie in `place`."""
    return features_to_logits([MULTIPLY], outside(place=place, **told))


def in_an_attribute() -> bytes:
    return features_to_logits([helper.make_node("Constant", [], ["weights"], value=outside("")), MULTIPLY])


def in_a_branch() -> bytes:
    """In the body of an If, as an initializer there."""

    def branch() -> object:
        product = helper.make_node("MatMul", ["features", "inner"], ["product"])
        result = helper.make_tensor_value_info("product", TensorProto.FLOAT, None)
        return helper.make_graph([product], "branch", [], [result], [outside("inner")])

    yes = helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True)))
    chosen = helper.make_node("If", ["yes"], ["logits"], then_branch=branch(), else_branch=branch())
    return features_to_logits([yes, chosen])


def in_a_function() -> bytes:
    nodes = [
        helper.make_node("Constant", [], ["w"], value=outside("")),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    own = helper.make_function("own", "Mine", ["x"], ["y"], nodes, [helper.make_opsetid("", 17)])
    whole = _whole([helper.make_node("Mine", ["features"], ["logits"], domain="own")])
    whole.functions.append(own)
    return bytes(whole.SerializeToString())


def in_a_sparse_pair() -> bytes:
    whole = _whole([MULTIPLY])
    everywhere = numpy_helper.from_array(np.arange(4), "indices")
    whole.graph.sparse_initializer.append(make_sparse_tensor(outside(dims=(4,)), everywhere, [2, 2]))
    return bytes(whole.SerializeToString())


def _whole(nodes: list[NodeProto], *constants: TensorProto) -> ModelProto:
    inner = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
        constants,
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_model(inner, opset_imports=imports, ir_version=9)


def write_beside(folder: Path, model: bytes | None = None, *, listed: Sequence[str] = (NAME,), **words: Any) -> Path:
    """A model folder whose weights lie beside its graph, of two labels. Returns it."""
    write_model(folder, linear_beside() if model is None else model, labels=("no", "yes"), **words)
    (folder / "1" / NAME).write_bytes(CONTENT)
    card = folder / "classifier.toml"
    card.write_text(f"external_data = {json.dumps(list(listed))}\n{card.read_text()}")
    return folder
