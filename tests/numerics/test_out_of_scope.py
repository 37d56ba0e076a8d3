from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from scipy.special import log_softmax as scipy_log_softmax
from sklearn.metrics import roc_auc_score

from softgate.numerics.activations import softmax
from softgate.numerics.confidence import energy
from softgate.numerics.out_of_scope import area_under_roc, energy_gate, is_log_softmax, is_softmax, out_of_scope_gate

LOGITS = np.random.default_rng(0).normal(scale=4, size=(200, 9))

some_scores = arrays(np.float64, st.integers(1, 30), elements=st.integers(-4, 4).map(float))


def test_gate_by_hand() -> None:
    # floor(0.3 * 11) = 3: the third smallest of ten.
    assert energy_gate(np.array([9.0, 1, 8, 2, 7, 3, 6, 4, 5, 0]), share=0.3) == 2
    # floor(0.05 * 20) = 1: the smallest of 19.
    assert energy_gate(np.arange(19.0), share=0.05) == 0


def test_gate_of_logits_is_the_gate_of_their_energy() -> None:
    # One class, so the energy is the logit itself; and T ln(2 exp(z / T)) = z + T ln 2.
    column = np.arange(19.0)[:, None]

    assert out_of_scope_gate(column, temperature=0.5, share=0.05) == 0
    assert out_of_scope_gate(np.hstack([column, column]), temperature=0.5, share=0.05) == pytest.approx(0.5 * np.log(2))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_gate_takes_any_float_and_any_number_of_blocks(dtype: type[np.floating]) -> None:
    logits = np.random.default_rng(1).normal(scale=100, size=(300, 2000)).astype(dtype)

    gate = out_of_scope_gate(logits, temperature=0.7, share=0.1)

    assert gate == np.sort(energy(logits, 0.7))[29]


@pytest.mark.parametrize("hundredths", range(1, 100))
def test_rank_of_the_gate_does_not_round(hundredths: int) -> None:
    # 0.29 * 100 is below 29 in floats.
    for total in (100, 200, 1700, 4000):
        gate = energy_gate(np.arange(1.0, total), share=float(f"0.{hundredths:02}"))

        assert gate == hundredths * total // 100


@pytest.mark.parametrize(
    ("share", "needed"), [(0.05, 19), (0.01, 99), (0.1, 9), (0.03, 33), (0.07, 14), (0.5, 1), (1 / 49, 48)]
)
def test_too_few_rows_are_refused_with_the_number_that_would_do(share: float, needed: int) -> None:
    energies = np.arange(float(needed))

    assert energy_gate(energies, share=share) == 0
    with pytest.raises(
        ValueError, match=rf"Expected at least {needed} in-scope rows to turn away .*; got {needed - 1}\."
    ):
        energy_gate(energies[1:], share=share)


def largest_rejected(energies: NDArray[np.float64], share: float) -> float:
    """Wrong: of n, not of n + 1, and the gate itself is turned away with the rest."""
    return float(np.nextafter(np.sort(energies)[int(np.ceil(share * len(energies))) - 1], np.inf))


def interpolated(energies: NDArray[np.float64], share: float) -> float:
    """Wrong: the plain quantile."""
    return float(np.quantile(energies, share))


@pytest.mark.parametrize(
    ("gate", "kept"),
    [
        (lambda energies, share: energy_gate(energies, share=share), True),
        (largest_rejected, False),
        (interpolated, False),
    ],
)
def test_gate_turns_away_no_more_than_its_share(
    gate: Callable[[NDArray[np.float64], float], float], kept: bool
) -> None:
    # Uniform energies: the gate is itself the share of new rows below it. 24 rows, floor(0.1 * 25) = 2 of 25.
    draws = np.random.default_rng(2).random((20_000, 24))

    rejected = np.mean([gate(energies, 0.1) for energies in draws])

    assert (rejected <= 0.1 + 0.001) == kept
    if kept:
        assert rejected == pytest.approx(2 / 25, abs=0.001)


