from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from scipy.special import pdtrc
from scipy.stats import binomtest, chi2_contingency, fisher_exact

from softgate.numerics.categories import exploded, pooled_rare, smoothed_shares, vanished, z_of_shares
from softgate.numerics.drift import chi_squared
from softgate.numerics.histogram import Counts

Finder = Callable[[Counts, Counts], NDArray[np.bool_]]

some_counts = arrays(np.intp, 6, elements=st.integers(0, 400))


def test_shares_by_hand() -> None:
    assert_allclose(smoothed_shares(np.array([3, 0])), [3.5 / 4, 0.5 / 4])


def test_shares_of_no_observations_are_equal() -> None:
    assert_allclose(smoothed_shares(np.zeros(4, np.intp)), 0.25)


@given(reference=some_counts)
def test_shares_are_above_0_and_sum_to_1(reference: Counts) -> None:
    shares = smoothed_shares(reference)

    assert (shares > 0).all()
    assert shares.sum() == pytest.approx(1)


def test_a_category_that_was_common_and_is_absent_has_vanished() -> None:
    # Of 1000 rows 100, so of 200 more 20 are expected: 100 ln(1.2) = 18.2. Of 230 it is 20.7.
    reference = np.array([100, 900])

    assert vanished(reference, np.array([0, 200])).tolist() == [False, False]
    assert vanished(reference, np.array([0, 230])).tolist() == [True, False]
    assert vanished(reference, np.array([1, 10_000])).tolist() == [False, False]


def test_a_category_that_the_reference_hardly_knows_does_not_vanish_however_long_the_window() -> None:
    assert not vanished(np.array([0, 1, 2, 2997]), np.array([0, 0, 0, 10**6])).any()


def test_a_category_with_many_times_its_share_has_exploded() -> None:
    reference = np.array([10, 990])

    # 10.5 expected with the half, 52.4 is five times that.
    assert exploded(reference, np.array([52, 948])).tolist() == [False, False]
    assert exploded(reference, np.array([53, 947])).tolist() == [True, False]


def test_a_few_rows_of_a_rare_category_are_no_explosion() -> None:
    # 1/2 expected of each; 20 of one new category are 2^-20 by chance, 19 more than a millionth.
    reference = np.append(np.zeros(1, np.intp), 2000)

    assert exploded(reference, np.array([19, 1981])).tolist() == [False, False]
    assert exploded(reference, np.array([20, 1980])).tolist() == [True, False]


@given(reference=some_counts, window=some_counts)
def test_what_has_vanished_is_improbable_by_the_exact_test(reference: Counts, window: Counts) -> None:
    m, n = int(reference.sum()), int(window.sum())
    for place in np.flatnonzero(vanished(reference, window)):
        table = np.array([[reference[place], m - reference[place]], [window[place], n - window[place]]])
        assert window[place] == 0
        assert fisher_exact(table, alternative="greater").pvalue <= np.exp(-20)


@given(reference=some_counts, window=some_counts)
def test_what_has_exploded_is_improbable_by_the_binomial_test(reference: Counts, window: Counts) -> None:
    m, n = int(reference.sum()), int(window.sum())
    found = exploded(reference, window)

    shares = smoothed_shares(reference)
    for place in range(6):
        r, w = int(reference[place]), int(window[place])
        chance = binomtest(w, r + w, n / (m + n), alternative="greater").pvalue if r + w else 1.0
        assert found[place] == (w > 0 and w >= 5 * shares[place] * n and chance < 1e-6)


@pytest.mark.parametrize("find", [vanished, exploded])
def test_nothing_is_found_in_no_observations(find: Finder) -> None:
    some, none = np.array([5000, 1]), np.zeros(2, np.intp)

    assert not find(some, none).any()
    assert not find(none, none).any()
    assert not find(none, some)[1]


@pytest.mark.parametrize("find", [vanished, exploded])
def test_counts_may_be_floats(find: Finder) -> None:
    reference, window = np.array([100, 900, 0]), np.array([0, 2000, 300])

    assert_array_equal(find(reference, window), find(reference, window.astype(np.float64)))


def rare_and_common(n_categories: int) -> NDArray[np.float64]:
    return np.random.default_rng(n_categories).dirichlet(np.full(n_categories, 0.5))


def found_by_chance(find: Finder, n_categories: int, n: int) -> int:
    """How many categories in 300 windows of n rows, each with a reference of 3000 of the same mix."""
    rng, shares = np.random.default_rng(n), rare_and_common(n_categories)
    references, windows = (rng.multinomial(rows, shares, size=300) for rows in (3000, n))
    return sum(int(find(r, w).sum()) for r, w in zip(references, windows, strict=True))


def vanished_if_the_reference_were_exact(reference: Counts, window: Counts) -> NDArray[np.bool_]:
    return np.asarray((window == 0) & (smoothed_shares(reference) * window.sum() >= 20))


