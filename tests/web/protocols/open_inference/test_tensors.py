import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from softgate.errors import InvalidInput, MalformedBody, NonFiniteInput, ShapeMismatch
from softgate.web.protocols.open_inference.datatypes import BYTES, DATATYPES, word
from softgate.web.protocols.open_inference.tensors import Tensor, decode_json, decode_raw, encode_raw, of_objects

NUMBERS = [name for name in DATATYPES if name != BYTES]


def raw(datatype: str, content: bytes, *shape: int) -> NDArray[Any]:
    return decode_raw(memoryview(content), datatype, shape, at="inputs[0]")


def listed(datatype: str, content: object, shape: list[int]) -> NDArray[Any]:
    return decode_json(json.dumps(content).encode(), datatype, shape, at="inputs[0]")


@pytest.mark.parametrize("datatype", NUMBERS)
@given(data=st.data())
def test_numbers_come_back_bit_for_bit(datatype: str, data: st.DataObject) -> None:
    values = data.draw(arrays(DATATYPES[datatype], array_shapes(max_dims=3, min_side=0)))

    content = encode_raw(Tensor("x", datatype, values))

    assert content == values.tobytes()
    assert raw(datatype, content, *values.shape).tobytes() == content


@given(values=st.lists(st.binary(max_size=300), max_size=20))
def test_strings_come_back_byte_for_byte(values: list[bytes]) -> None:
    content = encode_raw(Tensor("x", BYTES, of_objects(values)))

    assert raw(BYTES, content, len(values)).tolist() == values


def test_a_string_stands_behind_its_length_in_utf_8() -> None:
    tensor = Tensor("x", BYTES, of_objects(["é", b"ab", ""]).reshape(3, 1))

    assert encode_raw(tensor) == b"\x02\0\0\0\xc3\xa9\x02\0\0\0ab\0\0\0\0"
    assert tensor.shape == (3, 1)


def test_numbers_are_little_endian() -> None:
    assert encode_raw(Tensor("x", "FP32", np.array([1, -2], ">f4"))) == struct.pack("<2f", 1, -2)
    assert_array_equal(raw("INT16", b"\x01\x02", 1), [0x0201])


def test_aligned_numbers_are_a_view_and_others_a_copy_that_is_aligned() -> None:
    content = np.arange(9, dtype=np.float32).tobytes()
    whole, odd = memoryview(content), memoryview(b"x" + content)[1:]

    view, copy = (decode_raw(part, "FP32", (9,), at="inputs[0]") for part in (whole, odd))

    assert np.shares_memory(view, np.frombuffer(content, np.uint8))
    assert copy.flags.aligned
    assert_array_equal(view, copy)


@pytest.mark.parametrize(
    ("datatype", "content", "n_elements", "message"),
    [
        ("INT32", b"\0" * 40, 8, "Expected 32 bytes; got 40"),
        ("INT32", b"\0" * 31, 8, "Expected 32 bytes; got 31"),
        ("INT32", b"", 2**62, f"Expected {2**64} bytes; got 0"),
        ("BOOL", b"\0\1\2", 3, "a 0 or a 1 in each byte"),
        (BYTES, b"\1\0\0", 1, "Expected a length of 4 bytes; 3 are left"),
        (BYTES, b"\2\0\0\0a", 1, "Expected 2 bytes in element 0; 1 are left"),
        (BYTES, b"\xff\xff\xff\xffa", 1, "Expected 4294967295 bytes in element 0; 1 are left"),
        (BYTES, b"\1\0\0\0a", 2, "Expected 2 elements; got 1"),
        (BYTES, b"", 1, "Expected 1 elements; got 0"),
        (BYTES, b"\1\0\0\0a", 2**62, "elements; got 1"),
        (BYTES, b"\1\0\0\0a\0", 1, "nothing behind the 1 elements; got 1 bytes"),
        (BYTES, b"\0", 0, "nothing behind the 0 elements; got 1 bytes"),
    ],
)
def test_bytes_that_are_no_such_tensor_are_refused(
    datatype: str, content: bytes, n_elements: int, message: str
) -> None:
    with pytest.raises(InvalidInput, match=r"^In inputs\[0\]: Expected .*") as caught:
        raw(datatype, content, n_elements)

    assert message in str(caught.value)


