from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve

from softgate.numerics.selective import (
    area_under_risk_coverage,
    coverage_at_precision,
    excess_area_under_risk_coverage,
    risk_coverage,
)

some_outcomes = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=40)


def as_arrays(outcomes: list[tuple[int, bool]]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    return np.array([float(value) for value, _ in outcomes]), np.array([right for _, right in outcomes])


def area_in_this_order(correct: NDArray[np.bool_]) -> float:
    return float(np.mean(np.cumsum(~correct) / np.arange(1, len(correct) + 1)))


def test_curve_by_hand() -> None:
    confidence = np.array([0.6, 0.9, 0.7, 0.7])
    correct = np.array([False, True, False, True])

    curve = risk_coverage(confidence, correct)

    assert_array_equal(curve.threshold, [0.9, 0.7, 0.6])
    assert_array_equal(curve.coverage, [0.25, 0.75, 1.0])
    assert_allclose(curve.risk, [0, 1 / 3, 1 / 2])


def test_areas_by_hand() -> None:
    confidence = np.array([0.9, 0.8, 0.7, 0.6])
    correct = np.array([True, False, True, True])

    # Risks 0, 1/2, 1/3, 1/4.
    assert area_under_risk_coverage(confidence, correct) == pytest.approx(13 / 12 / 4)
    # The best ranking of one error in four, in the limit: 1/4 + 3/4 ln 3/4.
    assert excess_area_under_risk_coverage(confidence, correct) == pytest.approx(13 / 48 - 0.25 - 0.75 * np.log(0.75))
    # The tie of the middle two stands for both orders: risks 0, 1/2 or 0, 1/3, 1/4.
    tied = np.array([0.9, 0.8, 0.8, 0.6])
    assert area_under_risk_coverage(tied, correct) == pytest.approx((0 + 1 / 4 + 1 / 3 + 1 / 4) / 4)


def test_ties_count_as_the_mean_over_all_their_orders() -> None:
    confidence = np.array([0.9, 0.5, 0.5, 0.5, 0.5, 0.2])
    correct = np.array([True, False, True, True, False, True])

    expected = np.mean([area_in_this_order(correct[[0, *middle, 5]]) for middle in permutations(range(1, 5))])

    assert area_under_risk_coverage(confidence, correct) == pytest.approx(expected)


def test_curve_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(300).round(2)
    correct = rng.random(300) < confidence

    precision, _, threshold = precision_recall_curve(correct, confidence)
    curve = risk_coverage(confidence, correct)

    assert_array_equal(curve.threshold, threshold[::-1])
    assert_allclose(1 - curve.risk, precision[-2::-1])
    assert_allclose(curve.coverage, [(confidence >= t).mean() for t in curve.threshold])


def test_area_without_ties_is_the_mean_of_the_risks() -> None:
    rng = np.random.default_rng(1)
    confidence = rng.permutation(500) / 500
    correct = rng.random(500) < 0.8

    expected = area_in_this_order(correct[np.argsort(-confidence)])

    assert area_under_risk_coverage(confidence, correct) == pytest.approx(expected, rel=1e-12)
    assert risk_coverage(confidence, correct).risk.mean() == pytest.approx(expected, rel=1e-12)


@given(some_outcomes, st.integers(0, 9))
def test_order_of_the_rows_changes_nothing(outcomes: list[tuple[int, bool]], seed: int) -> None:
    confidence, correct = as_arrays(outcomes)
    order = np.random.default_rng(seed).permutation(len(correct))

    for one, other in zip(
        risk_coverage(confidence, correct), risk_coverage(confidence[order], correct[order]), strict=True
    ):
        assert_array_equal(one, other)
    for area in (area_under_risk_coverage, excess_area_under_risk_coverage):
        assert area(confidence, correct) == area(confidence[order], correct[order])
    assert coverage_at_precision(confidence, correct, 0.8) == coverage_at_precision(
        confidence[order], correct[order], 0.8
    )


@given(some_outcomes)
def test_curve_ends_at_everything_and_areas_stay_in_range(outcomes: list[tuple[int, bool]]) -> None:
    confidence, correct = as_arrays(outcomes)

    curve = risk_coverage(confidence, correct)

    assert curve.coverage[-1] == 1
    assert curve.risk[-1] == pytest.approx(1 - correct.mean())
    assert (np.diff(curve.coverage) > 0).all()
    assert (np.diff(curve.threshold) < 0).all()
    assert 0 <= excess_area_under_risk_coverage(confidence, correct) <= area_under_risk_coverage(confidence, correct)
    assert area_under_risk_coverage(confidence, correct) <= 1


@given(some_outcomes, st.integers(0, 20))
def test_coverage_at_precision_is_the_best_of_all_thresholds(outcomes: list[tuple[int, bool]], twentieths: int) -> None:
    confidence, correct = as_arrays(outcomes)

    # In whole numbers, where nothing rounds.
    reached = [0.0]
    for threshold in confidence:
        accepted = confidence >= threshold
        if 20 * int(correct[accepted].sum()) >= twentieths * int(accepted.sum()):
            reached.append(accepted.mean())

    assert coverage_at_precision(confidence, correct, twentieths / 20) == max(reached)


@pytest.mark.parametrize("errors", range(1, 100))
def test_a_precision_that_is_just_reached_counts_however_it_is_written(errors: int) -> None:
    correct = np.arange(100) >= errors

    assert coverage_at_precision(np.full(100, 0.5), correct, float(f"0.{100 - errors:02}")) == 1


def test_coverage_at_precision_by_hand() -> None:
    confidence = np.array([0.9, 0.8, 0.7, 0.6])
    correct = np.array([True, False, True, True])

    assert coverage_at_precision(confidence, correct, 0.75) == 1
    assert coverage_at_precision(confidence, correct, 0.76) == 0.25
    assert coverage_at_precision(confidence, ~correct, 0.6) == 0


@pytest.mark.parametrize(("right", "area"), [(True, 0.0), (False, 1.0)])
def test_all_right_or_all_wrong(right: bool, area: float) -> None:
    confidence, correct = np.array([0.1, 0.5, 0.5]), np.full(3, right)

    assert area_under_risk_coverage(confidence, correct) == area
    assert excess_area_under_risk_coverage(confidence, correct) == 0


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_extreme_scores_are_ranked_like_any(dtype: type[np.floating]) -> None:
    confidence = np.array([1e4, -1e4, np.inf, -np.inf], dtype)

    curve = risk_coverage(confidence, np.array([True, False, True, False]))

    assert_array_equal(curve.threshold, [np.inf, 1e4, -1e4, -np.inf])
    assert_allclose(curve.risk, [0, 0, 1 / 3, 1 / 2])


@pytest.mark.parametrize(
    ("confidence", "correct", "sentence"),
    [
        ([], [], r"Expected at least one row; got none\."),
        ([0.5], [True, False], r"Expected one confidence per outcome; got shapes \(1,\) and \(2,\)\."),
        ([0.5, np.nan], [True, False], r"Expected confidence without NaN; got 1 such\."),
    ],
)
def test_what_has_no_curve_is_refused(confidence: list[float], correct: list[bool], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        risk_coverage(np.array(confidence), np.array(correct, bool))
    with pytest.raises(ValueError, match=sentence):
        excess_area_under_risk_coverage(np.array(confidence), np.array(correct, bool))


@pytest.mark.parametrize("precision", [-0.1, 1.1, np.nan])
def test_precision_that_is_none_is_refused(precision: float) -> None:
    with pytest.raises(ValueError, match=r"Expected a precision between 0 and 1; got "):
        coverage_at_precision(np.array([0.5]), np.array([True]), precision)
