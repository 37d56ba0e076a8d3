"""
Tensors as they are on a wire, and as arrays: pure functions, both ways.

`at` says where a tensor stands in a request; a message names that, what was got and what was wanted, and repeats
nothing of what was sent. Elements are in row-major order; what is decoded is flat.
"""

import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from softgate.errors import MalformedBody, ShapeMismatch
from softgate.runtime.inputs import numbers
from softgate.web.protocols.native import decode
from softgate.web.protocols.open_inference.datatypes import BYTES, DATATYPES

_START = re.compile(rb"[ \t\r\n\[]*")
_LENGTH = struct.Struct("<I")
# By the kind of a type. There are clients that write any number as a float, and true as 1.0.
_FORMS: Mapping[str, Any] = {"i": int | float, "u": int | float, "b": bool | float}


class Tensor(NamedTuple):
    """A named tensor of the wire."""

    name: str
    datatype: str
    values: NDArray[Any]
    """Of its shape; those of BYTES are str or bytes."""

    @property
    def shape(self) -> Sequence[int]:
        return self.values.shape


def decode_raw(raw: memoryview, datatype: str, shape: Sequence[int], *, at: str) -> NDArray[Any]:
    """A view of `raw`, copied only where it is not aligned. Raises ShapeMismatch and MalformedBody."""
    size = n_elements(shape)
    if datatype == BYTES:
        return _strings(raw, size, at)
    dtype = DATATYPES[datatype]
    if len(raw) != size * dtype.itemsize:
        raise ShapeMismatch(f"In {at}: Expected {size * dtype.itemsize} bytes; got {len(raw)}.")
    if dtype.kind == "b" and (np.frombuffer(raw, np.uint8) > 1).any():
        raise MalformedBody(f"In {at}: Expected a 0 or a 1 in each byte; one holds something else.")
    found = np.frombuffer(raw, dtype)
    return found if found.flags.aligned else found.copy()


def _strings(raw: memoryview, n_elements: int, at: str) -> NDArray[np.object_]:
    """Each behind its length."""
    found: list[bytes] = []
    start, end = 0, len(raw)
    while start < end and len(found) < n_elements:
        if start + _LENGTH.size > end:
            raise MalformedBody(f"In {at}: Expected a length of {_LENGTH.size} bytes; {end - start} are left.")
        (length,) = _LENGTH.unpack_from(raw, start)
        start += _LENGTH.size
        if length > end - start:
            raise MalformedBody(f"In {at}: Expected {length} bytes in element {len(found)}; {end - start} are left.")
        found.append(bytes(raw[start : start + length]))
        start += length
    if len(found) != n_elements:
        raise ShapeMismatch(f"In {at}: Expected {n_elements} elements; got {len(found)}.")
    if start != end:
        raise MalformedBody(f"In {at}: Expected nothing behind the {n_elements} elements; got {end - start} bytes.")
    return of_objects(found)


def of_objects(values: Iterable[object]) -> NDArray[np.object_]:
    """Strings as a flat array, however long they are and however many."""
    found = list(values)
    array = np.empty(len(found), dtype=object)
    array[:] = found
    return array


def encode_raw(tensor: Tensor) -> bytes:
    """Of BYTES each behind its length, of numbers one behind the other."""
    if tensor.datatype != BYTES:
        return np.ascontiguousarray(tensor.values, DATATYPES[tensor.datatype]).tobytes()
    pieces = [value.encode() if isinstance(value, str) else value for value in tensor.values.flat]
    return b"".join(chain.from_iterable((_LENGTH.pack(len(piece)), piece) for piece in pieces))


def decode_json(content: bytes, datatype: str, shape: Sequence[int], *, at: str) -> NDArray[Any]:
    """`content`: a list of all elements, or lists as deep as `shape` has axes. Raises InvalidInput."""
    dtype, depth = DATATYPES[datatype], _depth(content)
    if depth not in (1, len(shape)):
        several = f", or {len(shape)} in each other" if len(shape) > 1 else ""
        raise ShapeMismatch(f"In {at}: Expected one list{several}; got {depth}.")
    values = decode(_decoder(dtype.kind, depth), content, at=at)
    return _cast(_flattened(values, shape, depth, at), dtype, at)


def _flattened(values: list[Any], shape: Sequence[int], depth: int, at: str) -> list[Any]:
    """One axis after the other, until a flat list is left."""
    level: list[Any] = [values]
    for size in (n_elements(shape),) if depth == 1 else shape:
        wrong = next((len(each) for each in level if len(each) != size), None)
        if wrong is not None:
            raise ShapeMismatch(f"In {at}: Expected {size} elements, as its shape says; got {wrong}.")
        level = list(chain.from_iterable(level))
    return level


def n_elements(shape: Sequence[int]) -> int:
    """Without a limit, as a hostile size has none; only of as many axes as the model has, for it takes their square."""
    product = 1
    for size in shape:
        product *= size
    return product


def _depth(content: bytes) -> int:
    """How many brackets open it."""
    start = _START.match(content)
    assert start is not None, "It matches nothing at all, too."
    return start[0].count(b"[")


@cache
def _decoder(kind: str, depth: int) -> msgspec.json.Decoder[Any]:
    form: Any = _FORMS.get(kind, numbers.ELEMENTS[kind])
    for _ in range(depth):
        form = list[form]
    return msgspec.json.Decoder(form)


def _cast(values: list[Any], dtype: np.dtype[Any], at: str) -> NDArray[Any]:
    if dtype.kind == "O":
        return of_objects(values)
    if dtype.kind == "b":
        values = [bool(value) if value in (0, 1) else value for value in values]
    array, fits = numbers.cast(values, dtype, missing=False)
    if not fits.all():
        raise numbers.misfit(dtype, place=f"element {int(np.argmin(fits))} of {at}")
    return array
