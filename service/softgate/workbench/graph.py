"""
What an ONNX file says of itself, read and never run.

The bytes may come from anywhere: call this in a contained process (`runtime/contained.py`), for a file of some
megabytes can unfold to gigabytes. No other file is opened, whatever the graph refers to: what is beside it is given.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import (
    AttributeProto,
    ModelProto,
    NodeProto,
    TensorProto,
    numpy_helper,
)

from softgate.errors import GraphInvalid
from softgate.runtime.beside import is_plain, read_beside
from softgate.runtime.external import External, filled, is_external, location, unlisted
from softgate.runtime.tensors import attributes, graphs, parse, tensors
from softgate.workbench.ends import Categories, ClassNames, Ending, categories, class_names, endings, string

# The standard's, and onnxruntime's own: skl2onnx writes its Tokenizer for a TfidfVectorizer.
KNOWN_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training", "com.microsoft"}
_FLOATS = {
    number for name, number in TensorProto.DataType.items() if name.startswith(("FLOAT", "DOUBLE", "BFLOAT", "COMPLEX"))
}


@dataclass(frozen=True, slots=True)
class GraphFacts:
    producer: str
    ir_version: int
    opsets: Mapping[str, int]
    foreign: Mapping[str, tuple[str, ...]]
    """Operators that need a library besides onnxruntime, by domain."""
    external: tuple[External, ...]
    n_parameters: int
    """Numbers in constants and in the attributes of classical models; as stated, where they are in another file."""
    n_parameter_bytes: int
    """What they take up in this file."""
    nan: Mapping[str, int]
    """How many NaN there are in which constant."""
    infinite: Mapping[str, int]
    """The same for infinities, which are often meant: the masks of attention are full of them."""
    endings: tuple[Ending, ...]
    classes: tuple[ClassNames, ...]
    """Every list of class names found, the likeliest first. One with as many names as there are columns fits."""
    categories: tuple[Categories, ...]
    locales: tuple[str, ...]
    """Of each StringNormalizer; "" where it names none, and the engine takes en_US."""
    token_patterns: tuple[str, ...]
    """Of each Tokenizer of onnxruntime: the expression that a token matches; "" where it splits otherwise."""


def graph_facts(data: bytes, external: Mapping[str, bytes] | None = None) -> GraphFacts:
    """`external`: files beside it that hold weights of its, as far as they are at hand. Raises GraphInvalid."""
    return _facts(parse(data), external or {})


def files_beside(external: Sequence[External], folder: Path) -> dict[str, bytes]:
    """The bytes of all files that a graph in `folder` keeps weights in. Raises GraphInvalid."""
    places = dict.fromkeys(each.location for each in external)
    wrong = unlisted(external, [place for place in places if is_plain(place)])
    if wrong is not None:
        raise GraphInvalid(" ".join(wrong))
    return read_beside(folder, places)


def _facts(model: ModelProto, files: Mapping[str, bytes]) -> GraphFacts:
    inside = list(graphs(model))
    nodes = [node for graph in inside for node in graph.node]
    constants = [found for graph in inside for found in tensors(graph)]
    numbers = [found for graph in inside for found in attributes(graph) if len(found[1].floats)]
    kept = [(name, tensor) for name, tensor in constants if not is_external(tensor)]
    outside = [(name, tensor) for name, tensor in constants if is_external(tensor)]
    beside = ((name, filled(name, tensor, files)) for name, tensor in outside if location(tensor) in files)
    nan, infinite = _not_finite(chain(kept, beside), numbers)
    return GraphFacts(
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        ir_version=model.ir_version,
        opsets={entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        foreign=_foreign(model, nodes),
        external=tuple(External(name, location(tensor)) for name, tensor in outside),
        n_parameters=sum(prod(tensor.dims) for _, tensor in constants) + sum(len(a.floats) for _, a in numbers),
        n_parameter_bytes=sum(t.ByteSize() for _, t in kept) + sum(4 * len(a.floats) for _, a in numbers),
        nan=nan,
        infinite=infinite,
        endings=tuple(endings(model.graph)),
        classes=tuple(class_names(model, nodes)),
        categories=tuple(categories(model.graph)),
        locales=tuple(string(node, "locale") for node in nodes if node.op_type == "StringNormalizer"),
        token_patterns=tuple(
            string(node, "tokenexp") for node in nodes if (node.domain, node.op_type) == ("com.microsoft", "Tokenizer")
        ),
    )


def _not_finite(
    constants: Iterable[tuple[str, TensorProto]], numbers: Iterable[tuple[str, AttributeProto]]
) -> tuple[dict[str, int], dict[str, int]]:
    nan: Counter[str] = Counter()
    infinite: Counter[str] = Counter()
    # One at a time: each is a copy of what may be most of the file.
    for name, array in chain(map(_array, constants), map(_floats, numbers)):
        nan[name] += int(np.count_nonzero(np.isnan(array)))
        infinite[name] += int(np.count_nonzero(np.isinf(array)))
    return dict(+nan), dict(+infinite)


def _array(named: tuple[str, TensorProto]) -> tuple[str, NDArray[Any]]:
    name, tensor = named
    try:
        array = numpy_helper.to_array(tensor) if tensor.data_type in _FLOATS else np.empty(0)
        # The narrow kinds are ml_dtypes' own, not all of which numpy can ask for NaN; float32 holds each of them.
        return name, array.astype(np.float32) if array.dtype.kind == "V" else array
    except (ValueError, TypeError, KeyError, OverflowError) as exc:
        raise GraphInvalid(f"The constant {name} does not hold the numbers that its shape and type say.") from exc


def _floats(named: tuple[str, AttributeProto]) -> tuple[str, NDArray[Any]]:
    return named[0], np.array(named[1].floats, dtype=np.float32)


def _foreign(model: ModelProto, nodes: Iterable[NodeProto]) -> dict[str, tuple[str, ...]]:
    own = {(function.domain, function.name) for function in model.functions}
    used = {(node.domain, node.op_type) for node in nodes if node.domain not in KNOWN_DOMAINS} - own
    return {
        domain: tuple(sorted(operator for each, operator in used if each == domain))
        for domain in sorted({domain for domain, _ in used})
    }
