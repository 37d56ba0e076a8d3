"""Small graphs and model folders, made on the spot: what a test serves must be small enough to check by hand."""

import json
import timeit
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from softgate.policy.classifier import Classifier
from softgate.policy.monitor.axes import axes
from softgate.policy.monitor.counts import apart
from softgate.runtime.calibration import bindings, seal
from softgate.runtime.card import bound_parts
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


def softmax_of(n_classes: int) -> bytes:
    """features → their softmax."""
    return graph(
        [helper.make_node("Softmax", ["features"], ["probabilities"], axis=1)],
        [tensor("features", np.float32, "batch", n_classes)],
        [tensor("probabilities", np.float32, "batch", n_classes)],
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
{input}
{output}
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
    keys: str = "",
    output: str = "",
) -> Path:
    """A model folder as a user would write it; `keys` and `output` are lines of [input] and [output]. Returns it."""
    (folder / "1").mkdir(parents=True)
    named = "\n".join(f"{json.dumps(label)} = {json.dumps(route)}" for label, route in (routes or {}).items())
    parts = {"input": keys, "output": f"[output]\n{output}" if output else "", "routing": routing, "routes": named}
    card = CARD.format(name=name, activation=activation, kind=kind, **parts)
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
    return Classifier(Model(bundle, threads=1), apart(axes(bundle)), clock=clock, max_rows=max_rows)


def _model(
    nodes: list[NodeProto], source: ValueInfoProto, result: ValueInfoProto, constants: Mapping[str, NDArray[np.generic]]
) -> bytes:
    return graph(nodes, [source], [result], constants)


def graph(
    nodes: Sequence[NodeProto],
    sources: Sequence[ValueInfoProto],
    results: Sequence[ValueInfoProto],
    constants: Mapping[str, NDArray[np.generic]] | None = None,
) -> bytes:
    initializers = [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()]
    made = helper.make_graph(nodes, "graph", sources, results, initializers)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return bytes(helper.make_model(made, opset_imports=opsets, ir_version=9).SerializeToString())


def tensor(name: str, dtype: npt.DTypeLike, *shape: int | str) -> ValueInfoProto:
    """A graph's input or output; a text is the name of a size that may vary."""
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)


def flat(dtype: npt.DTypeLike, *shape: int | str, name: str = "features", gives: int | str = "classes") -> bytes:
    """A tensor of any type and shape → its numbers as one row of logits."""
    nodes = [
        helper.make_node("Cast", [name], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["numbers"], ["logits"], axis=1),
    ]
    return graph(nodes, [tensor(name, dtype, *shape)], [tensor("logits", np.float32, shape[0], gives)])


def added(width: int) -> bytes:
    """INPUT0 and INPUT1, both int32 (n, width) → their sums as logits."""
    nodes = [
        helper.make_node("Add", ["INPUT0", "INPUT1"], ["sums"]),
        helper.make_node("Cast", ["sums"], ["logits"], to=TensorProto.FLOAT),
    ]
    sources = [tensor(name, np.int32, "batch", width) for name in ("INPUT0", "INPUT1")]
    return graph(nodes, sources, [tensor("logits", np.float32, "batch", width)])


def looked_up(*shape: int | str, words: Mapping[str, int] | None = None) -> bytes:
    """texts (n,) or (n, 1) → the one-hot row of a text that is known whole, without regard to case; else zeros."""
    words = words or {label: number for number, label in enumerate(LABELS)}
    n_classes = max(words.values()) + 1
    nodes = [
        helper.make_node("Reshape", ["texts", "all"], ["row"]),
        helper.make_node(
            "StringNormalizer", ["row"], ["lower"], case_change_action="LOWER", is_case_sensitive=1, locale="C"
        ),
        helper.make_node(
            "LabelEncoder",
            ["lower"],
            ["index"],
            domain="ai.onnx.ml",
            keys_strings=list(words),
            values_int64s=list(words.values()),
            default_int64=n_classes,
        ),
        helper.make_node("Gather", ["rows", "index"], ["logits"], axis=0),
    ]
    rows = np.vstack([np.eye(n_classes, dtype=np.float32) * 5, np.zeros(n_classes, dtype=np.float32)])
    constants: dict[str, NDArray[np.generic]] = {"rows": rows, "all": np.array([-1], dtype=np.int64)}
    return graph(
        nodes, [tensor("texts", object, *shape)], [tensor("logits", np.float32, shape[0], n_classes)], constants
    )


