from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, log_expit, logit, logsumexp, xlogy

from softgate.numerics.activations import log_softmax, softmax
from softgate.runtime.outputs import LEAST_PROBABILITY, OUTPUTS, from_probabilities

LOGITS = np.random.default_rng(0).normal(scale=4, size=(20, 5))
ANSWERS = {"logits": LOGITS, "probabilities": softmax(LOGITS), "log_probabilities": log_softmax(LOGITS)}
LABEL_ANSWERS = {"logits": LOGITS, "probabilities": expit(LOGITS), "log_probabilities": log_expit(LOGITS)}
DTYPES = [np.float16, np.float32, np.float64]
# Half a unit in the last place of a number near 1, for what a conversion to the type may cost.
ROUNDING = {np.float16: 1e-3, np.float32: 1e-6, np.float64: 1e-12}

shares = arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.floats(0, 1))
dtypes = st.sampled_from(DTYPES)


@pytest.mark.parametrize("kind", OUTPUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_kind_leads_to_the_probabilities_of_its_logits(kind: str, dtype: type[np.floating]) -> None:
    answer = ANSWERS[kind].astype(dtype)

    found = softmax(OUTPUTS[kind].of_classes(answer))

    assert_allclose(found, softmax(LOGITS), rtol=1e-4 if dtype is np.float32 else 1e-10)


@pytest.mark.parametrize("kind", OUTPUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_kind_leads_to_the_probabilities_of_its_labels(kind: str, dtype: type[np.floating]) -> None:
    answer = LABEL_ANSWERS[kind].astype(dtype)

    assert_allclose(expit(OUTPUTS[kind].of_labels(answer)), expit(LOGITS), rtol=0, atol=4 * ROUNDING[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_softmax_of_probabilities_is_the_probabilities(dtype: type[np.floating]) -> None:
    probabilities = np.array([[0.5, 0.25, 0.25], [0.125, 0.875, 0.0], [1.0, 0.0, 0.0]])

    assert_allclose(softmax(from_probabilities(probabilities.astype(dtype))), probabilities, rtol=0, atol=3e-12)


@given(shares, dtypes)
def test_any_probabilities_come_back_from_their_logits(values: Any, dtype: type[np.floating]) -> None:
    # A row of zeros is no distribution; its first class takes all.
    values[:, 0] += values.sum(axis=1) == 0
    rounded = (values / values.sum(axis=1, keepdims=True)).astype(dtype)

    logits = OUTPUTS["probabilities"].of_classes(rounded)

    assert np.isfinite(logits).all()
    assert_allclose(softmax(logits), rounded.astype(np.float64), rtol=0, atol=4 * ROUNDING[dtype] * values.shape[1])


@given(shares, dtypes)
def test_any_log_probabilities_come_back_from_their_logits(values: Any, dtype: type[np.floating]) -> None:
    values[:, 0] += values.sum(axis=1) == 0
    exact = values / values.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", under="ignore"):
        logs = np.log(exact).astype(dtype)

    logits = OUTPUTS["log_probabilities"].of_classes(logs)

    assert np.isfinite(logits).all()
    assert logits.dtype == dtype
    assert_allclose(softmax(logits), exact, rtol=0, atol=20 * ROUNDING[dtype])


@given(shares, dtypes)
def test_any_probability_of_a_label_comes_back_from_its_log_odds(values: Any, dtype: type[np.floating]) -> None:
    rounded = values.astype(dtype)

    odds = OUTPUTS["probabilities"].of_labels(rounded)

    assert np.isfinite(odds).all()
    assert_allclose(expit(odds), rounded.astype(np.float64), rtol=1e-12, atol=2 * LEAST_PROBABILITY)


@given(shares)
def test_log_odds_of_a_probability_and_of_its_logarithm_are_the_same(values: Any) -> None:
    with np.errstate(divide="ignore"):
        logs = np.log(values)

    of_values, of_logs = OUTPUTS["probabilities"].of_labels(values), OUTPUTS["log_probabilities"].of_labels(logs)

    assert_allclose(expit(of_logs), expit(of_values), rtol=1e-9, atol=3e-12)


@given(arrays(np.float64, (3, 4), elements=st.floats(-25, 25)))
def test_log_odds_are_those_of_scipy(logits: Any) -> None:
    p = expit(logits)

    odds = OUTPUTS["probabilities"].of_labels(p)

    assert_allclose(odds, logit(p), rtol=1e-12, atol=1e-12)
    # The cross entropy of them is that of the probabilities.
    cross = -(xlogy(p, p) + xlogy(1 - p, 1 - p))
    assert_allclose(-(p * log_expit(odds) + (1 - p) * log_expit(-odds)), cross, rtol=0, atol=1e-10)
    assert_allclose(OUTPUTS["log_probabilities"].of_labels(log_expit(logits)), logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("p", "odds"),
    [
        (0.5, 0.0),
        (0.75, np.log(3)),
        (0.0, -27.631021115927549),  # ln 1e-12 - ln(1 - 1e-12)
        (1.0, 27.631021),
        (1e-300, -27.631021115927549),
        (1 - 1e-9, 20.723265836),  # ln 1e9
    ],
)
def test_log_odds_by_hand(p: float, odds: float) -> None:
    column = np.array([[p]])

    # 1 - 1e-12 itself is rounded to 1e-16, a relative 1e-4 of its distance from 1.
    assert_allclose(OUTPUTS["probabilities"].of_labels(column), [[odds]], atol=1e-4)
    with np.errstate(divide="ignore"):
        assert_allclose(OUTPUTS["log_probabilities"].of_labels(np.log(column)), [[odds]], atol=1e-4)
    assert_array_equal(OUTPUTS["logits"].of_labels(column), column)


@pytest.mark.parametrize("dtype", DTYPES)
def test_certainty_stays_certain_and_finite_in_every_type(dtype: type[np.floating]) -> None:
    ends = np.array([[0.0, 1.0]], dtype=dtype)
    with np.errstate(divide="ignore"):
        logs = np.log(ends)

    for odds in (OUTPUTS["probabilities"].of_labels(ends), OUTPUTS["log_probabilities"].of_labels(logs)):
        assert_allclose(expit(odds), [[0, 1]], rtol=0, atol=2e-12)


@pytest.mark.parametrize("kind", OUTPUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_stays_nan(kind: str, dtype: type[np.floating]) -> None:
    values = np.array([[np.nan, 0.0], [0.0, 1.0]], dtype=dtype)

    for found in (OUTPUTS[kind].of_classes(values), OUTPUTS[kind].of_labels(values)):
        assert_array_equal(np.isnan(found), np.isnan(values))


@pytest.mark.parametrize("kind", OUTPUTS)
@pytest.mark.parametrize("infinity", [np.inf, -np.inf])
def test_an_infinity_does_not_become_an_answer(kind: str, infinity: float) -> None:
    values = np.array([[infinity, 0.0], [0.0, 0.5]])

    for found in (OUTPUTS[kind].of_classes(values), OUTPUTS[kind].of_labels(values)):
        assert np.isfinite(found[1]).all()
        # Minus infinity is the logarithm of a probability that underflowed.
        assert np.isfinite(found[0, 0]) == (kind == "log_probabilities" and infinity < 0)


def test_probabilities_of_zero_stay_finite() -> None:
    assert_allclose(from_probabilities(np.array([[0.0, 1.0], [1e-300, -0.0]])), np.log([[1e-12, 1.0], [1e-12, 1e-12]]))


def test_what_is_no_probability_stays_what_it_is() -> None:
    values = [[np.nan, np.inf, -np.inf]]

    assert_array_equal(from_probabilities(np.array(values)), values)


def test_only_logits_have_an_energy() -> None:
    assert [name for name, kind in OUTPUTS.items() if kind.has_energy] == ["logits"]
    assert_allclose(logsumexp(log_softmax(LOGITS), axis=1), 0, atol=1e-12)


def test_a_log_probability_of_minus_infinity_stays_finite_as_a_probability_of_zero_does() -> None:
    from_logs = OUTPUTS["log_probabilities"].of_classes
    (floored,) = from_logs(np.array([[0.0, -np.inf]]))

    assert_allclose(floored, from_probabilities(np.array([[1.0, 0.0]]))[0])
    deep = np.array([[0.0, -60.0, -40.0, -np.inf]], dtype=np.float32)
    assert_array_equal(from_logs(deep), np.array([[0, -60, -40, -60]], dtype=np.float32))
    assert from_logs(deep).dtype == np.float32
    assert np.isnan(from_logs(np.array([[0.0, np.nan]]))).any()
