import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit
from scipy.special import log_softmax as scipy_log_softmax
from sklearn.metrics import log_loss

from softgate.numerics.likelihood import (
    MAX_NOISE,
    binary_likelihood,
    noisy_likelihood,
    row_blocks,
    target_likelihood,
)

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(scale=3, size=(400, 5))
# Labels drawn from the model, and one in ten at random.
TARGETS = np.where(RNG.random(400) < 0.1, RNG.integers(0, 5, 400), (LOGITS + RNG.gumbel(size=LOGITS.shape)).argmax(1))
STEP = 1e-5


def test_target_likelihood_agrees_with_scipy() -> None:
    expected = scipy_log_softmax(1.7 * LOGITS, axis=1)[np.arange(400), TARGETS]

    assert_allclose(target_likelihood(LOGITS, TARGETS, 1.7).log_p, expected, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("beta", [0.1, 1.0, 4.0])
def test_target_derivatives_agree_with_differences(beta: float) -> None:
    below, at, above = (target_likelihood(LOGITS, TARGETS, b) for b in (beta - STEP, beta, beta + STEP))

    assert_allclose(at.slope, (above.log_p - below.log_p) / (2 * STEP), atol=1e-7)
    assert_allclose(at.curvature, (above.slope - below.slope) / (2 * STEP), atol=1e-6)


# At 0.2 the noise is at its limit, at 1 inside, so both branches of the curvature are met.
@pytest.mark.parametrize("beta", [0.5, 1.0, 6.0])
def test_noisy_derivatives_follow_the_most_likely_noise(beta: float) -> None:
    below, at, above = (noisy_likelihood(LOGITS, TARGETS, b) for b in (beta - STEP, beta, beta + STEP))

    assert at.slope == pytest.approx((above.loss - below.loss) / (2 * STEP), abs=1e-7)
    assert at.curvature == pytest.approx((above.slope - below.slope) / (2 * STEP), abs=1e-6)


def test_noise_is_the_best_of_a_fine_grid() -> None:
    p = np.exp(target_likelihood(LOGITS, TARGETS, 1.0).log_p)
    grid = np.linspace(0, MAX_NOISE, 20_001)
    losses = [-np.mean(np.log((1 - noise) * p + noise / 5)) for noise in grid]

    actual = noisy_likelihood(LOGITS, TARGETS, 1.0)

    assert actual.noise == pytest.approx(grid[np.argmin(losses)], abs=1e-5)
    assert actual.loss == pytest.approx(min(losses), abs=1e-9)


def test_noise_explains_a_truth_of_probability_0() -> None:
    logits, targets = np.tile([[0.0, 1e4]], (20, 1)), np.array([0, *[1] * 19])

    actual = noisy_likelihood(logits, targets, 20.0)

    # One of twenty is wrong for certain: under the mixture wrong has eps / 2, so eps / 2 = 1 / 20.
    assert actual.noise == pytest.approx(0.1)
    assert actual.loss == pytest.approx(-(np.log(0.05) + 19 * np.log(0.95)) / 20)


def test_binary_likelihood_agrees_with_scikit_learn() -> None:
    truth = RNG.random(LOGITS.shape) < expit(LOGITS)
    below, at, above = (binary_likelihood(LOGITS, truth, b) for b in (0.7 - STEP, 0.7, 0.7 + STEP))

    assert at[0] == pytest.approx(log_loss(truth.ravel(), expit(0.7 * LOGITS).ravel()), rel=1e-12)
    assert at[1] == pytest.approx((above[0] - below[0]) / (2 * STEP), abs=1e-8)
    assert at[2] == pytest.approx((above[1] - below[1]) / (2 * STEP), abs=1e-8)


@pytest.mark.parametrize("shape", [(1, 3), (5000, 150), (3, 10**6)])
def test_blocks_cover_every_row_once(shape: tuple[int, int]) -> None:
    rows = np.zeros(shape[0], int)

    for block in row_blocks(np.broadcast_to(np.float32(0), shape)):
        rows[block] += 1

    assert (rows == 1).all()


def test_blocks_change_nothing() -> None:
    logits = np.tile(LOGITS, (200, 1))
    targets = np.tile(TARGETS, 200)
    assert len(list(row_blocks(logits))) > 1

    assert_allclose(
        target_likelihood(logits, targets, 1.3).slope, np.tile(target_likelihood(LOGITS, TARGETS, 1.3).slope, 200)
    )
