"""Small graphs and model folders, made on the spot: what a test serves must be small enough to check by hand."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from softgate.policy.classifier import Classifier
from softgate.policy.monitor import Monitor, fields
from softgate.runtime.calibration import bindings, seal
from softgate.runtime.card import bound_parts
from softgate.runtime.counts import Layout
from softgate.runtime.repository import Model, read_bundle

LABELS = ("transfer", "balance", "weather", "joke")
# Each word votes for one label; a sentence's logits are the sums of its words' votes.
WORDS = ("[PAD]", "[UNK]", "send", "money", "balance", "account", "rain", "sun", "joke", "laugh")
# One column per word, turned: a row per label is easier on the eye.
VOTES = np.array(
    [
        [0, 0, 3, 2, 1, 0, 0, 0, 0, 0],
        [0, 0, 1, 1, 3, 2, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 3, 3, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 4, 3],
    ],
    dtype=np.float32,
).T


def linear(weights: NDArray[np.float32], *, name: str = "logits") -> bytes:
    """features (n, n_features) @ weights → logits."""
    n_features, n_classes = weights.shape
    nodes = [helper.make_node("MatMul", ["features", "weights"], [name])]
    return _model(
        nodes,
        helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", n_features]),
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", n_classes]),
        {"weights": weights},
    )


def bag_of_words() -> bytes:
    """input_ids (n, n_tokens) → the sum of the tokens' votes."""
    nodes = [
        helper.make_node("Gather", ["votes", "input_ids"], ["voted"], axis=0),
        helper.make_node("ReduceSum", ["voted", "tokens_axis"], ["logits"], keepdims=0),
    ]
    return _model(
        nodes,
        helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(LABELS)]),
        {"votes": VOTES, "tokens_axis": np.array([1], dtype=np.int64)},
    )


def logarithm(n_classes: int) -> bytes:
    """ln(features): a feature of 0 gives minus infinity, a negative one NaN."""
    return _model(
        [helper.make_node("Log", ["features"], ["logits"])],
        helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", n_classes]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", n_classes]),
        {},
    )


def picky() -> bytes:
    """One-hot rows by index: an index outside 0..3 makes the graph itself fail."""
    nodes = [
        helper.make_node("Squeeze", ["index", "axis"], ["flat"]),
        helper.make_node("Gather", ["rows", "flat"], ["logits"], axis=0),
    ]
    return _model(
        nodes,
        helper.make_tensor_value_info("index", TensorProto.INT64, ["batch", 1]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 4]),
        {"rows": np.eye(4, dtype=np.float32) * 5, "axis": np.array([1], dtype=np.int64)},
    )


def one_row(n_features: int) -> bytes:
    """features → themselves, as long as there is one row of them: two make the graph fail."""
    return _model(
        [helper.make_node("Reshape", ["features", "shape"], ["logits"])],
        helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", n_features]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, n_features]),
        {"shape": np.array([1, n_features], dtype=np.int64)},
    )


def word_tokenizer() -> str:
    tokenizer = Tokenizer(WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    return str(tokenizer.to_str())


CARD = """
name = "{name}"
activation = "{activation}"
[input]
kind = "{kind}"
[routing]
fallback = "human"
{routing}
[routing.routes]
{routes}
"""


def write_model(
    folder: Path,
    model: bytes,
    *,
    name: str = "toy",
    kind: str = "tensor",
    activation: str = "softmax",
    labels: Sequence[str] = LABELS,
    routing: str = "threshold = 0.7",
    routes: Mapping[str, str] | None = None,
    tokenizer: str | None = None,
) -> Path:
    """A model folder as a user would write it; returns it."""
    (folder / "1").mkdir(parents=True)
    named = "\n".join(f"{json.dumps(label)} = {json.dumps(route)}" for label, route in (routes or {}).items())
    card = CARD.format(name=name, activation=activation, kind=kind, routing=routing, routes=named)
    (folder / "classifier.toml").write_text(card)
    (folder / "labels.txt").write_text("\n".join(labels) + "\n")
    (folder / "1" / "model.onnx").write_bytes(model)
    if tokenizer is not None:
        (folder / "tokenizer.json").write_text(tokenizer)
    return folder


def write_text_model(folder: Path, *, name: str = "toy", routing: str = "threshold = 0.7") -> Path:
    """The bag of words, with two labels that share a route."""
    return write_model(
        folder,
        bag_of_words(),
        name=name,
        kind="text",
        routing=routing,
        routes={"transfer": "banking", "balance": "banking"},
        tokenizer=word_tokenizer(),
    )


def write_calibration(folder: Path, **values: object) -> None:
    """A sealed calibration.json that fits the folder as it stands; T = 1 and no other part unless given."""
    bundle = read_bundle(folder, calibrated=False)
    card = bound_parts(bundle.card)
    bound_to = bindings(card, model=bundle.model, labels=bundle.labels_content, tokenizer=bundle.tokenizer)
    whole = {"format": 1, "bound_to": bound_to, "temperature": 1.0, "noise": 0.0, "thresholds": {}, **values}
    (folder / bundle.version / "calibration.json").write_bytes(seal(whole))


def load_classifier(folder: Path, *, clock: Callable[[], float] = lambda: 0.0, max_rows: int = 1024) -> Classifier:
    """The folder's model, ready to answer, its counts in an array of its own."""
    bundle = read_bundle(folder)
    layout = Layout({"model": fields(n_labels=len(bundle.labels))})
    monitor = Monitor(layout.view(np.zeros(layout.width), "model"))
    return Classifier(Model(bundle, threads=1), monitor, clock=clock, max_rows=max_rows)


def _model(
    nodes: list[NodeProto], source: ValueInfoProto, result: ValueInfoProto, constants: Mapping[str, NDArray[np.generic]]
) -> bytes:
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "graph", [source], [result], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def slow(*, seconds_hint: float) -> bytes:
    """features → themselves, after a loop that takes about so many seconds on one core."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_in"], ["go_out"]),
            helper.make_node("Sin", ["value_in"], ["value_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value_in", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value_out", TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        helper.make_node("Loop", ["steps", "go", "features"], ["looped"], body=body),
        helper.make_node("Mul", ["looped", "nothing"], ["zero"]),
        helper.make_node("Add", ["features", "zero"], ["logits"]),
    ]
    return _model(
        nodes,
        helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 4]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 4]),
        {
            "steps": np.array(seconds_hint * 250_000, dtype=np.int64),
            "go": np.array(True),
            "nothing": np.zeros(1, dtype=np.float32),
        },
    )
