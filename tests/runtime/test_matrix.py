from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from softgate.errors import CardInvalid, InvalidInput, NonFiniteInput, ShapeMismatch
from softgate.runtime.inputs.matrix import MatrixInput
from softgate.types import TensorSpec

SIZES: dict[type[np.generic], tuple[int, int]] = {
    np.int8: (-(2**7), 2**7 - 1),
    np.uint8: (0, 2**8 - 1),
    np.int32: (-(2**31), 2**31 - 1),
    np.int64: (-(2**63), 2**63 - 1),
}
FLOATS = [np.float16, np.float32, np.float64]
NUMBERS = [*FLOATS, *SIZES]


def matrix(
    *shape: int | None, dtype: type[np.generic] = np.float32, columns: list[str] | None = None, missing: bool = False
) -> MatrixInput:
    spec = TensorSpec("x", np.dtype(dtype), (None, *(shape or (2,))))
    return MatrixInput(spec, columns=columns, missing=missing)


def array(source: MatrixInput, rows: list[Any]) -> np.typing.NDArray[Any]:
    return np.asarray(source.check(rows).values)


@pytest.mark.parametrize("dtype", FLOATS)
def test_numbers_become_one_tensor_of_the_graphs_type(dtype: type[np.floating]) -> None:
    source = matrix(dtype=dtype)

    feed = source.feed(source.check([[1, 2.5], [-3, 0]]))

    assert feed["x"].dtype == dtype
    assert_array_equal(feed["x"], [[1, 2.5], [-3, 0]])
    assert source.row == list[float]


@pytest.mark.parametrize("dtype", SIZES)
def test_whole_numbers_reach_the_ends_of_their_type(dtype: type[np.generic]) -> None:
    source = matrix(dtype=dtype)

    rows = array(source, [list(SIZES[dtype])])

    assert rows.dtype == dtype
    assert rows.tolist() == [list(SIZES[dtype])]
    assert source.row == list[int]


@pytest.mark.parametrize("dtype", SIZES)
@pytest.mark.parametrize("beyond", [lambda low, _: low - 1, lambda _, high: high + 1, lambda _, high: high * 10**30])
@pytest.mark.parametrize("shape", [(2,), (1, 2)])
def test_a_whole_number_beyond_its_type_is_named(
    dtype: type[np.generic], beyond: object, shape: tuple[int, ...]
) -> None:
    assert callable(beyond)
    rows = np.array([[1, 2], [beyond(*SIZES[dtype]), 2]], dtype=object).reshape(2, *shape).tolist()
    place = "feature 0" if len(shape) == 1 else r"place \[0, 0\]"

    with pytest.raises(
        NonFiniteInput, match=rf"^Expected integers that fit {np.dtype(dtype)}; row 1, {place} does not\.$"
    ):
        matrix(*shape, dtype=dtype).check(rows)


@pytest.mark.parametrize("number", [1.5, 1e300, float("nan"), float("inf")])
def test_a_number_that_is_not_whole_is_none_for_a_graph_of_whole_ones(number: float) -> None:
    with pytest.raises(NonFiniteInput, match="fit int64; row 0, feature 1 does not"):
        matrix(dtype=np.int64).check([[1, number]])


def test_a_whole_number_may_be_written_with_a_point() -> None:
    assert_array_equal(array(matrix(dtype=np.int64), [[1.0, -2.0]]), [[1, -2]])


@given(st.lists(st.tuples(st.integers(), st.floats() | st.integers()), min_size=1))
def test_whole_numbers_arrive_exactly_or_not_at_all(rows: list[tuple[int, float]]) -> None:
    source = matrix(dtype=np.int64)

    try:
        found = array(source, [list(row) for row in rows]).tolist()
    except NonFiniteInput:
        low, high = SIZES[np.int64]
        assert not all(low <= number <= high and number == int(number) for row in rows for number in row)
    else:
        assert found == [list(row) for row in rows]


@pytest.mark.parametrize(
    ("dtype", "number"),
    [
        (np.float16, 1e5),
        (np.float32, 1e39),
        (np.float32, -1e39),
        (np.float64, float("inf")),
        (np.float32, float("nan")),
    ],
)
def test_a_number_that_the_type_cannot_hold_is_named(dtype: type[np.floating], number: float) -> None:
    with pytest.raises(NonFiniteInput, match=rf"fit {np.dtype(dtype)}; row 1, feature 1 does not"):
        matrix(dtype=dtype).check([[1.0, 2.0], [3.0, number]])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1.0]], "Expected 2 features per row; row 0 has 1."),
        ([[1.0, 2.0], [1.0, 2.0, 3.0]], "Expected 2 features per row; row 1 has 3."),
        ([[]], "Expected 2 features per row; row 0 has 0."),
    ],
)
@pytest.mark.parametrize("dtype", [*NUMBERS, np.bool_, np.object_])
def test_a_row_of_another_length_is_named(rows: list[list[float]], message: str, dtype: type[np.generic]) -> None:
    with pytest.raises(ShapeMismatch) as caught:
        matrix(dtype=dtype).check(rows)

    assert str(caught.value) == message


