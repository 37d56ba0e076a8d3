from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit
from scipy.special import log_softmax as scipy_log_softmax
from scipy.special import softmax as scipy_softmax

from softgate.numerics.activations import ACTIVATIONS, Activation, entmax15, log_softmax, sigmoid, softmax, sparsemax

# logits, probabilities: worked out by hand, not by the code under test.
KNOWN_VALUES: dict[str, tuple[list[list[float]], list[list[float]]]] = {
    # exp gives 1 and 3; divide by 4.
    "softmax": ([[0.0, np.log(3.0)]], [[0.25, 0.75]]),
    # 1 / (1 + 1) and 1 / (1 + 1/3).
    "sigmoid": ([[0.0, np.log(3.0)]], [[0.5, 0.75]]),
    # Two classes stay: tau = (0.5 + 0 - 1) / 2 = -0.25, and -1 lies below it.
    "sparsemax": ([[0.5, 0.0, -1.0]], [[0.75, 0.25, 0.0]]),
    # Halves 0.8, 0.6, -0.5 with tau = 0: 0.8^2 + 0.6^2 = 1, and -0.5 lies below it.
    "entmax15": ([[1.6, 1.2, -1.0]], [[0.64, 0.36, 0.0]]),
}
EXTREME = [[3.0, -90.0], [20.0, -70.0], [5.0, -1e4], [1e4, -1e4], [-1e4, -1e4], [1e4, 1e4], [88.0, 89.0]]
# One probability per row to give away: the others are for labels that may hold together.
EXCLUSIVE = [name for name in ACTIVATIONS if name != "sigmoid"]

by_name = pytest.mark.parametrize("name", ACTIVATIONS)
by_exclusive_name = pytest.mark.parametrize("name", EXCLUSIVE)
by_dtype = pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
some_logits = arrays(
    np.float64, st.tuples(st.integers(1, 4), st.integers(1, 12)), elements=st.floats(-1e4, 1e4, width=32)
)


def check_extreme_logits_stay_probabilities(activation: Activation, dtype: type[np.floating]) -> None:
    actual = activation(np.array(EXTREME, dtype))

    assert np.isfinite(actual).all()
    assert ((actual >= 0) & (actual <= 1)).all()


def test_every_activation_has_a_known_value() -> None:
    assert KNOWN_VALUES.keys() == ACTIVATIONS.keys()


@by_name
@by_dtype
def test_known_value_is_met_in_every_dtype(name: str, dtype: type[np.floating]) -> None:
    logits, expected = KNOWN_VALUES[name]

    actual = ACTIVATIONS[name](np.array(logits, dtype))

    assert actual.dtype == np.float64
    assert_allclose(actual, expected, rtol=4 * float(np.finfo(dtype).eps))


@by_name
def test_input_is_left_as_it_was(name: str) -> None:
    logits = np.array([[1.0, 2.0, 3.0]])

    ACTIVATIONS[name](logits)

    assert_array_equal(logits, [[1.0, 2.0, 3.0]])


@by_name
@by_dtype
def test_extreme_logits_stay_probabilities(name: str, dtype: type[np.floating]) -> None:
    check_extreme_logits_stay_probabilities(ACTIVATIONS[name], dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_logits_tell_a_softmax_that_subtracts_the_largest_magnitude(dtype: type[np.floating]) -> None:
    def wrong_softmax(logits: NDArray[np.floating]) -> Any:
        largest = np.take_along_axis(logits, np.abs(logits).argmax(axis=1)[:, None], axis=1)
        with np.errstate(all="ignore"):
            e = np.exp(logits - largest)
            return np.divide(e, e.sum(axis=1, keepdims=True))

    with pytest.raises(AssertionError):
        check_extreme_logits_stay_probabilities(wrong_softmax, dtype)


@by_exclusive_name
@by_dtype
def test_extreme_rows_have_the_obvious_winner(name: str, dtype: type[np.floating]) -> None:
    logits = np.array([[3, -90], [20, -70], [-1e4, 1e4], [-1e4, -1e4]], dtype)

    assert_allclose(ACTIVATIONS[name](logits), [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.5, 0.5]], atol=1e-39)


@by_name
@given(logits=some_logits)
def test_values_are_between_0_and_1(name: str, logits: NDArray[np.float64]) -> None:
    actual = ACTIVATIONS[name](logits)

    assert actual.shape == logits.shape
    assert ((actual >= 0) & (actual <= 1)).all()


@by_exclusive_name
@given(logits=some_logits)
def test_rows_sum_to_1(name: str, logits: NDArray[np.float64]) -> None:
    assert_allclose(ACTIVATIONS[name](logits).sum(axis=1), 1, rtol=1e-12)


