"""What the alarm is held to, replayed on real rows: its false alarms, and how soon it finds strangers."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2

from replays import FALLING, RISING, alarms, counted, delays_over_references, factors, in_scope
from softgate.numerics.alarm import mean_upper_bound, share_upper_bound
from softgate.numerics.out_of_scope import energy_gate

MODELS = ["minilm_lr", "tfidf_svc"]
A = 10_000


def rows_per_alarm(found: NDArray[np.intp], n_rows: int) -> tuple[float, float]:
    """Over all replicas, and its lower bound of 95 %: alarms with restart come about like raindrops."""
    n, total = int(found.sum()), len(found) * n_rows
    return total / max(n, 1), total / (float(chi2.ppf(0.95, 2 * (n + 1))) / 2)


@pytest.mark.parametrize("model", MODELS)
def test_false_alarms_keep_to_the_budget_under_the_exact_null(model: str) -> None:
    pool = in_scope(model)
    bins = np.random.default_rng(0).choice(pool.bins, (60, 60_000))
    mean = float(FALLING[pool.bins].mean())

    found = alarms(factors([mean] * 60, FALLING), bins, budget=A)
    # Wrong: the mean before it is binned, as if binning did not move it.
    unbinned = alarms(factors([1 - float(pool.confidence.mean())] * 60, FALLING), bins, budget=A)
    # Wrong: a budget of half as many rows.
    hasty = alarms(factors([mean] * 60, FALLING), bins, budget=A / 2)

    rate, at_least = rows_per_alarm(found, 60_000)
    assert rate >= A
    assert at_least >= 0.9 * A
    assert rows_per_alarm(unbinned, 60_000)[0] < A
    assert rows_per_alarm(hasty, 60_000)[0] < A


@pytest.mark.parametrize("rows", [7, 20, 1000])
def test_false_alarms_keep_to_the_budget_at_any_step(rows: int) -> None:
    bins = np.random.default_rng(rows).choice(in_scope("minilm_lr").bins, (60, 60_000))
    mean = float(FALLING[in_scope("minilm_lr").bins].mean())

    found = alarms(factors([mean] * 60, FALLING), bins, budget=A, rows=rows)

    assert rows_per_alarm(found, 60_000)[1] >= A


@pytest.mark.parametrize("model", MODELS)
def test_a_reference_of_3000_rows_seldom_breaks_the_budget_and_its_plain_mean_often(model: str) -> None:
    rng = np.random.default_rng(0)
    pool = in_scope(model).bins
    references = [counted(rng.choice(pool, 3000)) for _ in range(40)]
    bins = rng.choice(pool, (40, 60_000))

    bounded = alarms(factors([mean_upper_bound(r, FALLING) for r in references], FALLING), bins, budget=A)
    plain = alarms(factors([float(r @ FALLING) / 3000 for r in references], FALLING), bins, budget=A)

    assert np.sum(60_000 / np.maximum(bounded, 1) < A) <= 3
    assert np.sum(60_000 / np.maximum(plain, 1) < A) >= 10


@pytest.mark.parametrize("values", [FALLING, RISING], ids=["falling", "rising"])
@pytest.mark.parametrize("m", [30, 300, 3000])
@pytest.mark.parametrize("model", MODELS)
def test_the_mean_is_below_its_bound_in_95_of_100_references(model: str, m: int, values: NDArray[np.float64]) -> None:
    shares = counted(in_scope(model).bins) / len(in_scope(model).bins)
    references = np.random.default_rng(m).multinomial(m, shares, size=4000)

    missed = np.mean([mean_upper_bound(reference, values) < shares @ values for reference in references])

    # Three standard errors of 4000 draws are 0.010.
    assert missed <= 0.06


def test_the_share_below_a_gate_of_the_same_rows_is_below_its_bound_in_95_of_100_references() -> None:
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(4000):
        reference = rng.random(200)
        # Of uniform energies the share below a gate is the gate.
        shares.append((energy_gate(reference, share=0.05), int(np.sum(reference < energy_gate(reference, share=0.05)))))

    missed = np.mean([gate > share_upper_bound(hits, 200) for gate, hits in shares])

    assert missed == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize(("share", "median", "late"), [(0.2, 100, 200), (0.05, 1000, 2700)])
@pytest.mark.parametrize("model", MODELS)
def test_out_of_scope_rows_are_found_soon(model: str, share: float, median: int, late: int) -> None:
    found = delays_over_references(model, share=share, n_rows=10 * median)

    assert (np.median(found, axis=1) <= median).all()
    assert (np.quantile(found, 0.95, axis=1) <= late).all()


@pytest.mark.parametrize("model", MODELS)
def test_out_of_scope_rows_are_found_soon_in_merged_counts_of_4_workers(model: str) -> None:
    found = delays_over_references(model, share=0.2, n_rows=1000, rows=20)

    assert (np.median(found, axis=1) <= 110).all()
    assert (np.quantile(found, 0.95, axis=1) <= 220).all()
