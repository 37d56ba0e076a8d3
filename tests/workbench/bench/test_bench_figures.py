import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softgate.workbench.bench.figures import SHARES, Spread, poisson_arrivals, quantiles, spread


def test_quantiles_by_hand() -> None:
    thousand = np.arange(1.0, 1001.0)[::-1]

    assert quantiles(thousand) == (500, 900, 990, 999)
    assert quantiles(np.array([7.0, 3.0])) == (3, 7, 7, 7)
    assert quantiles(np.array([7.0, 3.0]), [0.0, 1.0]) == (3, 7)


def test_quantiles_of_nothing_are_no_numbers() -> None:
    assert all(map(math.isnan, quantiles(np.array([]))))


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=300))
def test_quantiles_are_those_of_numpy_by_nearest_rank(values: list[float]) -> None:
    expected = np.quantile(values, SHARES, method="inverted_cdf")

    assert quantiles(np.array(values)) == tuple(expected)


def test_a_spread_holds_the_median_between_the_ends() -> None:
    assert spread([3, 1, 2]) == Spread(2, 1, 3)
    assert spread([4, 1]) == Spread(2.5, 1, 4)


def test_arrivals_are_a_poisson_process() -> None:
    due = poisson_arrivals(rate=1000, seconds=100, seed=0)
    gaps = np.diff(due)

    assert abs(len(due) - 100_000) < 4 * math.sqrt(100_000)
    assert due[0] >= 0
    assert due[-1] <= 100
    assert (gaps >= 0).all()
    # Of exponential gaps the deviation is the mean.
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.02)


def test_a_rate_too_low_for_the_time_still_has_a_request() -> None:
    assert len(poisson_arrivals(rate=1e-9, seconds=1, seed=0)) == 1


def test_arrivals_repeat_by_their_seed() -> None:
    first, again, other = (poisson_arrivals(rate=10, seconds=1, seed=seed) for seed in (1, 1, 2))

    assert first.tolist() == again.tolist() != other.tolist()