@given(arrays(np.float64, st.integers(9, 40), elements=st.integers(-3, 3).map(float)))
def test_gate_keeps_ties(energies: NDArray[np.float64]) -> None:
    gate = energy_gate(energies, share=0.1)

    assert gate in energies
    assert np.sum(energies < gate) < 0.1 * (len(energies) + 1)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("n_classes", [2, 150, 10_000])
def test_log_softmax_is_told_from_logits(n_classes: int, dtype: type[np.floating]) -> None:
    logits = np.random.default_rng(3).normal(scale=3, size=(20, n_classes))

    assert is_log_softmax(scipy_log_softmax(logits, axis=1).astype(dtype))
    assert not is_log_softmax(logits.astype(dtype))
    assert not is_log_softmax(logits[:0])


def test_log_softmax_may_hold_the_logarithm_of_0() -> None:
    assert is_log_softmax(np.array([[0.0, -np.inf], [np.log(0.5), np.log(0.5)]]))


def test_one_row_of_logits_among_log_probabilities_is_enough() -> None:
    rows = np.vstack([scipy_log_softmax(LOGITS, axis=1), [[5.0] * 9]])

    assert not is_log_softmax(rows)


def test_softmax_is_told_from_logits() -> None:
    assert is_softmax(softmax(LOGITS).astype(np.float16))
    assert not is_softmax(LOGITS)
    assert not is_softmax(softmax(LOGITS) + 0.1)
    assert not is_softmax(LOGITS[:0])


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (scipy_log_softmax(LOGITS, axis=1), r"Expected raw logits; got log-probabilities, whose energy"),
        (softmax(LOGITS), r"Expected raw logits; got probabilities, whose energy"),
        (np.full((30, 3), np.nan), r"Expected finite logits; got NaN or infinity in 30 of 30 rows\."),
        (np.empty((0, 3)), r"Expected at least one row and one class"),
        (LOGITS[:18], r"Expected at least 19 in-scope rows to turn away at most 5\.000% of such; got 18\."),
    ],
)
def test_logits_without_a_gate_are_refused(rows: NDArray[np.float64], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        out_of_scope_gate(rows, temperature=1.0, share=0.05)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, np.nan])
def test_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=r"Expected a share between 0 and 1; got "):
        energy_gate(np.arange(100.0), share=share)


def test_energies_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="Expected finite energies"):
        energy_gate(np.array([np.nan, 1.0]), share=0.5)


def test_area_by_hand() -> None:
    # Of four pairs, 3 > 2, 3 > 1 and 2 > 1 are right and 2 = 2 is half so.
    assert area_under_roc(np.array([3.0, 2.0]), np.array([2.0, 1.0])) == 3.5 / 4
    assert area_under_roc(np.array([1.0]), np.array([0.0])) == 1
    assert area_under_roc(np.array([0.0]), np.array([1.0])) == 0


@given(some_scores, some_scores)
def test_area_agrees_with_scikit_learn(in_scope: NDArray[np.float64], out_of_scope: NDArray[np.float64]) -> None:
    truth = np.repeat([1, 0], [len(in_scope), len(out_of_scope)])

    expected = roc_auc_score(truth, np.concatenate([in_scope, out_of_scope]))

    assert_allclose(area_under_roc(in_scope, out_of_scope), expected, atol=1e-12)


@pytest.mark.parametrize(("in_scope", "out_of_scope"), [([], [1.0]), ([1.0], []), ([np.nan], [1.0]), ([1.0], [np.nan])])
def test_area_refuses_what_has_none(in_scope: list[float], out_of_scope: list[float]) -> None:
    with pytest.raises(ValueError, match=r"Expected (rows of both kinds|scores without NaN); got "):
        area_under_roc(np.array(in_scope), np.array(out_of_scope))
