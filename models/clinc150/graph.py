"""
The members as one ONNX graph: `input_ids` int64 (rows, tokens) to `logits` float32 (rows, labels).

Tables of vectors are stored as int8 with one scale per row, filters as
float16; all arithmetic is float32. Sums over tokens go through zero rows for
padding, so how much of it follows a row makes no difference.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from convolution import Convolution
from linear import Linear, Pair
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
IR_VERSION = 8
# Two ids of padding behind every row: the filters then see what padding looks like whatever the batch, and
# the pair (0, 0) with zero weights is in each row, so that the list of pairs found is never empty.
PADDING_IDS = 2
PADDING_PAIR: Pair = (0, 0)


class Graph:
    """Nodes and constants in the making; every method gives the name of its result."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, values: NDArray[np.generic]) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def integers(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def half(self, values: NDArray[np.floating]) -> str:
        """Stored as float16, which the runtime turns into float32 once, at load."""
        return self.real(self.constant(values.astype(np.float16)))

    def real(self, name: str) -> str:
        return self.add("Cast", name, to=TensorProto.FLOAT)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def rows_of(self, table: NDArray[np.floating], indices: str) -> str:
        """The rows of the table at these indices, through int8."""
        scales = np.maximum(np.abs(table).max(axis=1, keepdims=True), 1e-12) / 127
        rows = self.real(self.add("Gather", self.constant(np.rint(table / scales).astype(np.int8)), indices))
        return self.add("Mul", rows, self.add("Gather", self.constant(scales.astype(np.float32)), indices))

    def model(self, n_labels: int) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "classifier",
            [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["rows", "tokens"])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", n_labels])],
            self.constants,
        )
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model


def build_model(linear: Linear, convolutions: Sequence[Convolution], *, margin_scale: float) -> onnx.ModelProto:
    """The mean of the members' scores, the margins scaled to the size of logits first."""
    graph = Graph()
    ids = graph.add("Pad", "input_ids", graph.integers(0, 0, 0, PADDING_IDS))
    real_ids = graph.real(graph.add("Greater", ids, graph.integers(0)))
    count = graph.add("ReduceSum", real_ids, graph.integers(1))
    one = graph.constant(np.ones((1, 1), np.float32))
    root = graph.add("Sqrt", graph.add("Max", count, one))
    margins = graph.add("Mul", _add_linear(graph, ids, linear), graph.constant(np.array([margin_scale], np.float32)))
    logits = [_add_convolution(graph, ids, root, member) for member in convolutions]
    graph.nodes.append(helper.make_node("Mean", [*logits, margins], ["logits"], "logits"))
    return graph.model(len(linear.bias))


def _add_convolution(graph: Graph, ids: str, root: str, member: Convolution) -> str:
    weights = {name: tensor.detach().numpy() for name, tensor in member.named_parameters()}
    vectors = graph.rows_of(member.folded(), ids)
    bag = graph.add("Div", graph.add("ReduceSum", vectors, graph.integers(1), keepdims=0), root)
    columns = graph.add("Transpose", vectors, perm=[0, 2, 1])
    peaks = []
    for i, width in enumerate(member.recipe.widths):
        filters = graph.half(weights[f"filters.{i}.weight"])
        bias = graph.constant(weights[f"filters.{i}.bias"])
        answers = graph.add("Conv", columns, filters, bias, pads=[width - 1, width - 1])
        peaks.append(graph.add("ReduceMax", answers, graph.integers(2), keepdims=0))
    features = graph.add("Concat", graph.add("Relu", graph.add("Concat", *peaks, axis=1)), bag, axis=1)
    output = graph.half(weights["output.weight"].T)
    return graph.add("Add", graph.add("MatMul", features, output), graph.constant(weights["output.bias"]))


def _add_linear(graph: Graph, ids: str, linear: Linear) -> str:
    first = graph.integers(1)
    token_sums = graph.add("ReduceSum", graph.rows_of(linear.token_rows, ids), first, keepdims=0)
    token_squares = graph.add("Gather", graph.constant(linear.token_squares.astype(np.float32)), ids)
    pairs = [PADDING_PAIR, *linear.pairs]
    counts = graph.add("TfIdfVectorizer", ids, **_pair_attributes(pairs))
    places = graph.add("NonZero", counts)
    row, pair = (graph.add("Gather", places, graph.constant(np.array(axis, np.int64))) for axis in (0, 1))
    found = graph.add("GatherND", counts, graph.add("Transpose", places))
    # Sum by row as a product: (rows, found) with the count where the pair is the row's, times (found, labels).
    height = graph.add("Squeeze", graph.add("Shape", ids, start=0, end=1))
    steps = graph.constant(np.array(0, np.int64)), height, graph.constant(np.array(1, np.int64))
    own = graph.real(graph.add("Equal", graph.add("Unsqueeze", graph.add("Range", *steps), first), row))
    spread = graph.add("Mul", own, found)
    padded_rows = np.vstack([np.zeros_like(linear.pair_rows[:1]), linear.pair_rows])
    padded_squares = np.append(0, linear.pair_squares).astype(np.float32)[:, None]
    pair_sums = graph.add("MatMul", spread, graph.rows_of(padded_rows, pair))
    pair_squares = graph.add("MatMul", spread, graph.add("Gather", graph.constant(padded_squares), pair))
    squares = graph.add("Add", graph.add("ReduceSum", token_squares, first), pair_squares)
    # A row without a known token has no length: its sums are zero, and so is their quotient.
    length = graph.add("Sqrt", graph.add("Max", squares, graph.constant(np.full((1, 1), 1e-6, np.float32))))
    direction = graph.add("Div", graph.add("Add", token_sums, pair_sums), length)
    return graph.add("Add", direction, graph.constant(linear.bias.astype(np.float32)))


def _pair_attributes(pairs: Sequence[Pair]) -> dict[str, Any]:
    return {
        "mode": "TF",
        "min_gram_length": 2,
        "max_gram_length": 2,
        "max_skip_count": 0,
        "ngram_counts": [0, 0],
        "ngram_indexes": list(range(len(pairs))),
        "pool_int64s": [index for pair in pairs for index in pair],
    }