@given(data=st.data(), shape=array_shapes(max_dims=4, min_side=0, max_side=3))
def test_nested_lists_and_one_flat_list_are_the_same(data: st.DataObject, shape: tuple[int, ...]) -> None:
    values = data.draw(arrays(np.int32, shape))

    flat = listed("INT32", values.ravel().tolist(), list(shape))

    assert_array_equal(flat, values.ravel())
    if values.size:
        assert_array_equal(listed("INT32", values.tolist(), list(shape)), flat)


@pytest.mark.parametrize(
    ("datatype", "content", "expected"),
    [
        ("BOOL", [True, False], [True, False]),
        ("UINT64", [2**64 - 1, 0], [2**64 - 1, 0]),
        ("INT8", [-128, 127], [-128, 127]),
        ("FP16", [0.5, 2], [0.5, 2]),
        ("BOOL", [1.0, 0], [True, False]),
        ("UINT8", [255.0, 7], [255, 7]),
        ("FP32", [0.1, 1e-46], [np.float32(0.1), 0]),
        (BYTES, ["é", ""], ["é", ""]),
    ],
)
def test_json_gives_elements_of_the_datatype(datatype: str, content: list[Any], expected: list[Any]) -> None:
    found = listed(datatype, content, [2])

    assert found.dtype == DATATYPES[datatype]
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("datatype", "content", "shape", "error", "message"),
    [
        ("FP32", [1, 2, 3], [2, 2], ShapeMismatch, "Expected 4 elements, as its shape says; got 3"),
        ("FP32", [[1, 2], [3]], [2, 2], ShapeMismatch, "Expected 2 elements, as its shape says; got 1"),
        ("FP32", [[1, 2]], [2, 2], ShapeMismatch, "Expected 2 elements, as its shape says; got 1"),
        ("FP32", [[1], [2]], [2, 1, 1], ShapeMismatch, "Expected one list, or 3 in each other; got 2"),
        ("FP32", [[[1]]], [1, 1], ShapeMismatch, "Expected one list, or 2 in each other; got 3"),
        ("FP32", 1, [1], ShapeMismatch, "Expected one list; got 0"),
        ("FP32", [1], [2**40, 2**40], ShapeMismatch, f"Expected {2**80} elements, as its shape says; got 1"),
        ("FP32", ["a"], [1], MalformedBody, "Expected `float`, got `str`"),
        ("FP32", [None], [1], MalformedBody, "Expected `float`, got `null`"),
        ("FP32", [[1, [2]], [3, 4]], [2, 2], MalformedBody, "Expected `float`, got `array`"),
        ("INT32", ["1"], [1], MalformedBody, "Expected `int | float`, got `str`"),
        ("INT32", [1, 1.5], [2], NonFiniteInput, "Expected integers that fit int32; element 1 of inputs[0]"),
        ("UINT8", [1e300], [1], NonFiniteInput, "element 0 of inputs[0]"),
        ("BOOL", [1, 2], [2], InvalidInput, "Expected true or false; element 1 of inputs[0]"),
        (BYTES, [1], [1], MalformedBody, "Expected `str`, got `int`"),
        ("INT8", [1, 128], [2], NonFiniteInput, "element 1 of inputs[0]"),
        ("FP32", [1e39], [1], NonFiniteInput, "element 0 of inputs[0]"),
        ("FP16", [1, 1, 7e4], [3], NonFiniteInput, "element 2 of inputs[0]"),
    ],
)
def test_json_that_is_no_such_tensor_is_refused(
    datatype: str, content: Any, shape: list[int], error: type[InvalidInput], message: str
) -> None:
    with pytest.raises(error) as caught:
        listed(datatype, content, shape)

    assert message in str(caught.value)


@pytest.mark.parametrize("content", [b"[NaN]", b"[Infinity]", b"[1", b"[" * 10_000, b"", b"[\xff]", b"{}"])
def test_what_is_no_json_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput, match="In inputs"):
        decode_json(content, "FP32", [1], at="inputs[0]")


@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_datatype_has_one_type_of_numpy(datatype: str) -> None:
    assert word(DATATYPES[datatype]) == datatype
    assert datatype == BYTES or word(np.dtype(DATATYPES[datatype].name)) == datatype
