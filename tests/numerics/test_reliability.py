from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mapie.metrics.calibration import expected_calibration_error as mapie_calibration_error
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve

from softgate.numerics.activations import softmax
from softgate.numerics.reliability import (
    Statistic,
    debiased_calibration_error,
    equal_mass_calibration_error,
    expected_calibration_error,
    null_band,
    p_value,
    reliability_bins,
)

RNG = np.random.default_rng(0)
PROBABILITIES = softmax(RNG.normal(scale=3, size=(500, 6)))
TARGETS = RNG.integers(0, 6, 500)
CONFIDENCE, CORRECT = PROBABILITIES.max(axis=1), PROBABILITIES.argmax(axis=1) == TARGETS
ERRORS: dict[str, Statistic] = {
    "equal width": expected_calibration_error,
    "equal mass": equal_mass_calibration_error,
    "debiased": debiased_calibration_error,
}

# Few distinct values, so that many rows tie.
some_outcomes = st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=2, max_size=60)


def as_arrays(outcomes: list[tuple[int, bool]]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    return np.array([eighths / 8 for eighths, _ in outcomes]), np.array([right for _, right in outcomes])


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.6, 0.7, 0.95, 0.95])
    correct = np.array([True, False, True, True])

    # Two bins: all four in (0.5, 1]; mean confidence 0.8, accuracy 0.75.
    assert expected_calibration_error(confidence, correct, n_bins=2) == pytest.approx(0.05)
    # Ten bins: gaps 1 - 0.6, 0.7 - 0 and twice 1 - 0.95, over four rows.
    assert expected_calibration_error(confidence, correct, n_bins=10) == pytest.approx((0.4 + 0.7 + 0.1) / 4)


def test_calibration_bins_are_open_below_and_closed_above() -> None:
    # 0 and 0.2 share the first of five bins: accuracy 0.5 less confidence 0.1.
    # Apart, the gaps 1 and 0.2 both count in full.
    together = expected_calibration_error(np.array([0.0, 0.2]), np.array([True, False]), n_bins=5)
    apart = expected_calibration_error(np.array([0.0, 0.2000001]), np.array([True, False]), n_bins=5)

    assert together == pytest.approx(0.5 - 0.1)
    assert apart == pytest.approx((1 + 0.2) / 2, abs=1e-6)


@pytest.mark.parametrize("n_bins", [1, 7, 15, 100])
def test_calibration_error_agrees_with_a_plain_loop(n_bins: int) -> None:
    expected = 0.0
    upper = np.ceil(n_bins * CONFIDENCE).astype(int)
    for b in range(1, n_bins + 1):
        inside = upper == b
        if inside.any():
            expected += inside.mean() * abs(CORRECT[inside].mean() - CONFIDENCE[inside].mean())

    assert_allclose(expected_calibration_error(CONFIDENCE, CORRECT, n_bins=n_bins), expected, rtol=1e-12)


@pytest.mark.parametrize("n_bins", [1, 7, 15])
def test_calibration_error_agrees_with_mapie(n_bins: int) -> None:
    # What MAPIE counts are the edges, 0 among them: one more than the bins.
    expected = mapie_calibration_error(CORRECT.astype(int), CONFIDENCE, num_bins=n_bins + 1)

    assert_allclose(expected_calibration_error(CONFIDENCE, CORRECT, n_bins=n_bins), expected, rtol=1e-12)


@pytest.mark.parametrize("n_bins", [1, 5, 20])
def test_equal_mass_error_agrees_with_mapie(n_bins: int) -> None:
    # MAPIE splits the rows as they come: only those in order give bins of equal mass.
    order = np.argsort(CONFIDENCE)
    expected = mapie_calibration_error(
        CORRECT[order].astype(int), CONFIDENCE[order], num_bins=n_bins, split_strategy="array split"
    )

    assert_allclose(equal_mass_calibration_error(CONFIDENCE, CORRECT, n_bins=n_bins), expected, rtol=1e-12)


def test_equal_mass_error_by_hand() -> None:
    confidence = np.array([0.9, 0.6, 0.7, 0.8])
    correct = np.array([True, False, True, True])

    # 0.6 and 0.7 against one half; 0.8 and 0.9 against 1.
    assert equal_mass_calibration_error(confidence, correct, n_bins=2) == pytest.approx((0.15 + 0.15) / 2)
    # One row a bin, or fewer rows than bins: 0.6, 0.3, 0.2, 0.1.
    assert equal_mass_calibration_error(confidence, correct, n_bins=4) == pytest.approx(0.3)
    assert equal_mass_calibration_error(confidence, correct, n_bins=15) == pytest.approx(0.3)


def test_rows_of_equal_confidence_share_a_bin() -> None:
    confidence = np.array([0.5, 0.5, 0.5, 0.9])
    correct = np.array([True, False, False, True])

    # Two bins of two would tear the 0.5 apart; so 0.5 against a third, thrice, and 0.9 against 1.
    assert equal_mass_calibration_error(confidence, correct, n_bins=2) == pytest.approx((0.5 + 0.1) / 4)


