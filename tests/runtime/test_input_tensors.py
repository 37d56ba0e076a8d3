"""Rows that come as arrays, as protocols of tensors send them: the same rows as from JSON, and the same refusals."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from graphs import word_tokenizer
from pictures import encoded, in_base64
from softgate.errors import ImageInvalid, InvalidInput, NonFiniteInput, ShapeMismatch, TextTooLong
from softgate.runtime.inputs.columns import ColumnsInput
from softgate.runtime.inputs.image import ImageInput, read
from softgate.runtime.inputs.matrix import MatrixInput
from softgate.runtime.inputs.strings import StringInput
from softgate.runtime.inputs.tokens import TokenInput
from softgate.runtime.table import Table
from softgate.types import TensorSpec


def spec(name: str, dtype: Any, *shape: int | None) -> TensorSpec:
    return TensorSpec(name, np.dtype(dtype), (None, *shape))


def test_a_matrix_is_taken_as_it_is_without_a_copy() -> None:
    source = MatrixInput(spec("x", np.float32, 3), columns=None, missing=False)
    sent = np.frombuffer(np.arange(6, dtype=np.float32).tobytes(), np.float32).reshape(2, 3)

    rows = source.check_tensors([sent])

    assert np.shares_memory(np.asarray(rows.values), sent)
    assert source.tensors == (spec("x", np.float32, 3),)
    assert_array_equal(source.feed(rows)["x"], source.feed(source.check(sent.tolist()))["x"])


@pytest.mark.parametrize("shape", [(2, 4), (2, 0), (2, 3, 1), (2,)])
def test_a_matrix_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    source = MatrixInput(spec("x", np.float32, 3), columns=None, missing=False)

    with pytest.raises(ShapeMismatch, match="Expected 3 in each row"):
        source.check_tensors([np.zeros(shape, np.float32)])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_named(value: float) -> None:
    source = MatrixInput(spec("x", np.float32, 3), columns=None, missing=False)
    sent = np.zeros((2, 3), np.float32)
    sent[1, 2] = value

    with pytest.raises(NonFiniteInput, match=r"fit float32; x\[1, 2\] does not"):
        source.check_tensors([sent])


def test_nan_stands_for_what_is_missing_where_the_card_says_so() -> None:
    source = MatrixInput(spec("x", np.float32, 1), columns=None, missing=True)

    assert np.isnan(np.asarray(source.check_tensors([np.full((1, 1), np.nan, np.float32)]).values)).all()
    with pytest.raises(NonFiniteInput):
        source.check_tensors([np.full((1, 1), np.inf, np.float32)])


def test_columns_are_one_tensor_each() -> None:
    specs = [spec("age", np.int32), spec("city", object, 1), spec("scores", np.float32, 2)]
    source = ColumnsInput(specs, missing=False)
    age, scores = np.array([3, 4], np.int32), np.array([[1, 2], [3, 4]], np.float32)

    rows = source.check_tensors([age, np.array([[b"Gen\xc3\xa8ve"], ["Basel"]], dtype=object), scores])

    assert source.tensors == tuple(specs)
    assert len(rows) == 2
    feed = source.feed(rows)
    assert_array_equal(feed["age"], age)
    assert feed["city"].tolist() == [["Genève"], ["Basel"]]
    assert_array_equal(feed["scores"], scores)


def test_texts_are_strings_or_their_utf_8() -> None:
    words = TokenInput({"input_ids": spec("ids", np.int64, None)}, max_tokens=8, tokenizer=word_tokenizer().encode())
    for source in (words, StringInput(spec("x", object, 1))):
        rows = source.check_tensors([np.array(["a b", "a é".encode()], dtype=object)])

        assert list(rows.values) == ["a b", "a é"]
        assert [each.shape for each in source.tensors] == [(None,)]
        for wrong, error in ((b"\xff", InvalidInput), ("\ud800", InvalidInput), ("a" * 40_000, TextTooLong)):
            with pytest.raises(error):
                source.check_tensors([np.array([wrong], dtype=object)])


def test_images_are_files_or_their_base64() -> None:
    source = ImageInput([spec("x", np.float32, 1, 2, 2)], read(Table({}, place="input", mistakes=[])), tokenizer=None)
    image = encoded(np.zeros((2, 2), np.uint8))

    rows = source.check_tensors([np.array([image, in_base64(image)], dtype=object)])

    assert list(rows.values) == [image, image]
    with pytest.raises(ImageInvalid):
        source.check_tensors([np.array([b"no image"], dtype=object)])
