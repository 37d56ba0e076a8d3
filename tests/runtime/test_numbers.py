from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softgate.errors import InvalidInput, NonFiniteInput
from softgate.runtime.inputs.numbers import cast, element, is_whole, made_up, misfit

FLOATS = [np.float16, np.float32, np.float64]
INTEGERS = [np.int8, np.uint8, np.int32, np.int64]
EVERY = [*FLOATS, *INTEGERS, np.bool_, np.object_]


def fits(values: Any, dtype: type[np.generic], *, missing: bool = False) -> Any:
    return np.asarray(cast(values, np.dtype(dtype), missing=missing)[1]).tolist()


@pytest.mark.parametrize("dtype", EVERY)
def test_a_type_has_its_values_in_json(dtype: type[np.generic]) -> None:
    kind = np.dtype(dtype).kind

    assert element(np.dtype(dtype), missing=False) == {"f": float, "i": int, "u": int, "b": bool, "O": str}[kind]
    assert (element(np.dtype(dtype), missing=True) == float | None) == (kind == "f")


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1), st.sampled_from(FLOATS))
def test_a_float_fits_where_it_is_finite_in_its_type(values: list[float], dtype: type[np.floating]) -> None:
    with np.errstate(over="ignore"):
        expected = np.isfinite(np.array(values).astype(dtype)).tolist()

    assert fits(values, dtype) == expected


@given(st.lists(st.integers() | st.floats(), min_size=1), st.sampled_from(INTEGERS))
def test_an_integer_fits_where_it_arrives_as_it_was(values: list[float], dtype: type[np.signedinteger[Any]]) -> None:
    limits = np.iinfo(dtype)

    array, found = cast(values, np.dtype(dtype), missing=False)

    assert array.dtype == dtype
    # Python compares integers with floats exactly.
    assert found.tolist() == [limits.min <= value <= limits.max and value == value // 1 for value in values]
    assert all(kept == value for kept, value, held in zip(array.tolist(), values, found, strict=True) if held)


@pytest.mark.parametrize("dtype", FLOATS)
def test_none_fits_where_what_is_missing_may_be_missing(dtype: type[np.floating]) -> None:
    values = [[None, 1.0], [float("nan"), None]]

    assert fits(values, dtype, missing=True) == [[True, True], [False, True]]
    assert fits(values, dtype) == [[False, True], [False, False]]


@pytest.mark.parametrize("dtype", EVERY)
@pytest.mark.parametrize("value", [5, None, "a", True, {}, 1.5, 10**400])
def test_a_value_in_no_list_raises_nothing_unforeseen(dtype: type[np.generic], value: object) -> None:
    try:
        array, found = cast(value, np.dtype(dtype), missing=True)  # type: ignore[arg-type]  # what a client may send
    except (TypeError, ValueError, OverflowError):
        return
    assert array.shape == np.shape(found) == ()


def test_only_true_and_false_are_truth_values() -> None:
    assert fits([True, False, 1, 0, "true", None, 1.0], np.bool_) == [True, True, *[False] * 5]


def test_only_whole_strings_are_strings() -> None:
    assert fits(["", "😀", "\x00", "\ud800", 5, None, b"a"], np.object_) == [True] * 3 + [False] * 4
    assert not is_whole("\ude00\ud83d")


@pytest.mark.parametrize(
    ("dtype", "kind", "message"),
    [
        (np.float16, NonFiniteInput, "Expected numbers that fit float16; row 3 does not."),
        (np.uint8, NonFiniteInput, "Expected integers that fit uint8; row 3 does not."),
        (np.bool_, InvalidInput, "Expected true or false; row 3 has something else."),
        (np.object_, InvalidInput, "Expected strings of whole characters; row 3 has something else."),
    ],
)
def test_what_does_not_fit_is_refused_as_what_it_is(
    dtype: type[np.generic], kind: type[Exception], message: str
) -> None:
    refusal = misfit(np.dtype(dtype), place="row 3")

    assert type(refusal) is kind
    assert str(refusal) == message


@pytest.mark.parametrize("dtype", EVERY)
@pytest.mark.parametrize("shape", [(0, 2), (1, 1), (8, 3), (100, 70), (4, 2, 1, 2)])
def test_made_up_values_fit_their_type_and_no_two_rows_are_alike(
    dtype: type[np.generic], shape: tuple[int, ...]
) -> None:
    values = made_up(np.dtype(dtype), shape)

    assert values.shape == shape
    assert values.dtype == dtype
    assert np.all(fits(values.tolist(), dtype))
    assert values.tolist() == made_up(np.dtype(dtype), shape).tolist()
    assert len({repr(row) for row in values.tolist()}) == shape[0]


@pytest.mark.parametrize("dtype", [*INTEGERS, np.bool_])
def test_made_up_integers_are_such_as_any_index_has(dtype: type[np.generic]) -> None:
    assert set(made_up(np.dtype(dtype), (9, 1)).ravel().tolist()) == {0, 1}