def test_debiased_error_by_hand() -> None:
    # One bin: accuracy 1/4 against 0.9; 0.65^2 - (3/16) / 3 = 0.36.
    assert debiased_calibration_error(
        np.full(4, 0.9), np.array([True, False, False, False]), n_bins=1
    ) == pytest.approx(0.6)
    # Two bins, all wrong, so without chance: (0.36 + 0.64) / 2.
    assert debiased_calibration_error(np.array([0.8, 0.6, 0.6, 0.8]), np.zeros(4, bool), n_bins=2) == pytest.approx(
        np.sqrt(0.5)
    )
    # 0.1^2 - (1/4) / 1 is below 0: chance explains it all.
    assert debiased_calibration_error(np.array([0.6, 0.6]), np.array([True, False])) == 0


@pytest.mark.parametrize("n_bins", [1, 5, 20])
def test_debiased_error_agrees_with_a_plain_loop(n_bins: int) -> None:
    confidence = CONFIDENCE**4
    square = 0.0
    for rows in np.array_split(np.argsort(confidence), n_bins):
        accuracy = CORRECT[rows].mean()
        chance = accuracy * (1 - accuracy) / (len(rows) - 1)
        square += len(rows) / 500 * ((confidence[rows].mean() - accuracy) ** 2 - chance)

    assert_allclose(debiased_calibration_error(confidence, CORRECT, n_bins=n_bins), np.sqrt(max(square, 0)), rtol=1e-9)


@pytest.mark.parametrize("n_rows", range(2, 12))
def test_no_bin_of_the_debiased_error_is_left_with_one_row(n_rows: int) -> None:
    distinct = np.linspace(0.1, 0.9, n_rows)
    torn = np.array([0.2] * (n_rows - 1) + [0.9])

    # A bin of one row divides by 0, which is an error in these tests.
    assert 0 <= debiased_calibration_error(distinct, np.ones(n_rows, bool)) <= 1
    assert 0 <= debiased_calibration_error(torn, np.ones(n_rows, bool), n_bins=2) <= 1


def test_debiased_error_finds_the_error_where_the_plain_one_adds_chance() -> None:
    # Right 0.8 of the time at every confidence, which is 0.75 to 0.85: the true L2 is 0.1 / sqrt(12).
    random = np.random.default_rng(1)
    confidence = random.uniform(0.75, 0.85, size=(200, 1000))
    correct = random.random((200, 1000)) < 0.8

    debiased = [debiased_calibration_error(c, y) ** 2 for c, y in zip(confidence, correct, strict=True)]
    plain = [equal_mass_calibration_error(c, y) ** 2 for c, y in zip(confidence, correct, strict=True)]

    # Cut off at 0, the square is still a little high; the plain error is so by chance itself.
    assert np.mean(debiased) == pytest.approx(0.01 / 12, abs=3e-4)
    assert np.mean(plain) > 2 * 0.01 / 12


def test_bins_by_hand() -> None:
    bins = reliability_bins(np.array([0.0, 0.25, 0.3, 1.0]), np.array([1, 0, 1, 1]), n_bins=4)

    assert_array_equal(bins.upper_edges, [0.25, 0.5, 0.75, 1.0])
    assert_array_equal(bins.rows, [2, 1, 0, 1])
    assert_allclose(bins.confidence, [0.125, 0.3, np.nan, 1.0])
    assert_allclose(bins.accuracy, [0.5, 1.0, np.nan, 1.0])


def test_bins_agree_with_scikit_learn() -> None:
    accuracy, confidence = calibration_curve(CORRECT, CONFIDENCE, n_bins=15)

    bins = reliability_bins(CONFIDENCE, CORRECT)

    filled = bins.rows > 0
    assert_allclose(bins.accuracy[filled], accuracy)
    assert_allclose(bins.confidence[filled], confidence)


@given(some_outcomes, st.integers(1, 20))
def test_bins_hold_every_row_and_give_the_error(outcomes: list[tuple[int, bool]], n_bins: int) -> None:
    confidence, correct = as_arrays(outcomes)

    bins = reliability_bins(confidence, correct, n_bins=n_bins)

    gaps = np.abs(bins.accuracy - bins.confidence) * bins.rows / len(correct)
    assert bins.rows.sum() == len(correct)
    assert_allclose(expected_calibration_error(confidence, correct, n_bins=n_bins), np.nansum(gaps), atol=1e-12)


