"""
A transformer as large as a small sentence encoder, with random weights, as a complete model folder.

    python tests/bench/encoder.py FOLDER [--precision int8]

Six layers, 384 wide, 12 heads, 1536 in between, 150 labels; token ids int64 (rows, tokens) to logits float32
(rows, 150). Tokenizer and labels are those of models/clinc150. What a run costs does not depend on what the weights
say, so none are fetched. The graph finds padding by its id: one input is all that it takes.

int8 is dynamic quantisation: one scale for all activations of a call, so a row's logits differ a little with its
companions. `agreement` says by how much.
"""

import argparse
import logging
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

CLINC150 = Path(__file__).parents[2] / "models" / "clinc150"
Precision = Literal["fp32", "int8"]
N_LAYERS, WIDTH, N_HEADS, BETWEEN, N_LABELS = 6, 384, 12, 1536, 150
N_TOKENS, N_POSITIONS, PAD = 4328, 512, 0
CARD = """
# Random weights: for timing only.
name = "encoder"
activation = "softmax"

[input]
kind = "text"
max_tokens = 64

[output]
tensor = "logits"
kind = "logits"

[routing]
fallback = "human"
threshold = 0.5
"""


@dataclass
class Layers:
    """Nodes and constants in the making; every method gives the name of its result."""

    random: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def constant(self, values: NDArray[np.generic] | float | Sequence[int]) -> str:
        """A float is a float32 scalar, a sequence of integers an int64 vector."""
        kind = np.float32 if isinstance(values, float) else None
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def weights(self, *shape: int, scale: float | None = None) -> str:
        values = self.random.normal(scale=scale or shape[0] ** -0.5, size=shape)
        return self.constant(values.astype(np.float32))

    def dense(self, of: str, n_in: int, n_out: int) -> str:
        return self.add("Add", self.add("MatMul", of, self.weights(n_in, n_out)), self.weights(n_out, scale=0.02))

    def norm(self, of: str) -> str:
        scale, shift = (self.constant(np.full(WIDTH, value, np.float32)) for value in (1, 0))
        return self.add("LayerNormalization", of, scale, shift, axis=-1, epsilon=1e-12)

    def gelu(self, of: str) -> str:
        grown = self.add("Add", self.add("Erf", self.add("Div", of, self.constant(2**0.5))), self.constant(1.0))
        return self.add("Mul", self.add("Mul", of, grown), self.constant(0.5))

    def heads(self, of: str, *, order: Sequence[int]) -> str:
        split = self.add("Reshape", self.dense(of, WIDTH, WIDTH), self.constant([0, 0, N_HEADS, WIDTH // N_HEADS]))
        return self.add("Transpose", split, perm=order)

    def attention(self, of: str, mask: str) -> str:
        """`mask` (rows, 1, 1, tokens) is 0 for tokens and very negative for padding."""
        query, value = (self.heads(of, order=[0, 2, 1, 3]) for _ in range(2))
        key = self.heads(of, order=[0, 2, 3, 1])
        scores = self.add("Div", self.add("MatMul", query, key), self.constant((WIDTH / N_HEADS) ** 0.5))
        weighed = self.add("MatMul", self.add("Softmax", self.add("Add", scores, mask), axis=-1), value)
        joined = self.add("Transpose", weighed, perm=[0, 2, 1, 3])
        return self.dense(self.add("Reshape", joined, self.constant([0, 0, WIDTH])), WIDTH, WIDTH)

    def layer(self, of: str, mask: str) -> str:
        attended = self.norm(self.add("Add", of, self.attention(of, mask)))
        widened = self.gelu(self.dense(attended, WIDTH, BETWEEN))
        return self.norm(self.add("Add", attended, self.dense(widened, BETWEEN, WIDTH)))

    def mean(self, of: str, present: str) -> str:
        """Over the tokens that `present` (rows, tokens) marks with 1; a row without one gives zeros."""
        column = self.add("Unsqueeze", present, self.constant([2]))
        total = self.add("ReduceSum", self.add("Mul", of, column), self.constant([1]), keepdims=0)
        count = self.add("ReduceSum", present, self.constant([1]), keepdims=1)
        return self.add("Div", total, self.add("Max", count, self.constant(1.0)))


def encoder(*, seed: int = 0) -> onnx.ModelProto:
    """input_ids int64 (rows, tokens) → logits float32 (rows, 150)."""
    layers = Layers(np.random.default_rng(seed))
    n_tokens = layers.add("Shape", "input_ids", start=1, end=2)
    places = layers.add("Slice", layers.weights(N_POSITIONS, WIDTH, scale=0.02), layers.constant([0]), n_tokens)
    words = layers.add("Gather", layers.weights(N_TOKENS, WIDTH, scale=0.05), "input_ids")
    padding = layers.add("Equal", "input_ids", layers.constant(np.array(PAD)))
    present = layers.add("Cast", layers.add("Not", padding), to=TensorProto.FLOAT)
    absent = layers.add("Mul", layers.add("Cast", padding, to=TensorProto.FLOAT), layers.constant(-1e4))
    mask = layers.add("Unsqueeze", absent, layers.constant([1, 2]))
    hidden = layers.norm(layers.add("Add", words, places))
    for _ in range(N_LAYERS):
        hidden = layers.layer(hidden, mask)
    last = layers.dense(layers.mean(hidden, present), WIDTH, N_LABELS)
    layers.nodes.append(helper.make_node("Mul", [last, layers.constant(3.0)], ["logits"], "logits"))
    source = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["rows", "tokens"])
    result = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", N_LABELS])
    graph = helper.make_graph(layers.nodes, "encoder", [source], [result], layers.constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def write_encoder(folder: Path, *, precision: Precision = "int8", name: str = "encoder", serving: str = "") -> Path:
    """A model folder of that name in `folder`; `serving` are lines of its card's [serving]. Returns it."""
    whole = folder / name
    (whole / "1").mkdir(parents=True)
    tables = f"\n[serving]\n{serving}\n" if serving else ""
    (whole / "classifier.toml").write_text(CARD.replace('name = "encoder"', f'name = "{name}"') + tables)
    for file in ("labels.txt", "tokenizer.json"):
        shutil.copy(CLINC150 / file, whole / file)
    made = whole / "1" / "model.onnx"
    if precision == "fp32":
        onnx.save(encoder(), made)
    else:
        with tempfile.TemporaryDirectory() as apart:
            onnx.save(encoder(), Path(apart, "fp32.onnx"))
            # It recommends, at every call, a step that this graph does not need.
            logging.disable(logging.WARNING)
            quantize_dynamic(Path(apart, "fp32.onnx"), made, weight_type=QuantType.QInt8)
            logging.disable(logging.NOTSET)
    return whole


def agreement(model: Path, rows: NDArray[np.int64]) -> Mapping[str, float]:
    """How far logits of `rows` (n_rows, n_tokens) in one call are from each alone, and the share of equal labels."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    together = session.run(None, {"input_ids": rows})[0]
    alone = np.concatenate([session.run(None, {"input_ids": row[row != PAD][None]})[0] for row in rows])
    same = (together.argmax(axis=1) == alone.argmax(axis=1)).mean()
    return {"largest": float(np.abs(together - alone).max()), "spread": float(alone.std()), "same_label": float(same)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--precision", choices=["fp32", "int8"], default="int8")
    arguments = parser.parse_args()
    made = write_encoder(arguments.folder, precision=arguments.precision)
    random = np.random.default_rng(0)
    rows = np.array([[*random.integers(1, N_TOKENS, n), *[PAD] * (32 - n)] for n in random.integers(5, 33, 32)])
    print(made, {name: round(value, 4) for name, value in agreement(made / "1" / "model.onnx", rows).items()})


if __name__ == "__main__":
    main()
