import json
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from graphs import mixed
from softgate.errors import GraphInvalid, InvalidInput, NonFiniteInput, ShapeMismatch
from softgate.runtime.inputs.columns import ColumnsInput
from softgate.runtime.session import Session
from softgate.types import Rows, TensorSpec

NUMBERS = [np.float16, np.float32, np.float64, np.int8, np.uint8, np.int32, np.int64]
ROW = {"age": 41.5, "plan": "pro", "vip": True, "visits": 7}


def spec(name: str, *shape: int | None, dtype: type[np.generic] = np.float32) -> TensorSpec:
    return TensorSpec(name, np.dtype(dtype), (None, *shape))


def columns(*specs: TensorSpec, missing: bool = False) -> ColumnsInput:
    return ColumnsInput(specs, missing=missing)


def pipeline(*, vector: bool = False, missing: bool = False) -> ColumnsInput:
    return ColumnsInput(Session(mixed(vector=vector), threads=1).inputs, missing=missing)


def fed(source: ColumnsInput, rows: list[Any]) -> dict[str, Any]:
    return {name: array.tolist() for name, array in source.feed(source.check(rows)).items()}


def test_each_column_becomes_a_tensor_of_its_own_type() -> None:
    source = pipeline()

    feed = source.feed(source.check([ROW, {**ROW, "plan": "free", "vip": False}]))

    assert {name: (array.dtype.kind, array.shape) for name, array in feed.items()} == {
        "age": ("f", (2, 1)),
        "plan": ("O", (2, 1)),
        "vip": ("b", (2, 1)),
        "visits": ("i", (2, 1)),
    }
    assert_array_equal(feed["plan"], [["pro"], ["free"]])
    assert all(array.flags.c_contiguous for array in feed.values())


def test_a_graph_of_columns_answers() -> None:
    source, graph = pipeline(vector=True), Session(mixed(vector=True), threads=1)

    (logits,) = graph.run(["logits"], source.feed(source.check([[41.5, "pro", True, 7, 1, 2, 3.5]])))

    assert_array_equal(logits, [[41.5, 1, 1, 7, 6.5]])


@pytest.mark.parametrize(
    "row",
    [
        [41.5, "pro", True, 7],
        {"visits": 7.0, "vip": True, "plan": "pro", "age": 41.5},
        {"age": [41.5], "plan": ["pro"], "vip": [True], "visits": [7]},
        [[41.5], ["pro"], [True], [7]],
    ],
)
def test_a_row_may_be_written_in_several_ways(row: Any) -> None:
    source = pipeline()

    assert source.check([row]).values.tolist() == source.check([ROW]).values.tolist()  # type: ignore[union-attr]


def test_a_wider_input_is_a_list_of_an_object_and_a_part_of_a_flat_list() -> None:
    source = pipeline(vector=True)

    wanted = fed(source, [[1, "a", False, 2, 3.5, 4, 5]])

    assert wanted["scores"] == [[3.5, 4, 5]]
    assert fed(source, [{"age": 1, "plan": "a", "vip": False, "visits": 2, "scores": [3.5, 4, 5]}]) == wanted


def test_an_input_without_a_second_axis_is_a_value_per_row() -> None:
    source = columns(spec("x"), spec("y", dtype=np.object_), spec("z", 2, dtype=np.int64))

    feed = source.feed(source.check([[1, "a", 2, 3], {"x": 4, "y": "b", "z": [5, 6]}]))

    assert {name: array.tolist() for name, array in feed.items()} == {
        "x": [1, 4],
        "y": ["a", "b"],
        "z": [[2, 3], [5, 6]],
    }


def test_a_single_vector_is_a_graph_of_one_column() -> None:
    source = columns(spec("x"))

    assert fed(source, [[1.5], {"x": 2.5}]) == {"x": [1.5, 2.5]}


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("value", [True, False, "1", None, [], [1, 2], {}, {"x": 1}, [[1]], [True], b"1"])
def test_what_is_no_number_is_refused_with_its_column(dtype: type[np.generic], value: object) -> None:
    kind = "numbers" if np.dtype(dtype).kind == "f" else "integers"

    for source in (columns(spec("x", 1, dtype=dtype)), columns(spec("x", dtype=dtype))):
        with pytest.raises(InvalidInput) as caught:
            source.check([{"x": 1}, {"x": value}])
        assert str(caught.value) == f"Expected {kind} in the column x; row 1 has something else."


@pytest.mark.parametrize("value", [0, 1, 1.0, "true", None, [], [[True]]])
def test_what_is_neither_true_nor_false_is_refused_with_its_column(value: object) -> None:
    with pytest.raises(InvalidInput, match=r"^Expected true or false in the column vip; row 1 has something else\.$"):
        pipeline().check([ROW, {**ROW, "vip": value}])


