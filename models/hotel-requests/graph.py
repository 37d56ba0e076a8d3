"""
The detectors as one ONNX graph: `input_ids` int64 (rows, tokens) to `logits` float32 (rows, labels).

Tokens and pairs are rows of two tables; behind the columns of the labels
stands one with the square of the feature vector's length. Padding is a row of
zeros and in no pair but at the ends, so how much of it follows a text makes no
difference.
"""

from typing import Any

import numpy as np
import onnx
from detectors import Detectors
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
IR_VERSION = 8


def build_model(detectors: Detectors) -> onnx.ModelProto:
    """Operators of ai.onnx alone; the tables are stored as float32, as they are computed with."""
    n_labels = len(detectors.bias)
    token_table = np.column_stack([detectors.token_rows, detectors.token_squares])
    pair_table = np.column_stack([detectors.pair_rows, detectors.pair_squares])
    constants: dict[str, NDArray[Any]] = {
        "ends": np.array([0, 1, 0, 1], np.int64),
        "tokens_axis": np.array([1], np.int64),
        "token_table": token_table.astype(np.float32),
        "pair_table": pair_table.astype(np.float32),
        "widths": np.array([n_labels, 1], np.int64),
        # A text without a known token has no length: its sums are zero, and so is their quotient.
        "shortest": np.array([[1e-6]], np.float32),
        "bias": detectors.bias.astype(np.float32),
    }
    pairs: dict[str, Any] = {
        "mode": "TF",
        "min_gram_length": 2,
        "max_gram_length": 2,
        "max_skip_count": 0,
        "ngram_counts": [0, 0],
        "ngram_indexes": list(range(len(detectors.pairs))),
        "pool_int64s": [index for pair in detectors.pairs for index in pair],
    }
    nodes = [
        helper.make_node("Pad", ["input_ids", "ends"], ["ids"]),
        helper.make_node("Gather", ["token_table", "ids"], ["token_rows"]),
        helper.make_node("ReduceSum", ["token_rows", "tokens_axis"], ["token_sums"], keepdims=0),
        helper.make_node("TfIdfVectorizer", ["ids"], ["pair_counts"], **pairs),
        helper.make_node("MatMul", ["pair_counts", "pair_table"], ["pair_sums"]),
        helper.make_node("Add", ["token_sums", "pair_sums"], ["sums"]),
        helper.make_node("Split", ["sums", "widths"], ["scores", "squares"], axis=1),
        helper.make_node("Max", ["squares", "shortest"], ["safe_squares"]),
        helper.make_node("Sqrt", ["safe_squares"], ["length"]),
        helper.make_node("Div", ["scores", "length"], ["direction"]),
        helper.make_node("Add", ["direction", "bias"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["rows", "tokens"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", n_labels])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model