def exploded_if_the_reference_were_exact(reference: Counts, window: Counts) -> NDArray[np.bool_]:
    expected = smoothed_shares(reference) * window.sum()
    return np.asarray((window >= 5 * expected) & (pdtrc(np.maximum(window - 1, 0), expected) < 1e-6))


@pytest.mark.parametrize("n", [100, 3000, 100_000, 3_000_000])
@pytest.mark.parametrize("n_categories", [10, 150, 1000])
def test_unchanged_traffic_hardly_ever_has_a_category_that_vanished_or_exploded(n_categories: int, n: int) -> None:
    assert found_by_chance(vanished, n_categories, n) == 0
    # 300 000 categories at a chance of a millionth each.
    assert found_by_chance(exploded, n_categories, n) <= 2


@pytest.mark.parametrize("wrong", [vanished_if_the_reference_were_exact, exploded_if_the_reference_were_exact])
def test_a_long_window_needs_the_reference_s_own_noise(wrong: Finder) -> None:
    assert found_by_chance(wrong, 1000, 3_000_000) > 1000


def test_a_category_that_really_goes_or_comes_is_found() -> None:
    rng = np.random.default_rng(0)
    shares = np.full(50, 0.02)
    gone, come = shares.copy(), shares.copy()
    gone[3], come[7] = 0.0, 0.2

    for _ in range(50):
        reference = rng.multinomial(3000, shares)
        assert np.flatnonzero(vanished(reference, rng.multinomial(4000, gone / gone.sum()))).tolist() == [3]
        assert np.flatnonzero(exploded(reference, rng.multinomial(500, come / come.sum()))).tolist() == [7]


def test_z_by_hand() -> None:
    # 1/4 and 1/2 of 100 each: r = 3/8, and 0.25 / sqrt(3/8 * 5/8 * 2/100) = 3.651.
    z = z_of_shares(np.array([25, 75, 0]), np.array([50, 50, 0]))

    assert_allclose(z, [0.25 / np.sqrt(0.0046875), -0.25 / np.sqrt(0.0046875), 0.0])


@given(reference=some_counts, window=some_counts)
def test_the_square_of_z_is_chi_squared_of_the_category_against_the_rest(reference: Counts, window: Counts) -> None:
    m, n = int(reference.sum()), int(window.sum())
    z = z_of_shares(reference, window)

    for place in range(6):
        r, w = int(reference[place]), int(window[place])
        if m and n and 0 < r + w < m + n:
            expected = chi2_contingency([[r, m - r], [w, n - w]], correction=False).statistic
            assert z[place] ** 2 == pytest.approx(expected, abs=1e-9)
            assert np.sign(z[place]) == np.sign(w / n - r / m) or abs(z[place]) < 1e-9
        else:
            assert z[place] == 0


def test_rare_categories_are_taken_together_by_hand() -> None:
    # The smaller sample has 10 of 110 rows: a category needs 55 of both.
    reference, window = pooled_rare(np.array([60, 9, 1, 30, 0]), np.array([5, 2, 0, 2, 1]))

    assert (reference.tolist(), window.tolist()) == ([60, 40], [5, 5])


def test_common_categories_are_left_as_they_are() -> None:
    reference, window = np.array([50, 50]), np.array([40, 60])

    assert pooled_rare(reference, window) == (reference, window)


@given(reference=some_counts, window=some_counts)
def test_taking_together_loses_no_row(reference: Counts, window: Counts) -> None:
    pooled = pooled_rare(reference, window)

    assert [counts.sum() for counts in pooled] == [reference.sum(), window.sum()]
    assert pooled[0].shape == pooled[1].shape


def significant(n_categories: int, n: int, *, together: bool) -> float:
    """Share of 1500 unchanged windows whose chi-squared has a p below 0.001."""
    rng, shares = np.random.default_rng(n), rare_and_common(n_categories)
    references, windows = (rng.multinomial(rows, shares, size=1500) for rows in (3000, n))
    pairs = zip(references, windows, strict=True)
    p = [chi_squared(*(pooled_rare(r, w) if together else (r, w))).p_value or 0.0 for r, w in pairs]
    return float(np.mean(np.array(p) < 0.001))


@pytest.mark.parametrize("n", [50, 200, 1000, 5000, 100_000])
def test_the_mix_of_an_unchanged_window_is_seldom_significant(n: int) -> None:
    # Three standard errors of 1500 windows at 0.003 are 0.004: small windows of a skewed mix take up to that much.
    assert significant(150, n, together=True) <= 0.004


@pytest.mark.parametrize("n", [50, 100_000])
def test_without_taking_together_an_unchanged_window_often_is(n: int) -> None:
    assert significant(150, n, together=False) > 0.01
