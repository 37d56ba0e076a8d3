import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from scipy.special import entr, logsumexp
from scipy.stats import entropy as scipy_entropy

from softgate.numerics.activations import softmax
from softgate.numerics.confidence import energy, entropy, entropy_of_labels, margin, max_probability

SCORES = {"max_probability": max_probability, "margin": margin, "entropy": entropy}
LOGITS = np.random.default_rng(0).normal(scale=8, size=(100, 9))

some_logits = arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 12)), elements=st.floats(-50, 50))


def test_known_values() -> None:
    probabilities = np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0], [0.375, 0.25, 0.375]])

    assert_array_equal(max_probability(probabilities), [0.5, 1.0, 0.375])
    assert_array_equal(margin(probabilities), [0.25, 1.0, 0.0])
    # ln 2 / 2 + 2 * ln 4 / 4 = 1.5 ln 2; a certain row has none.
    assert_allclose(entropy(probabilities)[:2], [1.5 * np.log(2), 0.0])


def test_energy_of_equal_logits_is_the_logit_plus_t_ln_n() -> None:
    # T ln(4 exp(3 / T)) = 3 + T ln 4.
    assert_allclose(energy(np.full((1, 4), 3.0), 2.0), 3 + 2 * np.log(4))


def test_entropy_agrees_with_scipy() -> None:
    assert_allclose(entropy(softmax(LOGITS)), scipy_entropy(softmax(LOGITS), axis=1), rtol=1e-10)


@pytest.mark.parametrize("temperature", [0.05, 0.7, 1.0, 20.0])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_energy_agrees_with_scipy(temperature: float, dtype: type[np.floating]) -> None:
    logits = LOGITS.astype(dtype)

    actual = energy(logits, temperature)

    assert actual.dtype == np.float64
    assert_allclose(actual, temperature * logsumexp(logits.astype(np.float64) / temperature, axis=1), rtol=1e-12)


def test_energy_of_extreme_logits_is_finite() -> None:
    logits = np.array([[1e4, -1e4], [-1e4, -1e4], [3, -90], [20, -70]], np.float16)

    assert_allclose(energy(logits, 0.05), [1e4, -1e4 + 0.05 * np.log(2), 3, 20])


def test_energy_of_log_probabilities_says_nothing() -> None:
    assert_allclose(energy(np.log(softmax(LOGITS)), 1.0), 0, atol=1e-12)


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan, np.inf])
def test_energy_refuses_a_temperature_that_is_none(temperature: float) -> None:
    with pytest.raises(ValueError, match=r"Expected a finite temperature above 0; got "):
        energy(LOGITS, temperature)


def test_energy_of_a_row_that_is_not_finite_harms_no_other() -> None:
    logits = np.array([[1.0, 2.0], [np.inf, np.inf], [np.nan, 0.0]])

    assert_array_equal(energy(logits, 0.7)[:1], energy(logits[:1], 0.7))


@given(logits=some_logits)
def test_scores_stay_in_their_range(logits: NDArray[np.float64]) -> None:
    probabilities = softmax(logits)
    n_classes = logits.shape[1]

    assert (max_probability(probabilities) >= (1 - 1e-12) / n_classes).all()
    assert ((margin(probabilities) >= 0) & (margin(probabilities) <= 1)).all()
    assert (entropy(probabilities) >= 0).all()
    assert (entropy(probabilities) <= np.log(n_classes) + 1e-12).all()
    assert (energy(logits, 1.0) >= logits.max(axis=1)).all()


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("n_classes", [1, 2, 10_000])
def test_order_of_the_classes_does_not_matter(name: str, n_classes: int) -> None:
    probabilities = softmax(np.random.default_rng(1).normal(size=(5, n_classes)))

    actual = SCORES[name](probabilities)

    assert actual.dtype == np.float64
    assert_allclose(SCORES[name](probabilities[:, ::-1]), actual, rtol=1e-12)


def test_margin_is_the_gap_between_the_two_largest() -> None:
    probabilities = softmax(LOGITS)

    falling = -np.sort(-probabilities, axis=1)

    assert_array_equal(margin(probabilities), falling[:, 0] - falling[:, 1])


def test_one_class_has_no_rival() -> None:
    probabilities = np.array([[0.8], [0.3]])

    assert_array_equal(margin(probabilities), [0.8, 0.3])


def test_entropy_of_a_certain_row_is_a_positive_zero() -> None:
    assert not np.signbit(entropy(np.array([[1.0, 0.0], [0.0, 1.0]]))).any()


@pytest.mark.parametrize("name", SCORES)
def test_no_rows_give_no_scores(name: str) -> None:
    assert SCORES[name](np.empty((0, 3))).shape == (0,)
    assert energy(np.empty((0, 3)), 1.0).shape == (0,)


@given(arrays(np.float64, (3, 4), elements=st.floats(0, 1)))
def test_the_entropy_of_labels_is_that_of_independent_variables(probabilities: NDArray[np.float64]) -> None:
    expected = (entr(probabilities) + entr(1 - probabilities)).sum(axis=1)

    assert_allclose(entropy_of_labels(probabilities), expected, atol=1e-12)


def test_the_entropy_of_labels_by_hand() -> None:
    probabilities = np.array([[0.5, 1.0, 0.0], [0.25, 0.5, 0.5]])

    # ln 2; 2 ln 2 - 3/4 ln 3, and twice ln 2.
    assert_allclose(entropy_of_labels(probabilities), [0.693147, 1.948630], rtol=1e-6)
