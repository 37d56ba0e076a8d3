import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from softgate.numerics.activations import log_softmax, softmax
from softgate.runtime.outputs import KINDS_WITH_ENERGY, OUTPUTS, from_probabilities

LOGITS = np.random.default_rng(0).normal(scale=4, size=(20, 5))
ANSWERS = {"logits": LOGITS, "probabilities": softmax(LOGITS), "log_probabilities": log_softmax(LOGITS)}


@pytest.mark.parametrize("kind", OUTPUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_kind_leads_to_the_probabilities_of_its_logits(kind: str, dtype: type[np.floating]) -> None:
    answer = ANSWERS[kind].astype(dtype)

    assert_allclose(softmax(OUTPUTS[kind](answer)), softmax(LOGITS), rtol=1e-4 if dtype is np.float32 else 1e-10)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_softmax_of_probabilities_is_the_probabilities(dtype: type[np.floating]) -> None:
    probabilities = np.array([[0.5, 0.25, 0.25], [0.125, 0.875, 0.0], [1.0, 0.0, 0.0]])

    assert_allclose(softmax(from_probabilities(probabilities.astype(dtype))), probabilities, rtol=0, atol=3e-12)


def test_probabilities_of_zero_stay_finite() -> None:
    assert_allclose(from_probabilities(np.array([[0.0, 1.0], [1e-300, -0.0]])), np.log([[1e-12, 1.0], [1e-12, 1e-12]]))


def test_what_is_no_probability_stays_what_it_is() -> None:
    assert_array_equal(from_probabilities(np.array([[np.nan, np.inf]])), [[np.nan, np.inf]])


def test_only_logits_have_an_energy() -> None:
    assert {"logits"} == KINDS_WITH_ENERGY
    assert OUTPUTS.keys() >= KINDS_WITH_ENERGY


def test_a_log_probability_of_minus_infinity_stays_finite_as_a_probability_of_zero_does() -> None:
    (floored,) = OUTPUTS["log_probabilities"](np.array([[0.0, -np.inf]]))

    assert_allclose(floored, OUTPUTS["probabilities"](np.array([[1.0, 0.0]]))[0])
    deep = np.array([[0.0, -60.0, -40.0, -np.inf]], dtype=np.float32)
    assert_array_equal(OUTPUTS["log_probabilities"](deep), np.array([[0, -60, -40, -60]], dtype=np.float32))
    assert OUTPUTS["log_probabilities"](deep).dtype == np.float32
    assert np.isnan(OUTPUTS["log_probabilities"](np.array([[0.0, np.nan]]))).any()
