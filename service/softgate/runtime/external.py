"""
Weights that lie in other files than the graph's, as exporters write them above 2 GB, and some always.

The engine opens none of these files. Their bytes are read once, beside the graph's (`beside.py`), and each reference
into them is checked here before the engine sees it. The engine takes such bytes for the constants of the main graph;
those that lie deeper (bodies of If and Loop, attributes, functions, sparse pairs) are put into the graph itself.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

from onnx import TensorProto, helper

from softgate.errors import GraphInvalid
from softgate.runtime.beside import is_plain
from softgate.runtime.table import shown
from softgate.runtime.tensors import graphs, parse, tensors
from softgate.types import ModelFiles

# A file of Protocol Buffers holds no more, and the engine takes no constant that is larger.
MOST_BYTES = 2**31 - 1
# Of the narrow kinds several share a byte.
_NARROW_BITS: Mapping[str, int] = {"INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "INT2": 2, "UINT2": 2}
_BITS = {number: _NARROW_BITS[name] for name, number in TensorProto.DataType.items() if name in _NARROW_BITS}
# More digits than any file has bytes.
_MOST_DIGITS = 18


@dataclass(frozen=True, slots=True)
class External:
    tensor: str
    location: str


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a tensor lies in its file."""

    tensor: str
    start: int
    size: int

    @property
    def stop(self) -> int:
        return self.start + self.size


def attached(model: ModelFiles) -> ModelFiles:
    """
    What the engine is to load: the graph, and those files of which it takes bytes. Raises GraphInvalid where the graph
    refers to a file that is not there, or to bytes that are not in it.
    """
    graph = parse(model.content)
    constants = [found for each in graphs(graph) for found in tensors(each)]
    outside = [External(name, location(tensor)) for name, tensor in constants if is_external(tensor)]
    if not outside:
        return ModelFiles(model.content)
    wrong = unlisted(outside, model.external)
    if wrong is not None:
        raise GraphInvalid(" ".join(wrong))
    _check_overlaps(constants, model.external)
    # The walk begins with the main graph, and that with its constants.
    n_main = len(graph.graph.initializer)
    deeper = [found for found in constants[n_main:] if is_external(found[1])]
    handed = {location(tensor) for _, tensor in constants[:n_main] if is_external(tensor)}
    content = model.content
    if deeper:
        size = len(content) + sum(_extent(name, tensor, model.external).size for name, tensor in deeper)
        if size > MOST_BYTES:
            raise GraphInvalid(f"The graph would hold {size} bytes with its deeper constants; wanted less than 2 GiB.")
        for name, tensor in deeper:
            tensor.CopyFrom(filled(name, tensor, model.external))
        content = bytes(graph.SerializeToString())
    return ModelFiles(content, {name: model.external[name] for name in sorted(handed)})


def unlisted(external: Iterable[External], listed: Collection[str]) -> tuple[str, str] | None:
    """Which weights lie in no listed file, and the remedy; None: all of them do in one."""
    missing = [each for each in external if each.location not in listed]
    if not missing:
        return None
    strange = [each for each in missing if not is_plain(each.location)]
    kept = _some([each.tensor for each in strange or missing])
    places = list(dict.fromkeys(each.location for each in strange or missing))
    if strange:
        where = _some([shown(place) for place in places])
        return (
            f"The graph keeps {kept} in {where}; wanted the name of a file beside model.onnx.",
            "Save the model with its weights inside, or in one file beside it.",
        )
    names = ", ".join(f'"{place}"' for place in [*listed, *places])
    return (
        f"The graph keeps {kept} in {_some(places)}, which the card does not list.",
        f"List it in the card: external_data = [{names}].",
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def filled(name: str, tensor: TensorProto, files: Mapping[str, bytes]) -> TensorProto:
    """The same tensor with its bytes inside. Raises GraphInvalid where its file does not hold them."""
    extent = _extent(name, tensor, files)
    inside = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    inside.raw_data = files[location(tensor)][extent.start : extent.stop]
    return inside


def is_external(tensor: TensorProto) -> bool:
    return bool(tensor.data_location == TensorProto.EXTERNAL)


def location(tensor: TensorProto) -> str:
    """The file's name as the graph gives it."""
    return next((str(entry.value) for entry in tensor.external_data if entry.key == "location"), "")


def _check_overlaps(constants: Sequence[tuple[str, TensorProto]], files: Mapping[str, bytes]) -> None:
    """The very same bytes may serve two tensors; a part of another's is a mistake, or worse."""
    extents: dict[str, list[Extent]] = {}
    for name, tensor in constants:
        if is_external(tensor):
            extents.setdefault(location(tensor), []).append(_extent(name, tensor, files))
    for file, found in extents.items():
        found.sort(key=lambda each: (each.start, each.size))
        solid = [each for each in found if each.size]
        for first, second in pairwise(solid):
            same = (first.start, first.size) == (second.start, second.size)
            if not same and second.start < first.stop:
                raise GraphInvalid(
                    f"In {file} the bytes {first.start} to {first.stop} of {first.tensor} and "
                    f"{second.start} to {second.stop} of {second.tensor} overlap; wanted each tensor's apart."
                )


def _extent(name: str, tensor: TensorProto, files: Mapping[str, bytes]) -> Extent:
    keys = [entry.key for entry in tensor.external_data]
    if len(set(keys)) < len(keys):
        raise GraphInvalid(f"The constant {name} says twice where it lies; wanted one location, offset and length.")
    file = location(tensor)
    told = {entry.key: entry.value for entry in tensor.external_data}
    start, size = _number(name, "offset", told.get("offset", "0")), _size(name, tensor)
    length = _number(name, "length", told["length"]) if "length" in told else size
    if length != size:
        raise GraphInvalid(
            f"The constant {name} says that it has {length} bytes; wanted {size} for its shape and type."
        )
    if size > MOST_BYTES:
        raise GraphInvalid(
            f"The constant {name} takes {size} bytes; wanted less than 2 GiB, the engine's limit for one."
        )
    if start + size > len(files[file]):
        raise GraphInvalid(
            f"The constant {name} lies at the bytes {start} to {start + size} of {file}, which has {len(files[file])}."
        )
    return Extent(name, start, size)


def _number(name: str, key: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise GraphInvalid(f"The constant {name} has the {key} {shown(text)}; wanted a number of bytes.")
    return int(text)


def _size(name: str, tensor: TensorProto) -> int:
    """How many bytes its shape and type take."""
    if tensor.data_type == TensorProto.STRING:
        raise GraphInvalid(
            f"The constant {name} holds strings; wanted numbers, for strings cannot lie in another file."
        )
    if any(size < 0 for size in tensor.dims):
        raise GraphInvalid(f"The constant {name} has the shape {list(tensor.dims)}; wanted no negative size.")
    try:
        bits = _BITS.get(tensor.data_type) or 8 * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except (KeyError, ValueError, TypeError) as exc:
        raise GraphInvalid(f"The constant {name} is of type {tensor.data_type}, which ONNX does not know.") from exc
    return int(-(-prod(tensor.dims) * bits // 8))
