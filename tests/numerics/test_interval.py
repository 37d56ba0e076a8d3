"""Intervals of a temperature: against refits, by simulation, and where there is nothing to go by."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose

from shared_data import clinc_logits
from softgate.numerics.activations import sparsemax
from softgate.numerics.interval import (
    Criterion,
    bootstrap_interval,
    brier_criterion,
    likelihood_criterion,
    robust_criterion,
    sandwich_interval,
    sigmoid_criterion,
)
from softgate.numerics.temperature import (
    TEMPERATURE_RANGE,
    fit_robust_temperature,
    fit_temperature,
    fit_temperature_by_brier,
    fit_temperature_sigmoid,
)

INTERVALS = [bootstrap_interval, sandwich_interval]


def drawn(n_rows: int, seed: int, *, temperature: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and targets drawn from softmax(z / T)."""
    random = np.random.default_rng(seed)
    logits = 3 * random.normal(size=(n_rows, 5))
    return logits, (logits / temperature + random.gumbel(size=logits.shape)).argmax(axis=1)


@pytest.mark.parametrize("interval", INTERVALS)
@pytest.mark.parametrize(
    ("criterion", "fit"),
    [(likelihood_criterion, fit_temperature), (robust_criterion, fit_robust_temperature)],
    ids=["plain", "robust"],
)
def test_intervals_are_those_of_refits_on_resampled_rows(
    interval: Callable[..., tuple[float, float]], criterion: Callable[..., Criterion], fit: Callable[..., object]
) -> None:
    data = clinc_logits("minilm_lr")
    logits, targets = data["val"], data["y_val"]
    random = np.random.default_rng(5)
    draws = [random.integers(0, len(logits), len(logits)) for _ in range(60)]
    refits = [fit(logits[draw], targets[draw]).temperature for draw in draws]  # type: ignore[attr-defined]

    temperature = fit(logits, targets).temperature  # type: ignore[attr-defined]
    low, high = interval(criterion(logits, targets), temperature)

    # 60 refits know their standard deviation to a tenth.
    assert (high - low) / (2 * 1.96) == pytest.approx(np.std(refits), rel=0.25)
    assert low < temperature < high


def test_known_intervals_of_clinc150() -> None:
    known = {"tfidf_svc": (0.148, 0.160), "minilm_lr": (0.651, 0.734), "minilm_mlp": (1.72, 1.89)}

    for model, expected in known.items():
        data = clinc_logits(model)
        logits, targets = data["val"], data["y_val"]
        found = bootstrap_interval(likelihood_criterion(logits, targets), fit_temperature(logits, targets).temperature)
        # Two bootstraps of 200 draws differ in their ends by a tenth of the width or so.
        assert_allclose(found, expected, atol=0.1 * (expected[1] - expected[0]) + 5e-3 * expected[1])


@pytest.mark.parametrize("model", ["tfidf_svc", "minilm_lr", "minilm_mlp"])
def test_intervals_of_robust_and_plain_overlap_on_clean_rows(model: str) -> None:
    data = clinc_logits(model)
    logits, targets = data["val"], data["y_val"]

    plain = bootstrap_interval(likelihood_criterion(logits, targets), fit_temperature(logits, targets).temperature)
    robust = bootstrap_interval(robust_criterion(logits, targets), fit_robust_temperature(logits, targets).temperature)

    assert max(plain[0], robust[0]) < min(plain[1], robust[1])


@pytest.mark.parametrize("interval", INTERVALS)
def test_95_percent_intervals_hold_the_truth_in_about_95_percent(interval: Callable[..., tuple[float, float]]) -> None:
    held = 0
    for seed in range(200):
        logits, targets = drawn(300, seed)
        low, high = interval(likelihood_criterion(logits, targets), fit_temperature(logits, targets).temperature)
        held += low <= 1.5 <= high

    # Three standard errors of 200 draws, and a little for 300 rows.
    assert 0.89 <= held / 200 <= 0.995


def test_bootstrap_and_sandwich_agree_for_the_other_fits() -> None:
    logits, targets = drawn(2000, 1)
    labels = (np.random.default_rng(2).random(logits.shape) < 1 / (1 + np.exp(-logits / 1.5))).astype(int)
    brier = fit_temperature_by_brier(logits, targets, activation=sparsemax)

    for criterion, temperature in [
        (brier_criterion(logits, targets, activation=sparsemax), brier.temperature),
        (sigmoid_criterion(logits, labels), fit_temperature_sigmoid(logits, labels).temperature),
    ]:
        bootstrap, sandwich = bootstrap_interval(criterion, temperature), sandwich_interval(criterion, temperature)
        assert_allclose(np.ptp(bootstrap), np.ptp(sandwich), rtol=0.2)
        assert_allclose(bootstrap, sandwich, rtol=0.02)


def test_certainty_widens_the_interval_and_the_seed_fixes_it() -> None:
    logits, targets = drawn(500, 3)
    criterion, temperature = likelihood_criterion(logits, targets), fit_temperature(logits, targets).temperature

    assert bootstrap_interval(criterion, temperature) == bootstrap_interval(criterion, temperature)
    for interval in INTERVALS:
        narrow, wide = (interval(criterion, temperature, certainty=certainty) for certainty in (0.5, 0.99))
        assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_rows_that_are_all_right_leave_the_temperature_open() -> None:
    logits = np.eye(4) * 9
    fit = fit_temperature(logits, np.arange(4))

    for interval in INTERVALS:
        low, high = interval(likelihood_criterion(logits, np.arange(4)), fit.temperature)
        assert TEMPERATURE_RANGE[0] <= low <= high <= TEMPERATURE_RANGE[1]
        assert np.isfinite([low, high]).all()


def test_one_row_gives_an_interval() -> None:
    logits, targets = np.array([[1.0, 0.5, 0.0]]), np.array([1])
    fit = fit_temperature(logits, targets)

    for interval in INTERVALS:
        assert np.isfinite(interval(likelihood_criterion(logits, targets), fit.temperature)).all()