def test_rows_of_a_graph_with_a_free_width_must_agree() -> None:
    source = matrix(None)
    source.check([[1.0, 2.0, 3.0]])

    with pytest.raises(ShapeMismatch, match=r"^Expected 2 features per row; row 1 has 1\.$"):
        source.check([[1.0, 2.0], [1.0]])
    with pytest.raises(ShapeMismatch, match=r"^Expected at least 1 feature per row; got 0\.$"):
        source.check([[], []])


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("row", [5, None, "ab", ["a", "b"], [[1], 2], [{}, {}], {"a": 1, "b": 2}, [[1], [2, 3]]])
def test_a_row_that_is_no_list_of_numbers_is_refused(dtype: type[np.generic], row: object) -> None:
    kind = "numbers" if dtype in FLOATS else "integers"

    with pytest.raises(InvalidInput, match=rf"^Expected lists of {kind} in each row; row 1 has [^;]+\.$"):
        matrix(dtype=dtype).check([[1, 2], row])


@pytest.mark.parametrize("dtype", [*NUMBERS, np.bool_, np.object_])
def test_rows_of_rows_are_refused(dtype: type[np.generic]) -> None:
    with pytest.raises(InvalidInput, match=r"row 0 has 2 x 1\.$"):
        matrix(dtype=dtype).check([[[1], [2]], [[3], [4]]])


@pytest.mark.parametrize("dtype", NUMBERS)
def test_a_missing_number_is_refused(dtype: type[np.generic]) -> None:
    with pytest.raises(InvalidInput, match="row 1"):
        matrix(dtype=dtype).check([[1, 2], [1, None]])


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_a_number_that_no_float_holds_is_refused(shape: tuple[int, ...]) -> None:
    rows = np.array([[1, 2], [1, 10**400]], dtype=object).reshape(2, *shape).tolist()

    with pytest.raises(InvalidInput, match="row 1 has something else"):
        matrix(*shape).check(rows)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(2,), (1, 2)])
def test_null_is_not_a_number_where_the_card_allows_it(dtype: type[np.floating], shape: tuple[int, ...]) -> None:
    source = matrix(*shape, dtype=dtype, missing=True)
    rows = np.array([[1, None], [None, None]], dtype=object).reshape(2, *shape).tolist()

    found = array(source, rows)

    assert found.dtype == dtype
    assert_array_equal(found.reshape(2, 2), [[1, np.nan], [np.nan, np.nan]])
    assert msgspec.json.decode(msgspec.json.encode(rows), type=list[source.row]) == rows  # type: ignore[name-defined]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e39])
def test_only_null_stands_for_a_number_that_is_not_known(number: float) -> None:
    with pytest.raises(NonFiniteInput, match="row 0, feature 1 does not"):
        matrix(missing=True).check([[None, number]])


@pytest.mark.parametrize("dtype", [*SIZES, np.bool_, np.object_])
def test_only_floats_have_a_value_for_what_is_not_known(dtype: type[np.generic]) -> None:
    source = matrix(dtype=dtype, missing=True)

    with pytest.raises(InvalidInput):
        source.check([[None, None]])
    assert source.row == matrix(dtype=dtype).row


def test_truth_values_become_one_tensor() -> None:
    source = matrix(dtype=np.bool_)

    found = array(source, [[True, False], [False, False]])

    assert found.dtype == np.bool_
    assert found.tolist() == [[True, False], [False, False]]
    assert source.row == list[bool]


@pytest.mark.parametrize("value", [0, 1, 1.0, None, "true", "", [], {}])
def test_what_is_neither_true_nor_false_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match=r"^Expected .*true or false.*; row 1(, feature 1)? has something else\.$"):
        matrix(dtype=np.bool_).check([[True, False], [True, value]])


def test_strings_become_one_tensor() -> None:
    source = matrix(dtype=np.object_)

    found = array(source, [["a", ""], ["\x00", "😀"]])

    assert found.dtype == np.object_
    assert found.tolist() == [["a", ""], ["\x00", "😀"]]
    assert source.row == list[str]


@pytest.mark.parametrize("value", ["\ud800", "a\udfffb", "\ude00\ud83d", 5, None, b"a", [], {}])
def test_what_is_no_whole_string_is_refused_as_no_number(value: object) -> None:
    with pytest.raises(
        InvalidInput, match=r"^Expected .*strings.*; row 1(, feature 0)? has something else\.$"
    ) as caught:
        matrix(dtype=np.object_).check([["a", "b"], [value, "b"]])

    assert caught.type is InvalidInput


@pytest.mark.parametrize("dtype", [*NUMBERS, np.bool_])
@pytest.mark.parametrize("shape", [(2, 3), (2, None), (None, None), (1, 2, 3), (None, 1, None)])
def test_rows_are_nested_as_deep_as_the_tensor(dtype: type[np.generic], shape: tuple[int | None, ...]) -> None:
    source = matrix(*shape, dtype=dtype)
    sizes = [size or 2 for size in shape]
    rows = (np.arange(np.prod(sizes) * 3) % 2).astype(dtype).reshape(3, *sizes)

    feed = source.feed(source.check(rows.tolist()))

    assert feed["x"].dtype == dtype
    assert_array_equal(feed["x"], rows)
    assert source.depth == len(shape)
    assert msgspec.json.decode(msgspec.json.encode(rows[0].tolist()), type=source.row) == rows[0].tolist()


