from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon
from scipy.special import chdtrc, ndtr
from scipy.stats import chi2_contingency, kstwobign, kurtosis, ttest_ind_from_stats, wasserstein_distance

from replays import counted, in_scope, windows
from softgate.numerics.drift import DRIFT_STATISTICS, Distance, chi_squared
from softgate.numerics.histogram import CONFIDENCE_EDGES, Counts, Edges
from softgate.numerics.shift import Shift, deviation_shift, mean_shift

MODELS = ["minilm_lr", "tfidf_svc"]
EDGES = np.array([0.25, 0.5, 1.0])
PSI = DRIFT_STATISTICS["psi"]

some_counts = arrays(np.intp, 4, elements=st.integers(0, 60)).filter(lambda counts: counts.sum() > 0)


def values_of(counts: Counts, edges: Edges = EDGES) -> NDArray[np.float64]:
    """The observations of which these are the counts, each at its upper edge."""
    return np.repeat(np.append(edges, edges[-1]), counts)


def moments(counts: Counts) -> tuple[float, float, int]:
    values = values_of(counts, CONFIDENCE_EDGES)
    return float(values.mean()), float(values.std()), len(values)


def test_psi_by_hand() -> None:
    # Half a row to each bin: (3.5, 0.5) / 4 against (1.5, 2.5) / 4; 0.5 * ln(7 / 3) + 0.5 * ln 5.
    found = PSI(np.array([3, 0]), np.array([1, 2]), np.array([0.5]))

    assert found.value == pytest.approx(0.5 * np.log(7 / 3) + 0.5 * np.log(5))
    assert found.floor == pytest.approx(2 / 3)


def test_distances_by_hand() -> None:
    reference, window = np.array([2, 1, 1, 0]), np.array([0, 1, 2, 1])

    # Cumulative shares 1/2, 3/4, 1 and 0, 1/4, 3/4 at 0.25, 0.5 and 1.
    assert DRIFT_STATISTICS["ks"](reference, window, EDGES).value == pytest.approx(0.5)
    assert DRIFT_STATISTICS["wasserstein"](reference, window, EDGES).value == pytest.approx(0.5 * 0.25 + 0.5 * 0.5)


@given(reference=some_counts, window=some_counts)
def test_distances_agree_with_scipy(reference: Counts, window: Counts) -> None:
    p, q = ((counts + 0.5) / (counts + 0.5).sum() for counts in (reference, window))
    m, n = reference.sum(), window.sum()

    js, ks, w = (DRIFT_STATISTICS[name](reference, window, EDGES) for name in ("js", "ks", "wasserstein"))

    assert js.value == pytest.approx(jensenshannon(p, q) ** 2, abs=1e-12)
    assert w.value == pytest.approx(wasserstein_distance(values_of(reference), values_of(window)), abs=1e-12)
    assert ks.p_value == pytest.approx(kstwobign.sf(ks.value / np.sqrt(1 / m + 1 / n)), abs=1e-12)
    assert ks.floor == pytest.approx(kstwobign.mean() * np.sqrt(1 / m + 1 / n))


@given(reference=some_counts, window=some_counts)
def test_chi_squared_agrees_with_scipy(reference: Counts, window: Counts) -> None:
    seen = reference + window > 0

    found = chi_squared(reference, window)

    expected = chi2_contingency([reference[seen], window[seen]], correction=False)
    assert (found.value, found.floor) == pytest.approx((expected.statistic, expected.dof))
    assert found.p_value == pytest.approx(expected.pvalue)


@given(reference=some_counts, window=some_counts)
def test_mean_shift_agrees_with_scipy(reference: Counts, window: Counts) -> None:
    (a, s, m), (b, t, n) = ((v.mean(), v.std(), len(v)) for v in (values_of(reference), values_of(window)))

    found = mean_shift((a, s, m), (b, t, n))

    # Student's t, whose variance is that within both: t^2 / (m + n - 2) = z^2 / (m + n - z^2).
    assert found.value == pytest.approx(b - a, abs=1e-9)
    if s + t > 0 and abs(b - a) > 1e-6 and m > 1 and n > 1:
        student = ttest_ind_from_stats(b, t * np.sqrt(n / (n - 1)), n, a, s * np.sqrt(m / (m - 1)), m).statistic
        assert student**2 / (m + n - 2) == pytest.approx(found.z**2 / (m + n - found.z**2), rel=1e-6)