@by_exclusive_name
@given(logits=some_logits, shift=st.floats(-1e4, 1e4))
def test_a_shift_of_the_row_changes_nothing(name: str, logits: NDArray[np.float64], shift: float) -> None:
    # The sums logits + shift themselves round, in the 12th digit.
    assert_allclose(ACTIVATIONS[name](logits + shift), ACTIVATIONS[name](logits), atol=1e-10)


@by_name
@given(logits=some_logits)
def test_a_larger_logit_never_gets_less(name: str, logits: NDArray[np.float64]) -> None:
    rising = np.sort(logits, axis=1)

    assert (np.diff(ACTIVATIONS[name](rising), axis=1) >= -1e-15).all()


@by_name
@pytest.mark.parametrize("n_classes", [1, 2, 150, 10_000])
def test_a_row_gets_the_same_bits_alone_as_in_a_batch(name: str, n_classes: int) -> None:
    logits = np.random.default_rng(0).normal(scale=5, size=(7, n_classes)).astype(np.float32)

    batch = ACTIVATIONS[name](logits)

    assert_array_equal(ACTIVATIONS[name](np.asfortranarray(logits)), batch)
    for i in range(len(logits)):
        assert_array_equal(ACTIVATIONS[name](logits[i : i + 1])[0], batch[i])


@by_exclusive_name
def test_one_class_has_all_the_mass(name: str) -> None:
    assert_array_equal(ACTIVATIONS[name](np.array([[-7.0], [0.0], [1e4]])), [[1], [1], [1]])


@pytest.mark.parametrize("activation", [sparsemax, entmax15])
def test_a_clear_winner_of_a_sparse_activation_has_exactly_all(activation: Activation) -> None:
    logits = np.random.default_rng(0).normal(size=(100, 150)) - 9
    logits[:, 7] = 0

    assert_array_equal(activation(logits), np.tile(np.eye(150)[7], (100, 1)))


@by_exclusive_name
def test_10_000_classes_share_the_mass(name: str) -> None:
    logits = np.full((2, 10_000), -1e4)
    logits[1, 4321] = 1e4

    actual = ACTIVATIONS[name](logits)

    # All of a row alike: 1 / 10 000 each. One far above the rest: everything.
    assert_allclose(actual[0], 1e-4, rtol=1e-9)
    assert actual[1].argmax() == 4321
    assert_allclose(actual[1, 4321], 1)


@by_name
def test_no_rows_give_no_rows(name: str) -> None:
    actual = ACTIVATIONS[name](np.empty((0, 3), np.float32))

    assert actual.shape == (0, 3)
    assert actual.dtype == np.float64


@by_name
def test_a_row_that_is_not_finite_harms_no_other(name: str) -> None:
    logits = np.array([[1.0, 2.0, 3.0], [np.inf, np.inf, 0.0], [np.nan, 0.0, 1.0], [-np.inf, -np.inf, -np.inf]])

    assert_array_equal(ACTIVATIONS[name](logits)[:1], ACTIVATIONS[name](logits[:1]))


def test_softmax_family_agrees_with_scipy() -> None:
    logits = np.random.default_rng(0).normal(scale=20, size=(200, 7))

    assert_allclose(softmax(logits), scipy_softmax(logits, axis=1), rtol=1e-12)
    assert_allclose(log_softmax(logits), scipy_log_softmax(logits, axis=1), rtol=1e-12)
    assert_allclose(sigmoid(logits), expit(logits), rtol=1e-12)


def test_log_softmax_is_exact_where_softmax_is_0() -> None:
    # ln(1 / (1 + exp(-2000))) is 0 and the other -2000, to all digits.
    assert_array_equal(log_softmax(np.array([[1000.0, -1000.0]], np.float32)), [[0.0, -2000.0]])
    assert log_softmax(np.empty((0, 3))).shape == (0, 3)


# The same definition solved another way: tau as the root of (sum of the row) - 1, by bisection and interpolation.
@pytest.mark.parametrize(
    ("activation", "scale", "power"), [(sparsemax, 1.0, 1), (entmax15, 0.5, 2)], ids=["sparsemax", "entmax15"]
)
@pytest.mark.parametrize("spread", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("n_classes", [2, 7, 150])
def test_sparse_activation_agrees_with_a_root_finder(
    activation: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    scale: float,
    power: int,
    spread: float,
    n_classes: int,
) -> None:
    logits = np.random.default_rng(n_classes).normal(scale=spread, size=(30, n_classes))

    expected = []
    for row in scale * logits:
        tau = brentq(
            lambda tau, row=row: np.sum(np.maximum(row - tau, 0) ** power) - 1,
            row.max() - 1,
            row.max(),
            xtol=1e-15,
            rtol=1e-15,
        )
        expected.append(np.maximum(row - tau, 0) ** power)

    assert_allclose(activation(logits), expected, atol=1e-12)
