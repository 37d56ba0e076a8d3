import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from scipy.stats import binomtest

from replays import N_BINS, advance, counted, factors
from softgate.numerics.alarm import (
    N_BETS,
    falling,
    is_alarm,
    mean_upper_bound,
    rising,
    share_upper_bound,
    stakes,
    start,
    step,
    walk,
)
from softgate.numerics.histogram import CONFIDENCE_EDGES, Counts

VALUES = np.array([0.0, 0.25, 1.0])
FALLING, HIT = falling(CONFIDENCE_EDGES), np.array([0.0, 1.0])

some_counts = arrays(np.intp, 3, elements=st.integers(0, 50))
some_evidence = arrays(np.float64, N_BETS, elements=st.floats(0, 1e6))
some_bounds = st.floats(1e-3, 1)


def test_steps_by_hand() -> None:
    after_one = step(start(), np.array([0, 0, 1]), VALUES, mean_bound=0.5)
    after_two = step(after_one, np.array([1, 0, 0]), VALUES, mean_bound=0.5)

    # The largest stake is 0.9 / 0.5 = 1.8: (0 + 1) * (1 + 1.8 * 0.5) = 1.9, (1.9 + 1) * (1 - 1.8 * 0.5) = 0.29.
    assert after_one[-1] == pytest.approx(1.9)
    assert after_two[-1] == pytest.approx(0.29)
    # The smallest is 0.04: 1.02, then 2.02 * 0.98.
    assert after_two[0] == pytest.approx(1.9796)


@given(st.lists(st.integers(0, 2), max_size=60), some_bounds, st.floats(2, 500))
def test_a_walk_is_steps_of_one_row_with_a_start_after_each_alarm(
    bins: list[int], mean_bound: float, budget: float
) -> None:
    evidence, alarms = start(), []
    for row, place in enumerate(bins):
        evidence = step(evidence, np.bincount([place], minlength=3), VALUES, mean_bound=mean_bound)
        # At the budget itself rounding may decide either way.
        assume(abs(evidence.mean() / budget - 1) > 1e-9)
        if is_alarm(evidence, budget=budget):
            alarms.append(row)
            evidence = start()

    walked = walk(start(), np.array(bins, dtype=np.intp), VALUES, mean_bound=mean_bound, budget=budget)

    assert list(walked.alarms) == alarms
    assert_allclose(walked.evidence, evidence, rtol=1e-9, atol=1e-12)


def test_stakes_by_hand() -> None:
    assert_allclose(stakes(0.5)[[0, -1]], [0.04, 1.8])
    assert_allclose(np.diff(np.log(stakes(0.5))), np.log(45) / 7)


def test_an_alarm_is_a_mean_that_reaches_the_budget() -> None:
    evidence = np.array([0.0] * 7 + [80.0])

    assert is_alarm(evidence, budget=10)
    assert not is_alarm(evidence, budget=10.1)
    assert not is_alarm(start(), budget=1)


def test_values_of_the_bins_by_hand() -> None:
    assert_array_equal(falling(np.array([0.25, 0.75, 1.0])), [1, 0.75, 0.25, 0])
    assert_array_equal(rising(np.array([0.25, 0.75, 1.0])), [0.25, 0.75, 1, 1])


def test_mean_bound_by_hand() -> None:
    # Mean 0.25 and variance 0.0625 * 3 = 0.1875; third moment (0.25 * 0.75^3 - 0.75 * 0.25^3) = 0.09375.
    bound = mean_upper_bound(np.array([300, 100]), HIT)

    z = 1.6448536
    assert bound == pytest.approx(0.25 + z * 0.1875**0.5 / 20 + (2 * z * z + 1) / 6 * 0.09375 / 0.1875 / 400, abs=1e-8)


