from collections.abc import Sequence

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from softgate.errors import CardInvalid, GraphInvalid, InvalidInput, NonFiniteInput, ShapeMismatch
from softgate.runtime.inputs.tensor import TensorInput
from softgate.types import TensorSpec

SIZES: dict[type[np.generic], tuple[int, int]] = {
    np.int8: (-(2**7), 2**7 - 1),
    np.uint8: (0, 2**8 - 1),
    np.int32: (-(2**31), 2**31 - 1),
    np.int64: (-(2**63), 2**63 - 1),
}


def tensor_input(*, dtype: type[np.generic] = np.float32, n_features: int | None = 2) -> TensorInput:
    spec = TensorSpec("x", np.dtype(dtype), (None, n_features))
    return TensorInput([spec], tensor=None, max_tokens=1, tokenizer=None)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_numbers_become_one_tensor_of_the_graphs_type(dtype: type[np.floating]) -> None:
    source = tensor_input(dtype=dtype)

    feed = source.feed(source.check([[1, 2.5], [-3, 0]]))

    assert feed["x"].dtype == dtype
    assert_array_equal(feed["x"], [[1, 2.5], [-3, 0]])
    assert source.element is float


@pytest.mark.parametrize("dtype", SIZES)
def test_whole_numbers_reach_the_ends_of_their_type(dtype: type[np.generic]) -> None:
    source = tensor_input(dtype=dtype)

    rows = source.check([list(SIZES[dtype])]).values

    assert isinstance(rows, np.ndarray)
    assert rows.dtype == dtype
    assert rows.tolist() == [list(SIZES[dtype])]
    assert source.element is int


@pytest.mark.parametrize("dtype", SIZES)
@pytest.mark.parametrize("beyond", [lambda low, _: low - 1, lambda _, high: high + 1, lambda _, high: high * 10**30])
def test_a_whole_number_beyond_its_type_is_named(dtype: type[np.generic], beyond: object) -> None:
    assert callable(beyond)
    with pytest.raises(NonFiniteInput, match=rf"^Expected numbers that fit {np.dtype(dtype)}; row 1, feature 0 does"):
        tensor_input(dtype=dtype).check([[1, 2], [beyond(*SIZES[dtype]), 2]])


@pytest.mark.parametrize("number", [1.5, 1e300, float("nan"), float("inf")])
def test_a_number_that_is_not_whole_is_none_for_a_graph_of_whole_ones(number: float) -> None:
    with pytest.raises(NonFiniteInput, match="fit int64; row 0, feature 1 does not"):
        tensor_input(dtype=np.int64).check([[1, number]])


def test_a_whole_number_may_be_written_with_a_point() -> None:
    assert_array_equal(np.asarray(tensor_input(dtype=np.int64).check([[1.0, -2.0]]).values), [[1, -2]])


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
        tensor_input(dtype=dtype).check([[1.0, 2.0], [3.0, number]])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1.0]], "Expected 2 features per row; row 0 has 1."),
        ([[1.0, 2.0], [1.0, 2.0, 3.0]], "Expected 2 features per row; row 1 has 3."),
        ([[]], "Expected 2 features per row; row 0 has 0."),
    ],
)
def test_a_row_of_another_length_is_named(rows: list[list[float]], message: str) -> None:
    with pytest.raises(ShapeMismatch) as caught:
        tensor_input().check(rows)

    assert str(caught.value) == message


def test_rows_of_a_graph_with_a_free_width_must_agree() -> None:
    source = tensor_input(n_features=None)
    source.check([[1.0, 2.0, 3.0]])

    with pytest.raises(ShapeMismatch, match=r"^Expected 2 features per row; row 1 has 1\.$"):
        source.check([[1.0, 2.0], [1.0]])
    with pytest.raises(ShapeMismatch, match=r"^Expected at least 1 feature per row; got 0\.$"):
        source.check([[], []])


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
@pytest.mark.parametrize("row", [5, None, "ab", ["a", "b"], [[1], [2]], [{}, {}], {"a": 1, "b": 2}])
def test_a_row_that_is_no_list_of_numbers_is_refused(dtype: type[np.generic], row: object) -> None:
    with pytest.raises(InvalidInput, match=r"^Expected a list of numbers in each row; row 1 is something else\.$"):
        tensor_input(dtype=dtype).check([[1, 2], row])


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_rows_of_rows_are_refused(dtype: type[np.generic]) -> None:
    with pytest.raises(InvalidInput, match="row 0 is something else"):
        tensor_input(dtype=dtype).check([[[1], [2]], [[3], [4]]])


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_a_missing_number_is_refused(dtype: type[np.generic]) -> None:
    with pytest.raises(InvalidInput, match="row 1"):
        tensor_input(dtype=dtype).check([[1, 2], [1, None]])


def test_a_number_that_no_float_holds_is_refused() -> None:
    with pytest.raises(InvalidInput, match="row 1 is something else"):
        tensor_input().check([[1, 2], [1, 10**400]])


def test_samples_fit_the_graph() -> None:
    samples = tensor_input(n_features=3).samples(2)

    assert samples is not None
    assert np.asarray(samples.values).shape == (2, 3)
    assert tensor_input(n_features=None).samples(1) is None


def test_a_tokenizer_beside_a_model_of_numbers_is_refused() -> None:
    spec = TensorSpec("x", np.dtype(np.float32), (None, 2))
    with pytest.raises(CardInvalid, match=r"^input\.kind is tensor, yet the model folder holds a tokenizer\.json; "):
        TensorInput([spec], tensor=None, max_tokens=1, tokenizer=b"{}")


@pytest.mark.parametrize(
    ("specs", "tensor"),
    [
        ([], None),
        ([TensorSpec("x", np.dtype(np.float32), (None, 2))] * 2, None),
        ([TensorSpec("x", np.dtype(np.float32), (None,))], None),
        ([TensorSpec("x", np.dtype(np.bool_), (None, 2))], None),
        ([TensorSpec("x", np.dtype(np.object_), (None, 2))], None),
        ([TensorSpec("x", np.dtype(np.float32), (None, 2))], "y"),
    ],
)
def test_a_graph_that_takes_something_else_is_refused(specs: Sequence[TensorSpec], tensor: str | None) -> None:
    with pytest.raises(GraphInvalid, match=r"^input\.kind is tensor, which wants a graph with one numeric input "):
        TensorInput(specs, tensor=tensor, max_tokens=1, tokenizer=None)
