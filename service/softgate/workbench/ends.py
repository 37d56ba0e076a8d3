"""
What the ends of an ONNX graph say: the strings its inputs know, what makes its outputs, how its classes are called.

An attribute is read as what it should be: one of another type, as a hostile file may have it, reads as empty.
"""

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorProto

# Give the same numbers in another form.
SAME_NUMBERS = {"Identity", "Cast", "CastLike", "Dropout", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose"}
# Wrap what another operator made: both are worth telling.
WRAPPERS = {"ZipMap", "Normalizer"}
# They take one of a list: where the list is a constant, of class names.
PICKERS = {"ArrayFeatureExtractor", "Gather"}
# Nearest to the answer first: the classifiers inside a one-against-the-rest have classes of their own, 0 and 1.
CLASSIFIERS = ("TreeEnsembleClassifier", "LinearClassifier", "SVMClassifier")
NAMERS = ("ZipMap", "ArrayFeatureExtractor", "Gather", "LabelEncoder", *CLASSIFIERS)
# Keys of the metadata, in lower case, under which exporters leave the class names.
NAMING_KEYS = {"id2label", "label2id", "labels", "names", "classes", "class_names", "label_names"}
# Encoders, and where they keep the strings they know.
KEYS = {"OneHotEncoder": "cats_strings", "LabelEncoder": "keys_strings"}
MOST_METADATA_CHARACTERS = 2**20
STANDARD_DOMAINS = {"", "ai.onnx", "ai.onnx.ml"}


@dataclass(frozen=True, slots=True)
class Ending:
    """What an output ends in."""

    output: str
    operators: tuple[str, ...]
    """From the output back: any ZipMap and Normalizer, then what made the numbers. Empty for an input or a constant."""
    post_transform: str | None
    """NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO or PROBIT, where the last of the operators can have one."""


@dataclass(frozen=True, slots=True)
class ClassNames:
    source: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Categories:
    """The strings that an encoder knows."""

    input: str | None
    """The graph's input they are looked up in; None where the way there is not plain."""
    column: int | None
    """The column of that input; None where all of it is looked up."""
    values: tuple[str, ...]


def endings(graph: GraphProto) -> Iterator[Ending]:
    producers = _producers(graph)
    for output in graph.output:
        operators: list[str] = []
        post_transform = None
        for node in _back(output.name, producers):
            operator = node.op_type if node.domain in STANDARD_DOMAINS else f"{node.domain}:{node.op_type}"
            if operator in SAME_NUMBERS:
                continue
            operators.append(operator)
            if operator not in WRAPPERS:
                if operator in CLASSIFIERS:
                    post_transform = string(node, "post_transform") or "NONE"
                break
        yield Ending(output.name, tuple(operators), post_transform)


def class_names(model: ModelProto, nodes: Sequence[NodeProto]) -> list[ClassNames]:
    """Every list of different names, the likeliest first. One with as many names as there are classes fits."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    named = [(node.op_type, _names(node, constants)) for node in nodes if node.op_type in NAMERS]
    named.sort(key=lambda entry: NAMERS.index(entry[0]))
    written = [(f"metadata {entry.key}", _written(entry.value)) for entry in _naming(model)]
    # One list is often in several places; the likeliest of them is told.
    found: dict[tuple[str, ...], str] = {}
    for source, names in written + named:
        if names and len(set(names)) == len(names):
            found.setdefault(tuple(names), source)
    return [ClassNames(source, names) for names, source in found.items()]


def categories(graph: GraphProto) -> Iterator[Categories]:
    producers = _producers(graph)
    constants = {tensor.name: tensor for tensor in graph.initializer}
    inputs = {each.name for each in graph.input} - constants.keys()
    for node in graph.node:
        known = strings(node, KEYS[node.op_type]) if node.op_type in KEYS else []
        if known:
            origin, column = _origin(node.input[0] if node.input else "", producers, constants)
            yield Categories(*((origin, column) if origin in inputs else (None, None)), tuple(known))


def string(node: NodeProto, name: str) -> str:
    return _text(_attribute(node, name).s)


def strings(node: NodeProto, name: str) -> list[str]:
    return [_text(value) for value in _attribute(node, name).strings]


def _attribute(node: NodeProto, name: str) -> AttributeProto:
    return next((each for each in node.attribute if each.name == name), AttributeProto())


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _producers(graph: GraphProto) -> dict[str, NodeProto]:
    return {output: node for node in graph.node for output in node.output if output}


def _back(name: str, producers: Mapping[str, NodeProto]) -> Iterator[NodeProto]:
    """The nodes from a value back along first inputs."""
    seen: set[str] = set()
    while name in producers and name not in seen:
        seen.add(name)
        yield producers[name]
        name = producers[name].input[0] if producers[name].input else ""


def _origin(
    name: str, producers: Mapping[str, NodeProto], constants: Mapping[str, TensorProto]
) -> tuple[str | None, int | None]:
    """The value that a value is a mere form or a column of."""
    column: int | None = None
    for node in _back(name, producers):
        if node.op_type in PICKERS and column is None and len(node.input) == 2:
            picked = _integers(constants.get(node.input[1]))
            if len(picked) != 1:
                return None, None
            column = picked[0]
        elif node.op_type not in SAME_NUMBERS:
            return None, None
        name = node.input[0] if node.input else ""
    return name, column


def _names(node: NodeProto, constants: Mapping[str, TensorProto]) -> list[str]:
    if node.op_type in PICKERS:
        constant = constants.get(node.input[0]) if node.input else None
        if constant is not None and constant.data_type == TensorProto.STRING:
            return [_text(value) for value in constant.string_data]
        return [str(value) for value in _integers(constant)] if node.op_type == "ArrayFeatureExtractor" else []
    if node.op_type == "LabelEncoder":
        return _in_order(dict(zip(_attribute(node, "keys_int64s").ints, strings(node, "values_strings"), strict=False)))
    # The standard's word is classlabels_int64s for ZipMap and the trees, classlabels_ints for the others.
    numbers = [*_attribute(node, "classlabels_int64s").ints, *_attribute(node, "classlabels_ints").ints]
    return strings(node, "classlabels_strings") or [str(number) for number in numbers]


def _integers(tensor: TensorProto | None) -> list[int]:
    """Of a small list of whole numbers; nothing of any other tensor."""
    if tensor is None or tensor.data_type not in (TensorProto.INT32, TensorProto.INT64) or len(tensor.dims) > 1:
        return []
    if tensor.data_type == TensorProto.INT32:
        width, plain = 4, tensor.int32_data
    else:
        width, plain = 8, tensor.int64_data
    raw = tensor.raw_data
    return list(plain) or [
        int.from_bytes(raw[start : start + width], "little", signed=True) for start in range(0, len(raw), width)
    ]


def _naming(model: ModelProto) -> list[StringStringEntryProto]:
    return [entry for entry in model.metadata_props if entry.key.lower() in NAMING_KEYS]


def _written(value: str) -> list[str]:
    """Names as JSON or, as ultralytics writes them, as a Python literal; none where it is neither."""
    if len(value) > MOST_METADATA_CHARACTERS:
        return []
    for read in (json.loads, ast.literal_eval):
        try:
            names = read(value)
            if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
                return list(names)
            if isinstance(names, dict):
                return _in_order(names) or _in_order({number: name for name, number in names.items()})
        # It may be no text of this kind, or hold what is neither a name nor a number: a list, a number of a mile.
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
    return []


def _in_order(names: Mapping[Any, Any]) -> list[str]:
    """The names by their numbers from 0 up; none where it is not such a map."""
    numbered = {str(number): name for number, name in names.items()}
    found = [numbered.get(str(number)) for number in range(len(numbered))]
    return [name for name in found if isinstance(name, str)] if all(isinstance(name, str) for name in found) else []