@pytest.mark.parametrize("dtype", [*NUMBERS, np.bool_, np.object_])
@pytest.mark.parametrize(
    ("row", "found"),
    [
        ([[1, 1, 1]], "1 x 3"),
        ([[1, 1], [1, 1]], "2 x 2"),
        ([1, 1, 1], "3"),
        ([], "0"),
        ([[], []], "2 x 0"),
    ],
)
def test_a_row_of_another_shape_is_named(dtype: type[np.generic], row: object, found: str) -> None:
    good = np.full((2, 3), "a" if dtype is np.object_ else 1, dtype=dtype).tolist()

    for rows in ([good, row], [row], [good, row, good]):
        with pytest.raises(
            ShapeMismatch, match=rf"^Expected 2 x 3 .* in each row; row {len(rows) > 1:d} has {found}\.$"
        ):
            matrix(2, 3, dtype=dtype).check(rows)


@pytest.mark.parametrize("dtype", [*NUMBERS, np.bool_, np.object_])
@pytest.mark.parametrize(
    "row",
    [
        [[1, 1, 1], [1, 1]],
        [[1, 1, 1], 1],
        [[1, 1, 1], []],
        [[[1], 1, 1], [1, 1, 1]],
        [[[1], [1], [1]], [[1], [1], [1]]],
    ],
)
def test_a_ragged_row_is_named(dtype: type[np.generic], row: object) -> None:
    good = np.full((2, 3), "a" if dtype is np.object_ else 1, dtype=dtype).tolist()

    with pytest.raises(InvalidInput, match=r"^Expected .*row 1(, .*)? (has|does not)"):
        matrix(2, 3, dtype=dtype).check([good, row])


def test_rows_of_free_sizes_must_agree_within_a_request() -> None:
    with pytest.raises(
        ShapeMismatch, match=r"^Expected 2 x any numbers in each row; the rows differ from each other\.$"
    ):
        matrix(2, None).check([[[1, 2], [3, 4]], [[1], [2]]])


def test_columns_by_name_are_put_in_the_order_of_the_card() -> None:
    source = matrix(3, columns=["age", "height", "weight"])

    found = array(source, [{"weight": 3.0, "age": 1.0, "height": 2.0}, [4.0, 5.0, 6.0]])

    assert_array_equal(found, [[1, 2, 3], [4, 5, 6]])
    for row in (b'{"age": 1}', b"[1.5]"):
        msgspec.json.decode(row, type=source.row)


def test_columns_give_a_free_width_its_size() -> None:
    source = matrix(None, columns=["a", "b"])
    samples = source.samples(2)

    assert samples is not None
    assert np.shape(samples) == (2, 2)
    with pytest.raises(ShapeMismatch, match=r"^Expected 2 features per row; row 0 has 3\.$"):
        source.check([[1.0, 2.0, 3.0]])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"a": 1.0}, "Expected the column b in each row; row 1 has none."),
        ({"a": 1.0, "secret": 1.0}, "Expected the column b in each row; row 1 has none."),
        ({"a": 1.0, "b": 1.0, "secret": 1.0}, "Expected only the columns a, b; row 1 has another."),
        ({}, "Expected the column a in each row; row 1 has none."),
    ],
)
def test_a_column_too_few_or_too_many_is_named_without_the_clients_keys(row: object, message: str) -> None:
    with pytest.raises(ShapeMismatch) as caught:
        matrix(columns=["a", "b"]).check([[1.0, 2.0], row])

    assert str(caught.value) == message


@pytest.mark.parametrize(("shape", "columns"), [((3,), ["a", "b"]), ((2, 2), ["a", "b"])])
def test_columns_that_do_not_name_each_feature_are_refused(shape: tuple[int, ...], columns: list[str]) -> None:
    with pytest.raises(CardInvalid, match=r"^input\.columns names 2 features; the graph takes x float32 \[any, "):
        matrix(*shape, columns=columns)


@pytest.mark.parametrize("dtype", [*NUMBERS, np.bool_, np.object_])
@pytest.mark.parametrize("shape", [(3,), (2, 2)])
def test_samples_fit_the_graph(dtype: type[np.generic], shape: tuple[int, ...]) -> None:
    source = matrix(*shape, dtype=dtype)

    samples = source.samples(4)

    assert samples is not None
    rows = array(source, list(samples))
    assert rows.shape == (4, *shape)
    assert rows.dtype == dtype
    assert rows.tolist() == samples == source.samples(4)
    assert len({repr(row) for row in samples}) == 4


@pytest.mark.parametrize("shape", [(None,), (2, None), (None, 2)])
def test_there_are_no_samples_of_a_size_that_is_not_known(shape: tuple[int | None, ...]) -> None:
    assert matrix(*shape).samples(1) is None