@pytest.mark.parametrize("name", ERRORS)
@given(outcomes=some_outcomes, seed=st.integers(0, 9))
def test_errors_ignore_the_order_of_the_rows(name: str, outcomes: list[tuple[int, bool]], seed: int) -> None:
    confidence, correct = as_arrays(outcomes)
    order = np.random.default_rng(seed).permutation(len(correct))

    # Of squares no larger than 1, so that the root of a rounding is 1e-7.
    assert_allclose(ERRORS[name](confidence[order], correct[order]), ERRORS[name](confidence, correct), atol=1e-7)
    assert 0 <= ERRORS[name](confidence, correct) <= 1


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("name", ERRORS)
def test_narrow_confidence_gives_much_the_same_error(name: str, dtype: type[np.floating]) -> None:
    confidence: NDArray[Any] = CONFIDENCE.astype(dtype)

    assert ERRORS[name](confidence, CORRECT) == pytest.approx(ERRORS[name](CONFIDENCE, CORRECT), abs=0.01)


def test_calibration_error_of_the_perfect_is_0_and_of_the_certain_wrong_1() -> None:
    certain = np.ones(10)

    assert expected_calibration_error(certain, np.ones(10, bool)) == 0
    assert expected_calibration_error(certain, np.zeros(10, bool)) == 1


@pytest.mark.parametrize(
    ("confidence", "correct", "n_bins", "sentence"),
    [
        ([], [], 15, r"Expected at least one row; got none\."),
        ([0.5], [True, False], 15, r"Expected one confidence per outcome; got shapes \(1,\) and \(2,\)\."),
        ([0.5, 1.5], [True, False], 15, r"Expected confidence in \[0, 1\]; got 0.5 to 1.5\."),
        ([np.nan], [True], 15, r"Expected confidence in \[0, 1\]; got nan to nan\."),
        ([0.5], [True], 0, r"Expected n_bins of at least 1; got 0\."),
    ],
)
def test_calibration_error_refuses_what_has_none(
    confidence: list[float], correct: list[bool], n_bins: int, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        expected_calibration_error(np.array(confidence), np.array(correct, bool), n_bins=n_bins)


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_refuses_what_has_none(name: str) -> None:
    with pytest.raises(ValueError, match=r"Expected at least one row; got none\."):
        ERRORS[name](np.empty(0), np.empty(0, bool))


def test_debiased_error_refuses_one_row() -> None:
    with pytest.raises(ValueError, match=r"Expected at least two rows, for chance to be told from error; got one\."):
        debiased_calibration_error(np.array([0.5]), np.array([True]))


def test_band_is_what_the_statistic_is_of_calibrated_outcomes() -> None:
    confidence = np.array([1.0, 0.5, 0.0])

    draws = null_band(confidence, lambda c, y: float(np.sum(y * (1 + (c == 0.5)))), n_draws=4000)

    # The sure row always, the doubtful one half of the time, the impossible one never.
    assert set(draws) == {1.0, 3.0}
    assert np.mean(draws == 3.0) == pytest.approx(0.5, abs=3 * 0.5 / np.sqrt(4000))


def test_band_is_the_same_every_time_and_in_any_order() -> None:
    draws = null_band(CONFIDENCE, expected_calibration_error, n_draws=20)

    assert_array_equal(null_band(CONFIDENCE[::-1], expected_calibration_error, n_draws=20), draws)
    assert (null_band(CONFIDENCE, expected_calibration_error, n_draws=20, seed=1) != draws).any()


@pytest.mark.parametrize("name", ERRORS)
def test_p_value_is_small_as_rarely_as_it_says_for_the_calibrated_alone(name: str) -> None:
    random = np.random.default_rng(3)
    confidence = random.uniform(0.5, 1.0, 400)
    draws = null_band(confidence, ERRORS[name], n_draws=99)

    calibrated = [p_value(ERRORS[name](confidence, random.random(400) < confidence), draws) for _ in range(400)]
    overconfident = [p_value(ERRORS[name](confidence, random.random(400) < confidence - 0.1), draws) for _ in range(50)]

    # Both the outcomes and the band are drawn: three standard deviations of each.
    assert np.mean(np.array(calibrated) <= 0.1) <= 0.1 + 3 * 0.3 * np.sqrt(1 / 400 + 1 / 99)
    assert np.mean(np.array(overconfident) <= 0.1) > 0.9


def test_p_value_by_hand() -> None:
    draws = np.array([0.1, 0.2, 0.3, 0.4])

    assert p_value(0.3, draws) == 3 / 5
    assert p_value(0.5, draws) == 1 / 5
    assert p_value(0.0, draws) == 1


@pytest.mark.parametrize(("observed", "draws"), [(0.1, []), (np.nan, [0.1]), (0.1, [np.nan])])
def test_p_value_refuses_what_gives_none(observed: float, draws: list[float]) -> None:
    with pytest.raises(ValueError, match=r"Expected numbers, and at least one draw; got "):
        p_value(observed, np.array(draws))


@pytest.mark.parametrize(
    ("confidence", "n_draws", "sentence"),
    [
        ([], 200, "at least one row; got none"),
        ([1.5], 200, r"confidence in \[0, 1\]"),
        ([0.5], 0, "n_draws of at least 1"),
    ],
)
def test_band_refuses_what_has_none(confidence: list[float], n_draws: int, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        null_band(np.array(confidence), expected_calibration_error, n_draws=n_draws)