@pytest.mark.parametrize("value", [0, 1.5, True, None, [], ["a", "b"], b"a"])
def test_what_is_no_string_is_refused_with_its_column(value: object) -> None:
    with pytest.raises(InvalidInput, match=r"^Expected strings in the column plan; row 1 has something else\.$"):
        pipeline().check([ROW, {**ROW, "plan": value}])


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\ude00\ud83d"])
def test_half_a_surrogate_pair_is_refused_as_no_number(text: str) -> None:
    wanted = r"^Expected strings of whole characters; row 1, column plan has something else\.$"
    with pytest.raises(InvalidInput, match=wanted) as caught:
        pipeline().check([ROW, {**ROW, "plan": text}])

    assert caught.type is InvalidInput


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("age", 1e39),
        ("age", float("nan")),
        ("age", float("inf")),
        ("visits", 1.5),
        ("visits", 2**63),
        ("visits", 1e300),
    ],
)
def test_a_number_that_the_type_cannot_hold_is_named(column: str, value: float) -> None:
    kind, dtype = ("numbers", "float32") if column == "age" else ("integers", "int64")

    with pytest.raises(NonFiniteInput, match=rf"^Expected {kind} that fit {dtype}; row 1, column {column} does not\.$"):
        pipeline().check([ROW, {**ROW, column: value}])


def test_a_number_that_no_float_holds_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"^Expected numbers in the column age; a row has something else\.$"):
        pipeline().check([{**ROW, "age": 10**400}])


def test_null_is_not_a_number_where_the_card_allows_it() -> None:
    source = pipeline(vector=True, missing=True)

    feed = source.feed(source.check([[None, "a", True, 1, None, 2, None]]))

    assert_array_equal(feed["age"], [[np.nan]])
    assert_array_equal(feed["scores"], [[np.nan, 2, np.nan]])


@pytest.mark.parametrize("column", ["plan", "vip", "visits"])
def test_only_floats_have_a_value_for_what_is_not_known(column: str) -> None:
    with pytest.raises(InvalidInput, match=rf" in the column {column}; row 0 has something else\.$"):
        pipeline(missing=True).check([{**ROW, column: None}])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({key: ROW[key] for key in ("age", "plan", "vip")}, "Expected the column visits in each row; row 1 has none."),
        ({**ROW, "secret": 1}, "Expected only the columns age, plan, vip, visits; row 1 has another."),
        ({"secret": 1}, "Expected the column age in each row; row 1 has none."),
        ({}, "Expected the column age in each row; row 1 has none."),
        ([], "Expected 4 values per row; row 1 has 0."),
        ([1.0, "pro", True], "Expected 4 values per row; row 1 has 3."),
        ([1.0, "pro", True, 1, "secret"], "Expected 4 values per row; row 1 has 5."),
    ],
)
def test_a_value_too_few_or_too_many_is_named_without_the_clients_keys(row: object, message: str) -> None:
    with pytest.raises(ShapeMismatch) as caught:
        pipeline().check([ROW, row])

    assert str(caught.value) == message


@pytest.mark.parametrize("row", [5, "secret", None, True, (1.0, "pro", True, 1)])
def test_a_row_that_is_neither_object_nor_list_is_refused(row: object) -> None:
    with pytest.raises(InvalidInput, match=r"^Expected an object or a list in each row; row 1 is neither\.$"):
        pipeline().check([ROW, row])


@pytest.mark.parametrize("scores", [5, [1, 2], [1, 2, 3, 4], [], [[1, 2, 3]], {"a": 1}, "abc"])
def test_a_wider_input_of_another_width_is_refused(scores: object) -> None:
    with pytest.raises(InvalidInput, match=r"^Expected numbers in the column scores; row 0 has something else\.$"):
        pipeline(vector=True).check([{**ROW, "scores": scores}])


@pytest.mark.parametrize("shape", [(None,), (2, 2), (1, None)])
def test_an_input_that_is_no_column_is_refused(shape: tuple[int | None, ...]) -> None:
    with pytest.raises(
        GraphInvalid, match=r"^input\.kind is tensor, which wants a graph with one tensor, or with inputs"
    ):
        columns(spec("x", 1), spec("y", *shape))


def test_rows_join_and_part_as_one_array() -> None:
    source = pipeline(vector=True)
    rows = [[number, str(number), number % 2 == 0, number, 1, 2, number] for number in range(6)]
    whole = source.check(rows)

    joined = Rows.join([source.check(rows[:1]), source.check(rows[1:4]), source.check(rows[4:])])

    assert np.asarray(joined.values).dtype == np.asarray(whole.values).dtype
    for name, array in source.feed(whole).items():
        assert_array_equal(source.feed(joined)[name], array)
    part = source.feed(Rows(joined.values[2:4]))
    assert {name: array.tolist() for name, array in part.items()} == fed(source, rows[2:4])


def test_samples_are_objects_that_pass_the_check() -> None:
    source = pipeline(vector=True)

    samples = source.samples(5)

    assert samples == json.loads(json.dumps(samples)) == source.samples(5)
    assert len({json.dumps(row) for row in samples}) == 5
    assert len(source.check(samples)) == 5
    assert list(samples[0]) == ["age", "plan", "vip", "visits", "scores"]
