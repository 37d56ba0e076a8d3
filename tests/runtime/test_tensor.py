from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from softgate.errors import CardInvalid, GraphInvalid
from softgate.runtime.inputs.columns import ColumnsInput
from softgate.runtime.inputs.matrix import MatrixInput
from softgate.runtime.inputs.tensor import TensorKeys, build, read
from softgate.runtime.table import Table
from softgate.types import TensorSpec


def keys(**values: Any) -> TensorKeys:
    return TensorKeys(**{"tensor": None, "columns": None, "missing": None, **values})


def spec(*shape: int | None, name: str = "x", dtype: type[np.generic] = np.float32) -> TensorSpec:
    return TensorSpec(name, np.dtype(dtype), shape)


def kind_of(*specs: TensorSpec, **values: Any) -> type:
    return type(build(specs, keys(**values), tokenizer=None))


def test_the_keys_of_a_card_are_read() -> None:
    mistakes: list[str] = []
    table = Table({"tensor": "x", "columns": ["a", "b"], "missing": True}, place="input", mistakes=mistakes)

    assert read(table) == keys(tensor="x", columns=("a", "b"), missing=True)
    assert read(Table({}, place="input", mistakes=mistakes)) == keys()
    assert mistakes == []


def test_what_says_the_default_is_as_if_it_were_left_out() -> None:
    assert read(Table({"missing": False}, place="input", mistakes=[])) == keys()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tensor": 5}, "input.tensor: got 5, wanted a string."),
        ({"columns": []}, "input.columns: got [], wanted a list of different strings."),
        ({"columns": ["a", "a"]}, "input.columns: got ['a', 'a'], wanted a list of different strings."),
        ({"columns": ["a", ""]}, "input.columns: got ['a', ''], wanted a list of different strings."),
        ({"columns": "a"}, "input.columns: got 'a', wanted a list of different strings."),
        ({"missing": 1}, "input.missing: got 1, wanted true or false."),
    ],
)
def test_a_mistake_in_a_key_is_named(values: dict[str, object], message: str) -> None:
    mistakes: list[str] = []

    read(Table(values, place="input", mistakes=mistakes))

    assert mistakes == [message]


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int8, np.uint8, np.int32, np.int64, np.bool_, np.object_])
def test_the_shape_of_the_graph_says_how_rows_are_written(dtype: type[np.generic]) -> None:
    assert kind_of(spec(None, 2, dtype=dtype)) is MatrixInput
    assert kind_of(spec(None, 2, dtype=dtype), tensor="x") is MatrixInput
    assert kind_of(spec(None, None, 2, 2, dtype=dtype)) is MatrixInput
    assert kind_of(spec(None, dtype=dtype)) is ColumnsInput
    assert kind_of(spec(None, 1, dtype=dtype), spec(None, name="y")) is ColumnsInput


def test_a_tokenizer_beside_a_model_of_numbers_is_refused() -> None:
    with pytest.raises(CardInvalid, match=r"^input\.kind is tensor, yet the model folder holds a tokenizer\.json; "):
        build([spec(None, 2)], keys(), tokenizer=b"{}")


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ([], r"^input\.kind is tensor, which wants a graph with inputs; it has none\.$"),
        ([spec()], r"got x float32 \[\]\.$"),
        ([spec(None, 1), spec(name="y")], r"got y float32 \[\]\.$"),
        ([spec(None, 1), spec(None, None, name="y")], r"got y float32 \[any, any\]\.$"),
        ([spec(None, 1), spec(None, 2, 2, name="y", dtype=np.object_)], r"got y string \[any, 2, 2\]\.$"),
    ],
)
def test_a_graph_that_takes_something_else_is_refused(specs: Sequence[TensorSpec], message: str) -> None:
    with pytest.raises(GraphInvalid, match=message):
        build(specs, keys(), tokenizer=None)


@pytest.mark.parametrize("specs", [[spec(None, 2)], [spec(None, 1), spec(None, 1, name="y")]])
def test_an_input_of_another_name_is_refused(specs: Sequence[TensorSpec]) -> None:
    with pytest.raises(GraphInvalid, match=r"^input\.tensor is y; the graph takes x float32 \[any, "):
        build(specs, keys(tensor="y"), tokenizer=None)


def test_names_for_the_features_of_a_matrix_want_a_matrix() -> None:
    with pytest.raises(
        CardInvalid, match=r"^input\.columns names the features of one matrix; the graph takes x float32"
    ):
        build([spec(None, 1), spec(None, 1, name="y")], keys(columns=("a", "b")), tokenizer=None)