@pytest.mark.parametrize("x", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("m", [1, 100, 10**9])
def test_mean_bound_of_a_reference_without_spread_allows_for_what_it_has_not_shown(x: float, m: int) -> None:
    bound = mean_upper_bound(np.array([m]), np.array([x]))

    # So large a share at 1 is missed by m rows with a chance of 5 %: 95 % for one row, about 3 / m for many.
    assert bound == pytest.approx(x + (1 - x) * (1 - 0.05 ** (1 / m)))
    assert stakes(bound).shape == (N_BETS,)


@given(hits=st.integers(0, 300), rows=st.integers(1, 300), certainty=st.floats(0.5, 0.999))
def test_share_bound_agrees_with_scipy(hits: int, rows: int, certainty: float) -> None:
    hits = min(hits, rows)

    interval = binomtest(hits, rows).proportion_ci(confidence_level=2 * certainty - 1, method="exact")

    if certainty > 0.5:
        assert share_upper_bound(hits, rows, certainty=certainty) == pytest.approx(interval.high, rel=1e-9)


@pytest.mark.parametrize(("hits", "rows"), [(-1, 5), (6, 5), (0, 0)])
def test_share_bound_of_what_is_no_share_is_refused(hits: int, rows: int) -> None:
    with pytest.raises(ValueError, match=f"got {hits} of {rows}"):
        share_upper_bound(hits, rows)


@pytest.mark.parametrize("bound", [0.0, -0.1, 1.1, np.nan])
def test_a_bound_that_is_no_mean_is_refused(bound: float) -> None:
    with pytest.raises(ValueError, match="Expected a mean bound above 0 and at most 1"):
        stakes(bound)


def test_mean_bound_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one observation in the reference"):
        mean_upper_bound(np.zeros(3, np.intp), VALUES)


@given(evidence=some_evidence, bound=some_bounds)
def test_no_rows_change_nothing(evidence: NDArray[np.float64], bound: float) -> None:
    assert_array_equal(step(evidence, np.zeros(3, np.intp), VALUES, mean_bound=bound), evidence)


@given(evidence=some_evidence, counts=some_counts, bound=some_bounds)
def test_evidence_grows_in_proportion_beside_that_of_a_new_start(
    evidence: NDArray[np.float64], counts: Counts, bound: float
) -> None:
    n = counts.sum() + 1
    counts = counts + np.array([0, 1, 0])
    fresh = step(start(), counts, VALUES, mean_bound=bound)

    whole = step(evidence, counts, VALUES, mean_bound=bound)

    # M and n are multiplied alike, so what one brings is to the other as M is to n.
    assert_allclose((whole - fresh) * n, evidence * fresh, rtol=1e-6, atol=1e-6 * fresh.max())


@given(low=st.integers(0, 40), high=st.integers(0, 40))
def test_at_once_is_more_than_row_by_row_where_x_is_high_and_less_where_it_is_low(low: int, high: int) -> None:
    for counts, sign in ((np.array([low, 0, 0]), -1), (np.array([0, 0, high]), 1)):
        row_by_row = start()
        for _ in range(counts.sum()):
            row_by_row = step(row_by_row, counts // counts.sum(), VALUES, mean_bound=0.3)

        at_once = step(start(), counts, VALUES, mean_bound=0.3)

        assert (sign * (at_once - row_by_row) >= -1e-9 * at_once).all()


@pytest.mark.parametrize("evidence", [0.0, 1.0, np.finfo(np.float64).max / N_BETS])
@pytest.mark.parametrize("bin_", [0, 1, 2])
@pytest.mark.parametrize("bound", [1e-9, 0.3, 0.99])
def test_a_billion_rows_give_a_finite_number(bound: float, bin_: int, evidence: float) -> None:
    counts = 10**9 * np.eye(3, dtype=np.intp)[bin_]

    after = step(np.full(N_BETS, evidence), counts, VALUES, mean_bound=bound)
    again = step(after, np.array([0, 0, 1]), VALUES, mean_bound=bound)

    assert np.isfinite(after).all()
    assert np.isfinite(again).all()
    assert is_alarm(after, budget=1e12) == (VALUES[bin_] > bound)


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_the_replays_are_those_of_the_detector(rows: int) -> None:
    rng = np.random.default_rng(rows)
    bounds = [0.05, 0.2]
    bins = rng.integers(N_BINS - 8, N_BINS, (2, 20 * rows))
    row_factors = factors(bounds, FALLING)
    replayed = np.zeros((2, N_BETS))
    evidence = [start(), start()]

    for first in range(0, bins.shape[1], rows):
        rows_now = bins[:, first : first + rows]
        replayed = advance(replayed, row_factors, rows_now)
        for i, bound in enumerate(bounds):
            evidence[i] = step(evidence[i], counted(rows_now[i]), FALLING, mean_bound=bound)

        assert_allclose(replayed, evidence, rtol=1e-9, atol=1e-300)