@given(reference=some_counts, window=some_counts)
def test_deviation_shift_is_that_of_the_values_and_its_error_that_of_their_kurtosis(
    reference: Counts, window: Counts
) -> None:
    a, b = values_of(reference), values_of(window)
    both = np.concatenate([a, b])

    found = deviation_shift(reference, window, EDGES)

    assert found.value == pytest.approx(b.std() - a.std(), abs=1e-12)
    if both.std() > 0 and abs(found.value) > 1e-9:
        # Variance of s: s^2 (excess kurtosis + 2) / 4k, and s^2 / 2k^2.
        variance = sum(both.var() * ((kurtosis(both) + 2) / (4 * k) + 1 / (2 * k * k)) for k in (len(a), len(b)))
        assert found.z == pytest.approx(found.value / np.sqrt(variance), rel=1e-6)


@given(reference=some_counts, window=some_counts)
@pytest.mark.parametrize("name", DRIFT_STATISTICS)
def test_a_distance_is_finite_at_least_0_and_0_to_itself(name: str, reference: Counts, window: Counts) -> None:
    statistic = DRIFT_STATISTICS[name]

    there, back = statistic(reference, window, EDGES), statistic(window, reference, EDGES)

    assert 0 <= there.value == pytest.approx(back.value, abs=1e-12)
    assert np.isfinite([there.value, there.floor]).all()
    assert there.p_value is None or 0 <= there.p_value <= 1
    assert statistic(reference, reference, EDGES).value == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("statistic", [*DRIFT_STATISTICS.values(), deviation_shift])
def test_counts_of_nothing_or_of_other_bins_are_refused(
    statistic: Callable[[Counts, Counts, Edges], Distance | Shift],
) -> None:
    some, none = np.array([1, 2, 3, 4]), np.zeros(4, np.intp)

    for reference, window in ((some, none), (none, some)):
        with pytest.raises(ValueError, match="at least one observation"):
            statistic(reference, window, EDGES)
    with pytest.raises(ValueError, match="counts over the same bins"):
        statistic(some, some[1:], EDGES)


def test_a_mean_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one observation on both sides; got 5 and 0"):
        mean_shift((0.5, 0.1, 5), (0.0, 0.0, 0))


def test_one_bin_or_no_spread_is_no_drift() -> None:
    only, one = np.array([7]), np.array([0, 5, 0, 0])

    assert [statistic(only, only, np.empty(0)).value for statistic in DRIFT_STATISTICS.values()] == [0, 0, 0, 0]
    assert chi_squared(one, one) == Distance(0, 0, 1)
    assert deviation_shift(one, one, EDGES) == Shift(0, 0, 0, 1)
    # 0.1 + 0.2 is not 0.3, and that is no shift.
    assert mean_shift((0.3, 0.0, 1000), (0.1 + 0.2, 0.0, 50)) == Shift(0, 0, 0, 1)


def test_the_floor_of_a_shift_is_its_mean_size_if_nothing_has_changed() -> None:
    rng = np.random.default_rng(0)
    shares = counted(in_scope("minilm_lr").bins) / len(in_scope("minilm_lr").bins)
    pairs = [tuple(rng.multinomial(size, shares) for size in (3000, 500)) for _ in range(3000)]

    by_mean = [mean_shift(moments(reference), moments(window)) for reference, window in pairs]
    by_deviation = [deviation_shift(reference, window, CONFIDENCE_EDGES) for reference, window in pairs]

    for shifts in (by_mean, by_deviation):
        size, floor = np.abs([shift.value for shift in shifts]).mean(), np.mean([shift.floor for shift in shifts])
        assert size == pytest.approx(floor, rel=0.06)


