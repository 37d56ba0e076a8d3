import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit
from scipy.special import softmax as scipy_softmax
from sklearn.metrics import log_loss

from softgate.numerics.activations import ACTIVATIONS, Activation, entmax15, softmax, sparsemax
from softgate.numerics.scores import brier_score
from softgate.numerics.temperature import (
    TEMPERATURE_RANGE,
    TemperatureFit,
    apply_temperature,
    fit_robust_temperature,
    fit_temperature,
    fit_temperature_by_brier,
    fit_temperature_sigmoid,
)

FITS: dict[str, Callable[[NDArray[Any], NDArray[Any]], TemperatureFit]] = {
    "plain": fit_temperature,
    "robust": fit_robust_temperature,
    "sparsemax": lambda logits, targets: fit_temperature_by_brier(logits, targets, activation=sparsemax),
    "entmax15": lambda logits, targets: fit_temperature_by_brier(logits, targets, activation=entmax15),
}

by_fit = pytest.mark.parametrize("fit", FITS.values(), ids=FITS.keys())


def drawn(
    temperature: float, *, n_rows: int = 4000, n_classes: int = 8
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Logits, and targets drawn from their softmax at a known temperature (the Gumbel trick)."""
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=3 * temperature, size=(n_rows, n_classes))
    return logits, (logits / temperature + rng.gumbel(size=logits.shape)).argmax(axis=1)


def with_noise(targets: NDArray[Any], *, share: float, n_classes: int) -> NDArray[Any]:
    rng = np.random.default_rng(0)
    return np.where(rng.random(len(targets)) < share, rng.integers(0, n_classes, len(targets)), targets)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_apply_divides_in_float64(dtype: type[np.floating]) -> None:
    logits = np.array([[1.0, -3.0]], dtype)

    actual = apply_temperature(logits, 0.1)

    assert actual.dtype == np.float64
    assert_array_equal(actual, [[1 / 0.1, -3 / 0.1]])
    assert_array_equal(logits, [[1, -3]])


def test_apply_of_1_is_a_copy() -> None:
    logits = np.array([[1.0, 2.0]])

    assert_array_equal(apply_temperature(logits, 1.0), logits)
    assert apply_temperature(logits, 1.0) is not logits
    assert apply_temperature(np.asfortranarray(np.ones((3, 3))), 2.0).flags.c_contiguous
    assert apply_temperature(np.empty((0, 3)), 2.0).shape == (0, 3)


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan, np.inf])
def test_apply_refuses_a_temperature_that_is_none(temperature: float) -> None:
    with pytest.raises(ValueError, match="Expected a finite temperature above 0; got "):
        apply_temperature(np.zeros((1, 2)), temperature)


def test_apply_of_a_temperature_per_class_divides_each_column_by_its_own() -> None:
    logits = np.array([[1.0, -3.0, 0.5], [2.0, 8.0, -0.5]], dtype=np.float32)

    actual = apply_temperature(logits, np.array([2.0, 4.0, 0.5]))

    assert actual.dtype == np.float64
    assert_array_equal(actual, [[0.5, -0.75, 1.0], [1.0, 2.0, -1.0]])
    assert apply_temperature(np.empty((0, 3)), np.ones(3)).shape == (0, 3)


@given(
    logits=arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.floats(-1e6, 1e6)),
    data=st.data(),
)
def test_apply_of_a_temperature_per_class_is_numpys_division(logits: NDArray[np.float64], data: st.DataObject) -> None:
    n_classes = logits.shape[1]
    temperature = data.draw(arrays(np.float64, n_classes, elements=st.floats(*TEMPERATURE_RANGE)))
    before = logits.copy()

    actual = apply_temperature(logits, temperature)

    assert_array_equal(actual, np.stack([logits[:, k] / temperature[k] for k in range(n_classes)], axis=1))
    assert_array_equal(apply_temperature(logits, np.full(n_classes, 1.7)), apply_temperature(logits, 1.7))
    assert_array_equal(logits, before)


@pytest.mark.parametrize("wrong", [0.0, -1.0, np.nan, np.inf])
def test_apply_refuses_one_wrong_temperature_among_several(wrong: float) -> None:
    with pytest.raises(ValueError, match=r"Expected finite temperatures above 0; got \[1\.0, "):
        apply_temperature(np.zeros((1, 2)), np.array([1.0, wrong]))


@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 2)])
def test_apply_refuses_another_number_of_temperatures_than_classes(shape: tuple[int, ...]) -> None:
    message = re.escape(f"Expected one temperature per class, 2; got shape {shape}.")
    with pytest.raises(ValueError, match=message):
        apply_temperature(np.zeros((1, 2)), np.ones(shape))


def test_fit_by_hand() -> None:
    # Logits 0 and 1, right in three of four: p = 3/4 needs 1 / T = ln 3. The loss is the entropy of (3/4, 1/4).
    fit = fit_temperature(np.tile([[0.0, 1.0]], (4, 1)), np.array([1, 1, 1, 0]))

    assert fit.temperature == pytest.approx(1 / np.log(3), rel=1e-12)
    assert fit.loss == pytest.approx(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)), rel=1e-12)
    assert (fit.noise, fit.clamped) == (0.0, False)


def test_sigmoid_fit_by_hand() -> None:
    # Every pair has logit 1, three of four hold: p = 3/4 again.
    fit = fit_temperature_sigmoid(np.ones((2, 2)), np.array([[1, 1], [1, 0]]))

    assert fit.temperature == pytest.approx(1 / np.log(3), rel=1e-12)
    assert fit.loss == pytest.approx(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)), rel=1e-12)


def test_sparsemax_fit_by_hand() -> None:
    # With a gap of 1 / T sparsemax gives (1 + 1 / T) / 2, and the Brier score is least at the share 3/4: T = 2.
    fit = FITS["sparsemax"](np.tile([[0.0, 1.0]], (4, 1)), np.array([1, 1, 1, 0]))

    assert fit.temperature == pytest.approx(2, rel=1e-4)
    # 3/4 * 2 * (1/4)^2 + 1/4 * 2 * (3/4)^2.
    assert fit.loss == pytest.approx(0.375)


@pytest.mark.parametrize("temperature", [0.1, 0.7, 1.0, 5.0])
@pytest.mark.parametrize("name", ["plain", "robust"])
def test_fit_finds_the_temperature_that_drew_the_targets(name: str, temperature: float) -> None:
    fit = FITS[name](*drawn(temperature))

    assert fit.temperature == pytest.approx(temperature, rel=0.05)
    assert fit.noise < 0.005


def test_sigmoid_fit_finds_the_temperature_that_drew_the_targets() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=4, size=(4000, 5))
    targets = rng.random(logits.shape) < expit(logits / 2.5)

    fit = fit_temperature_sigmoid(logits, targets)
    oracle = minimize_scalar(lambda t: log_loss(targets.ravel(), expit(logits / t).ravel()), bounds=(0.5, 9))

    assert fit.temperature == pytest.approx(2.5, rel=0.05)
    assert fit.temperature == pytest.approx(oracle.x, rel=1e-5)
    assert fit.loss == pytest.approx(oracle.fun, rel=1e-9)


@pytest.mark.parametrize("temperature", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.15])
def test_robust_fit_agrees_with_a_simplex_search_from_many_starts(temperature: float, share: float) -> None:
    logits, clean = drawn(temperature, n_rows=400)
    targets = with_noise(clean, share=share, n_classes=8)

    def loss(point: NDArray[np.float64]) -> float:
        p = scipy_softmax(logits * np.exp(point[0]), axis=1)[np.arange(400), targets]
        noise = 0.2 * expit(point[1])
        return float(-np.mean(np.log((1 - noise) * p + noise / 8)))

    oracle = min(
        minimize(loss, (start, -1.0), method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-12}).fun
        for start in np.log([0.1, 1.0, 8.0])
    )

    assert fit_robust_temperature(logits, targets).loss <= oracle + 1e-9


@pytest.mark.parametrize("activation", [softmax, sparsemax, entmax15])
def test_brier_fit_agrees_with_a_fine_grid(activation: Activation) -> None:
    logits, targets = drawn(0.7, n_rows=500)

    fit = fit_temperature_by_brier(logits, targets, activation=activation)
    losses = [brier_score(activation(logits / t), targets) for t in np.geomspace(0.05, 20, 1000)]

    assert fit.loss == pytest.approx(brier_score(activation(logits / fit.temperature), targets), rel=1e-12)
    assert fit.loss <= min(losses) + 1e-12
    assert fit.noise == 0.0


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "sigmoid"])
def test_brier_fit_serves_every_exclusive_activation(name: str) -> None:
    fit = fit_temperature_by_brier(*drawn(1.0, n_rows=200), activation=ACTIVATIONS[name])

    assert 0.05 < fit.temperature < 20
    assert not fit.clamped


@by_fit
def test_rows_that_are_all_right_clamp_low_and_say_so(fit: Callable[..., TemperatureFit]) -> None:
    logits = np.random.default_rng(0).normal(size=(50, 4))

    result = fit(logits, logits.argmax(axis=1))

    assert (result.temperature, result.clamped) == (0.05, True)


@by_fit
def test_rows_that_are_all_wrong_clamp_high_and_say_so(fit: Callable[..., TemperatureFit]) -> None:
    logits = np.random.default_rng(0).normal(size=(50, 4))

    result = fit(logits, logits.argmin(axis=1))

    assert (result.temperature, result.clamped) == (20.0, True)


@by_fit
@pytest.mark.parametrize("target", [0, 1])
@pytest.mark.parametrize("gap", [0.5, 20.0, 2e4])
def test_one_row_is_too_few_and_clamps(fit: Callable[..., TemperatureFit], target: int, gap: float) -> None:
    result = fit(np.array([[gap, 0.0]]), np.array([target]))

    assert result.clamped
    assert np.isfinite(result.loss)


def test_sigmoid_fit_clamps_and_says_so() -> None:
    logits = np.array([[3.0, -2.0]])

    right = fit_temperature_sigmoid(logits, np.array([[1, 0]]))
    wrong = fit_temperature_sigmoid(logits, np.array([[0, 1]]))

    assert (right.temperature, right.clamped) == (0.05, True)
    assert (wrong.temperature, wrong.clamped) == (20.0, True)


@by_fit
def test_fit_does_not_depend_on_the_order_of_the_rows_or_a_shift(fit: Callable[..., TemperatureFit]) -> None:
    logits, targets = drawn(1.0, n_rows=300)

    expected = fit(logits, targets).temperature

    assert_allclose(fit(logits[::-1], targets[::-1]).temperature, expected, rtol=1e-4)
    assert_allclose(fit(logits + 100, targets).temperature, expected, rtol=1e-4)


@by_fit
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_fit_takes_every_dtype_as_float64(fit: Callable[..., TemperatureFit], dtype: type[np.floating]) -> None:
    logits, targets = drawn(1.0, n_rows=300)
    narrow = logits.astype(dtype)

    assert fit(narrow, targets) == fit(narrow.astype(np.float64), targets)


@by_fit
@pytest.mark.parametrize(
    ("logits", "targets", "sentence"),
    [
        (np.zeros((2, 1)), [0, 0], "Expected at least two classes; got one, "),
        (np.array([[0, np.nan], [1, 2]]), [0, 0], "Expected finite logits; got NaN or infinity in 1 of 2 rows"),
        (np.eye(10), [0] * 9, "Expected one target per row; got 10 rows and 9 targets"),
    ],
)
def test_data_that_cannot_be_fitted_are_refused(
    fit: Callable[..., TemperatureFit], logits: NDArray[np.float64], targets: list[float], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        fit(logits, np.array(targets))


@pytest.mark.parametrize(
    ("logits", "targets", "sentence"),
    [
        (np.zeros(3), np.zeros(3), r"Expected logits of shape \(n_rows, n_classes\)"),
        (np.array([[np.inf]]), np.array([[1]]), r"Expected finite logits; got NaN or infinity in 1 of 1 rows\."),
        (np.eye(3), np.zeros(3), r"Expected targets of the shape of the logits, \(3, 3\); got \(3,\)\."),
        (np.eye(2), np.full((2, 2), 2), r"Expected targets of 0 and 1; got other values\."),
        (np.zeros((2, 2)), np.eye(2), r"Expected logits other than 0; got none, "),
    ],
)
def test_sigmoid_fit_refuses_data_that_cannot_be_fitted(
    logits: NDArray[np.float64], targets: NDArray[np.float64], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        fit_temperature_sigmoid(logits, targets)
