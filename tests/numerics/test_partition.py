import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import entropy as scipy_entropy

from softgate.numerics.activations import softmax
from softgate.numerics.confidence import entropy
from softgate.numerics.partition import partition

wide = arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 12)), elements=st.floats(-1e4, 1e4))


def test_known_values() -> None:
    # exp: 2, 1, 1, of 4. H = ln 2 / 2 + 2 * ln 4 / 4 = 1.5 ln 2.
    found = partition(np.array([[np.log(2), 0.0, 0.0]]))

    assert_allclose(found.probabilities, [[0.5, 0.25, 0.25]])
    assert_allclose(found.log_sum, [np.log(4)])
    assert_allclose(found.entropy, [1.5 * np.log(2)])


@given(wide)
def test_softmax_is_bit_for_bit_and_the_rest_agrees_with_scipy(logits: NDArray[np.float64]) -> None:
    found = partition(logits)

    assert_array_equal(found.probabilities, softmax(logits))
    assert_allclose(found.log_sum, logsumexp(logits, axis=1), rtol=1e-14, atol=1e-14)
    assert_allclose(found.entropy, scipy_entropy(softmax(logits), axis=1), rtol=1e-12, atol=1e-14)


@given(wide)
def test_entropy_is_within_its_bounds(logits: NDArray[np.float64]) -> None:
    found = partition(logits).entropy

    assert (found >= 0).all()
    assert (found <= np.log(logits.shape[1]) + 1e-12).all()
    assert_allclose(found, entropy(softmax(logits)), rtol=1e-10, atol=1e-13)


def test_a_certain_row_has_no_entropy() -> None:
    (found,) = partition(np.array([[1000.0, 0.0, -1e300]])).entropy.tolist()

    assert str(found) == "0.0"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rows_do_not_depend_on_each_other(dtype: type[np.floating]) -> None:
    logits = np.random.default_rng(0).normal(scale=8, size=(50, 9)).astype(dtype)
    together, alone = partition(logits), partition(logits[7:8])

    for name in ("probabilities", "log_sum", "entropy"):
        assert_array_equal(getattr(together, name)[7:8], getattr(alone, name))


def test_an_overflowing_difference_takes_no_mass() -> None:
    found = partition(np.array([[1e308, -1e308]]))

    assert_array_equal(found.probabilities, [[1.0, 0.0]])
    assert_array_equal(found.entropy, [0.0])
    assert_array_equal(found.log_sum, [1e308])


def test_ten_thousand_equal_classes() -> None:
    assert_allclose(partition(np.zeros((1, 10_000))).entropy, [np.log(10_000)])