def bag_of_tokens(
    names: Mapping[str, str] | None = None,
    *,
    batch: int | str = "batch",
    width: int | str = "tokens",
    dtype: npt.DTypeLike = np.int64,
) -> bytes:
    """
    Token ids, mask and types, by role → the sum of the votes of what is not masked.

    A token of the second text counts twice, and padding that is not masked adds a hundred to the first class, so that a
    wrong mask or type shows.
    """
    names = names or {role: role for role in ("input_ids", "attention_mask", "token_type_ids")}
    votes = VOTES.copy()
    votes[0, 0] = 100
    nodes = [helper.make_node("Gather", ["votes", names["input_ids"]], ["voted"], axis=0)]
    last = "voted"
    for role in ("attention_mask", "token_type_ids"):
        if role in names:
            nodes += [
                helper.make_node("Cast", [names[role]], [f"{role}_cast"], to=TensorProto.FLOAT),
                helper.make_node("Add", [f"{role}_cast", f"{role}_plus"], [f"{role}_weight"]),
                helper.make_node("Unsqueeze", [f"{role}_weight", "last_axis"], [f"{role}_column"]),
                helper.make_node("Mul", [last, f"{role}_column"], [f"{role}_weighed"]),
            ]
            last = f"{role}_weighed"
    nodes.append(helper.make_node("ReduceSum", [last, "tokens_axis"], ["logits"], keepdims=0))
    constants: dict[str, NDArray[np.generic]] = {
        "votes": votes,
        "tokens_axis": np.array([1], dtype=np.int64),
        "last_axis": np.array([2], dtype=np.int64),
        "attention_mask_plus": np.zeros(1, dtype=np.float32),
        "token_type_ids_plus": np.ones(1, dtype=np.float32),
    }
    sources = [tensor(name, dtype, batch, width) for name in names.values()]
    return graph(nodes, sources, [tensor("logits", np.float32, batch, len(LABELS))], constants)


def mixed(*, vector: bool = False) -> bytes:
    """
    Columns of several types, as pipelines export them → logits.

    age (n, 1) float32, plan (n, 1) string: free 0, pro 1, other -1; vip (n, 1) bool; visits (n, 1) int64; with `vector`
    also scores (n, 3) float64. The logits are these numbers, the scores summed up (0 without), in this order.
    """
    encoder: dict[str, Any] = {"domain": "ai.onnx.ml", "keys_strings": ["free", "pro"], "values_floats": [0.0, 1.0]}
    nodes = [
        helper.make_node("LabelEncoder", ["plan"], ["plan_number"], default_float=-1.0, **encoder),
        helper.make_node("Cast", ["vip"], ["vip_number"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["visits"], ["visits_number"], to=TensorProto.FLOAT),
    ]
    parts = ["age", "plan_number", "vip_number", "visits_number"]
    sources = [
        tensor("age", np.float32, "batch", 1),
        tensor("plan", object, "batch", 1),
        tensor("vip", np.bool_, "batch", 1),
        tensor("visits", np.int64, "batch", 1),
    ]
    constants: dict[str, NDArray[np.generic]] = {}
    if vector:
        nodes += [
            helper.make_node("ReduceSum", ["scores", "columns"], ["sum"], keepdims=1),
            helper.make_node("Cast", ["sum"], ["sum_number"], to=TensorProto.FLOAT),
        ]
        parts.append("sum_number")
        sources.append(tensor("scores", np.float64, "batch", 3))
        constants["columns"] = np.array([1], dtype=np.int64)
    nodes.append(helper.make_node("Concat", parts, ["logits"], axis=1))
    return graph(nodes, sources, [tensor("logits", np.float32, "batch", len(parts))], constants)


def zipped(keys: Sequence[str] | Sequence[int], *, scored: bool = False) -> bytes:
    """
    features → a label and a ZipMap of their softmax, as scikit-learn's classifiers are exported.

    With `scored` by a LinearClassifier whose weights are the identity.
    """
    texts = isinstance(keys[0], str)
    classes: dict[str, Any] = {"classlabels_strings" if texts else "classlabels_int64s": list(keys)}
    ml: dict[str, Any] = {"domain": "ai.onnx.ml"}
    if scored:
        labels: dict[str, Any] = {"classlabels_strings" if texts else "classlabels_ints": list(keys)}
        weights = np.eye(len(keys), dtype=np.float32).ravel().tolist()
        intercepts = [0.0] * len(keys)
        nodes = [
            helper.make_node(
                "LinearClassifier",
                ["features"],
                ["label", "scores"],
                coefficients=weights,
                intercepts=intercepts,
                post_transform="SOFTMAX",
                **labels,
                **ml,
            )
        ]
    else:
        nodes = [
            helper.make_node("Softmax", ["features"], ["scores"], axis=1),
            helper.make_node("ArgMax", ["features"], ["label"], axis=1, keepdims=0),
        ]
    nodes.append(helper.make_node("ZipMap", ["scores"], ["maps"], **classes, **ml))
    key_type = TensorProto.STRING if texts else TensorProto.INT64
    a_map = helper.make_map_type_proto(key_type, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    results = [
        tensor("label", object if scored and texts else np.int64, "batch"),
        helper.make_value_info("maps", helper.make_sequence_type_proto(a_map)),
    ]
    return graph(nodes, [tensor("features", np.float32, "batch", len(keys))], results)


def slow(*, seconds: float) -> bytes:
    """features → themselves, after a loop that takes so many seconds on a core of this machine, or a little more."""
    return _looping(round(seconds * _steps_per_second()))


@cache
def _steps_per_second() -> float:
    """At best: what a busy moment measures would make a short loop."""
    n_steps = 50_000
    session = ort.InferenceSession(_looping(n_steps), providers=["CPUExecutionProvider"])
    row = {"features": np.ones((1, 4), dtype=np.float32)}
    return n_steps / min(timeit.repeat(lambda: session.run(None, row), number=1, repeat=20))


def _looping(n_steps: int) -> bytes:
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
            "steps": np.array(n_steps, dtype=np.int64),
            "go": np.array(True),
            "nothing": np.zeros(1, dtype=np.float32),
        },
    )