@pytest.mark.parametrize("unit", [1e-200, 1e-3, 1e160, 1e300])
def test_shifts_keep_their_standard_errors_in_any_unit(unit: float) -> None:
    reference, window = np.array([10, 20, 30, 40]), np.array([40, 30, 20, 10])
    (a, s, m), (b, t, n) = (0.3, 0.2, 100), (0.5, 0.1, 50)

    shift, scaled = mean_shift((a, s, m), (b, t, n)), mean_shift((a * unit, s * unit, m), (b * unit, t * unit, n))
    assert (scaled.z, scaled.p_value) == pytest.approx((shift.z, shift.p_value))
    assert (scaled.value / unit, scaled.floor / unit) == pytest.approx((shift.value, shift.floor))

    shift, scaled = (deviation_shift(reference, window, EDGES * one) for one in (1.0, unit))
    assert (scaled.z, scaled.p_value) == pytest.approx((shift.z, shift.p_value))
    assert (scaled.value / unit, scaled.floor / unit) == pytest.approx((shift.value, shift.floor))


def test_distances_of_a_billion_rows_are_exact() -> None:
    few, many = np.array([10, 20, 30, 40]), np.array([10, 20, 30, 40]) * 10**8

    for statistic in DRIFT_STATISTICS.values():
        assert statistic(many, many, EDGES).value == pytest.approx(0, abs=1e-12)
    assert chi_squared(few, many).value == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("n", [50, 100, 200, 500])
@pytest.mark.parametrize("model", MODELS)
def test_psi_is_calibrated_at_any_window_where_a_fixed_limit_is_not(model: str, n: int) -> None:
    found = [PSI(reference, window, EDGES) for reference, window in windows(model, m=3000, n=n)]

    values = np.array([one.value for one in found])
    p_values = np.array([one.p_value for one in found], dtype=np.float64)
    assert len(p_values) == 22_000
    assert np.mean(p_values < 0.001) <= 0.004
    assert np.mean(values) == pytest.approx(found[0].floor, rel=0.15)
    if n == 50:
        assert np.mean(values > 0.1) > 0.6


def test_psi_allows_for_the_noise_of_the_reference() -> None:
    found = [PSI(reference, window, EDGES) for reference, window in windows("minilm_lr", m=500, n=500)]
    values = np.array([one.value for one in found])

    assert np.mean(np.array([one.p_value for one in found], dtype=np.float64) < 0.001) <= 0.004
    # Wrong: as if the reference were known exactly.
    assert np.mean(chdtrc(9, values * 500) < 0.001) > 0.02


@pytest.mark.parametrize("model", MODELS)
def test_psi_finds_one_stranger_in_five_among_500_rows(model: str) -> None:
    found = [PSI(reference, window, EDGES) for reference, window in windows(model, m=3000, n=500, share=0.2)]

    assert np.mean(np.array([one.p_value for one in found], dtype=np.float64) < 0.001) > 0.95
    # Wrong: PSI itself as chi-squared, which leaves out how many rows there are.
    assert np.mean(chdtrc(9, np.array([one.value for one in found])) < 0.001) == 0


@pytest.mark.parametrize("n", [50, 100, 200, 500])
@pytest.mark.parametrize("model", MODELS)
def test_shifts_are_calibrated_where_those_by_the_window_alone_are_not(model: str, n: int) -> None:
    rng = np.random.default_rng(n)
    shares = counted(in_scope(model).bins) / len(in_scope(model).bins)
    pairs = [tuple(rng.multinomial(size, shares) for size in (3000, n)) for _ in range(3000)]
    pairs_of_moments = [(moments(reference), moments(window)) for reference, window in pairs]

    by_mean = [mean_shift(reference, window).p_value for reference, window in pairs_of_moments]
    by_deviation = [deviation_shift(reference, window, CONFIDENCE_EDGES).p_value for reference, window in pairs]
    # Wrong: each side's own variance, Welch's way, which is off where a small window happens to hold no low confidence.
    own = [(b - a) / np.hypot(s / m**0.5, t / k**0.5) for (a, s, m), (b, t, k) in pairs_of_moments]

    assert np.mean(np.array(by_mean) < 0.001) <= 0.005
    assert np.mean(np.array(by_deviation) < 0.001) <= 0.005
    if n == 50:
        assert np.mean(2 * ndtr(-np.abs(own)) < 0.001) > 0.02
