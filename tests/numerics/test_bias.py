"""A temperature and a shift per class: against scipy's minimiser, by properties, and on CLINC150."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import minimize

from shared_data import clinc_logits
from softgate.numerics.activations import log_softmax
from softgate.numerics.bias import fit_biased_temperature
from softgate.numerics.reliability import expected_calibration_error
from softgate.numerics.temperature import fit_robust_temperature, fit_temperature

RNG = np.random.default_rng(0)
LOGITS = 2 * RNG.normal(size=(400, 5))
SHIFT = np.array([1.0, 0.0, 0.0, 0.0, -1.0])
TARGETS = (LOGITS + 1.5 * RNG.gumbel(size=LOGITS.shape) + 1.5 * SHIFT).argmax(axis=1)
CLINC = ["tfidf_svc", "minilm_lr", "minilm_mlp"]


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_fit_agrees_with_scipys_minimiser(noise: float) -> None:
    def loss(x: np.ndarray) -> float:
        own = log_softmax(x[-1] * LOGITS + x[:-1])[np.arange(400), TARGETS]
        return float(-np.log((1 - noise) * np.exp(own) + noise / 5).sum() + 2 * x[:-1] @ x[:-1])

    expected = minimize(loss, np.append(np.zeros(5), 1.0), method="BFGS", options={"gtol": 1e-7})
    fit = fit_biased_temperature(LOGITS, TARGETS, noise=noise)

    assert_allclose([*fit.bias, 1 / fit.temperature], expected.x, atol=1e-4)
    assert loss(np.append(fit.bias, 1 / fit.temperature)) <= expected.fun + 1e-6
    assert fit.loss == pytest.approx((expected.fun - 2 * fit.bias @ fit.bias) / 400, abs=1e-6)
    assert not fit.clamped


def test_shifts_that_made_the_labels_are_found() -> None:
    random = np.random.default_rng(1)
    logits = 2 * random.normal(size=(40_000, 5))
    # softmax(z / 1.5 + shift), by the Gumbel trick.
    targets = (logits / 1.5 + SHIFT + random.gumbel(size=logits.shape)).argmax(axis=1)

    fit = fit_biased_temperature(logits, targets)

    assert fit.temperature == pytest.approx(1.5, rel=0.02)
    assert_allclose(fit.bias, SHIFT, atol=0.05)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(1, 40))
def test_the_map_is_never_worse_than_a_temperature_on_the_rows_fitted(seed: int, n_classes: int, n_rows: int) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(size=(n_rows, n_classes))
    targets = random.integers(0, n_classes, n_rows)

    fit = fit_biased_temperature(logits, targets)

    assert fit.loss <= fit_temperature(logits, targets).loss + 1e-9
    assert fit.bias.sum() == pytest.approx(0, abs=1e-9)
    assert np.isfinite(fit.bias).all()


def test_a_class_that_never_occurs_is_pushed_down_where_the_temperature_cannot() -> None:
    logits = np.tile([0.0, 0.0, 1.0], (500, 1))
    targets = np.arange(500) % 2

    fit = fit_biased_temperature(logits, targets)

    # The logits of all rows are alike, so the temperature only flattens them, up to the end of its range.
    assert fit.clamped
    assert fit.bias[2] < -1
    assert fit.loss < np.log(3) - 0.3


def test_extreme_logits_stay_finite() -> None:
    logits = np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0], [0.0, 0.0, 1e4], [1e4, 0.0, -1e4]])

    fit = fit_biased_temperature(logits, np.array([0, 1, 2, 1]))

    assert np.isfinite([fit.temperature, fit.loss, *fit.bias]).all()


@pytest.mark.parametrize("model", CLINC)
def test_other_peoples_rows_are_more_likely_than_under_a_temperature(model: str) -> None:
    data = clinc_logits(model)
    rows = np.arange(len(data["test"])), data["y_test"]

    fit = fit_biased_temperature(data["val"], data["y_val"])
    temperature = fit_temperature(data["val"], data["y_val"]).temperature

    biased = log_softmax(data["test"] / fit.temperature + fit.bias)[rows]
    assert -biased.mean() < -log_softmax(data["test"] / temperature)[rows].mean()


@pytest.mark.parametrize("model", ["minilm_lr", "minilm_mlp"])
def test_wrong_labels_do_no_harm_where_they_are_allowed_for(model: str) -> None:
    data = clinc_logits(model)
    random = np.random.default_rng(0)
    n_rows = len(data["y_val"])
    noisy = np.where(random.random(n_rows) < 0.05, random.integers(0, 150, n_rows), data["y_val"])
    noise = fit_robust_temperature(data["val"], noisy).noise

    errors = []
    for share in (noise, 0.0):
        fit = fit_biased_temperature(data["val"], noisy, noise=share)
        log_p = log_softmax(data["test"] / fit.temperature + fit.bias)
        confidence, correct = np.exp(log_p.max(axis=1)), log_p.argmax(axis=1) == data["y_test"]
        errors.append(expected_calibration_error(confidence, correct))

    assert errors[0] < 0.015
    assert errors[1] > 0.05


@pytest.mark.parametrize("noise", [-0.1, 1.0, np.nan])
def test_noise_that_is_no_share_is_refused(noise: float) -> None:
    with pytest.raises(ValueError, match="Expected noise of at least 0 and below 1; got "):
        fit_biased_temperature(LOGITS, TARGETS, noise=noise)


def test_logits_that_carry_no_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="Expected finite logits"):
        fit_biased_temperature(np.array([[np.nan, 0.0]]), np.array([0]))


def test_the_error_of_the_temperature_is_that_of_refits_on_resampled_rows() -> None:
    random = np.random.default_rng(2)
    logits = 2 * random.normal(size=(1500, 5))
    targets = (logits / 1.5 + SHIFT + random.gumbel(size=logits.shape)).argmax(axis=1)
    draws = [random.integers(0, 1500, 1500) for _ in range(80)]

    refits = [np.log(fit_biased_temperature(logits[draw], targets[draw]).temperature) for draw in draws]

    assert fit_biased_temperature(logits, targets).error == pytest.approx(np.std(refits), rel=0.25)
