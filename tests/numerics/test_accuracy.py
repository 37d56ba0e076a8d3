import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import betabinom, fisher_exact

from replays import in_scope, out_of_scope
from shared_data import clinc_logits
from softgate.numerics.accuracy import atc_estimate, atc_threshold, average_confidence, share_shift
from softgate.numerics.activations import softmax
from softgate.numerics.confidence import entropy, max_probability
from softgate.numerics.histogram import count_in_bins
from softgate.numerics.out_of_scope import energy_gate
from softgate.numerics.temperature import apply_temperature, fit_temperature

MODELS = ["minilm_lr", "tfidf_svc"]
EDGES = np.array([0.1, 0.3, 0.6])

some_rows = st.lists(st.tuples(st.integers(0, 8).map(lambda k: k / 4), st.booleans()), min_size=1, max_size=30)


def test_atc_by_hand() -> None:
    # Three of four were right, and three of four lie at or below 0.3, whichever they are.
    threshold = atc_threshold(np.array([0.6, 0.1, 0.3, 0.2]), np.array([True, True, False, True]))

    assert threshold == 0.3
    assert atc_estimate(np.array([5, 2, 2, 1]), EDGES, threshold) == 0.7


def test_threshold_where_all_or_none_was_right() -> None:
    entropies = np.array([0.0, 0.5])

    assert atc_threshold(entropies, np.array([True, True])) == 0.5
    none = atc_threshold(entropies, np.array([False, False]))
    assert none < 0.0
    assert np.isfinite(none)


@given(rows=some_rows)
def test_the_reference_is_as_accurate_as_it_was_but_for_ties(rows: list[tuple[float, bool]]) -> None:
    entropies, right = (np.array(column) for column in zip(*rows, strict=True))
    threshold = atc_threshold(entropies, right)
    edges = np.unique([threshold, 0.5, 1.0])

    estimate = atc_estimate(count_in_bins(entropies, edges), edges, threshold)

    assert estimate >= right.mean() >= np.mean(entropies < threshold)
    if len(set(entropies)) == len(entropies):
        assert estimate == right.mean()


@given(rows=some_rows)
def test_threshold_ignores_the_order_of_the_rows(rows: list[tuple[float, bool]]) -> None:
    there, back = (
        atc_threshold(*(np.array(column) for column in zip(*ordered, strict=True))) for ordered in (rows, rows[::-1])
    )

    assert there == back


@pytest.mark.parametrize(
    ("entropies", "right"),
    [
        (np.empty(0), np.empty(0, bool)),
        (np.array([1.0]), np.array([True, False])),
        (np.array([np.nan]), np.ones(1, bool)),
    ],
)
def test_entropies_that_are_not_one_per_outcome_are_refused(
    entropies: NDArray[np.float64], right: NDArray[np.bool_]
) -> None:
    with pytest.raises(ValueError, match="Expected one entropy per outcome"):
        atc_threshold(entropies, right)


def test_a_threshold_that_is_no_edge_is_refused() -> None:
    with pytest.raises(ValueError, match=r"one of the 3 upper edges; got 0\.31"):
        atc_estimate(np.array([5, 2, 2, 1]), EDGES, 0.31)


@pytest.mark.parametrize("counts", [[0, 0, 0, 0], [1, 2, 3]])
def test_counts_of_nothing_or_of_other_bins_are_refused(counts: list[int]) -> None:
    with pytest.raises(ValueError, match="at least one row over 4 bins"):
        atc_estimate(np.array(counts), EDGES, 0.3)


def test_average_confidence_by_hand() -> None:
    assert average_confidence(7.5, 10) == 0.75
    with pytest.raises(ValueError, match="at least one row; got 0"):
        average_confidence(0.0, 0)


@pytest.mark.parametrize("model", MODELS)
def test_estimates_are_close_to_the_truth_and_too_high_among_strangers(model: str) -> None:
    """Of all of `test`, and with one out-of-scope row among four in-scope ones, all of which are wrong."""
    data = clinc_logits(model)
    temperature = fit_temperature(data["val"], data["y_val"]).temperature
    val, test, strange = (softmax(apply_temperature(data[split], temperature)) for split in ("val", "test", "oos_test"))
    threshold = atc_threshold(entropy(val), val.argmax(axis=1) == data["y_val"])
    edges = np.array([threshold])
    truth = float(np.mean(test.argmax(axis=1) == data["y_test"]))
    mixed = np.concatenate([test[:4000], strange])
    mixed_truth = 0.8 * float(np.mean(test[:4000].argmax(axis=1) == data["y_test"][:4000]))

    by_atc, mixed_by_atc = (
        atc_estimate(count_in_bins(entropy(rows), edges), edges, threshold) for rows in (test, mixed)
    )
    by_confidence, mixed_by_confidence = (
        average_confidence(float(max_probability(rows).sum()), len(rows)) for rows in (test, mixed)
    )

    assert by_atc == pytest.approx(truth, abs=0.015)
    assert by_confidence == pytest.approx(truth, abs=0.03)
    assert mixed_truth < mixed_by_atc < mixed_by_confidence
    assert mixed_by_atc - mixed_truth < 0.1


@given(m=st.integers(1, 80), n=st.integers(1, 80), data=st.data())
def test_share_shift_agrees_with_fisher_and_with_the_next_rows_of_a_beta(m: int, n: int, data: st.DataObject) -> None:
    hits_ref, hits = data.draw(st.integers(0, m)), data.draw(st.integers(0, n))

    found = share_shift(hits_ref, m, hits, n)

    table = np.array([[hits, n - hits], [hits_ref, m - hits_ref]])
    assert found == pytest.approx(fisher_exact(table, alternative="greater").pvalue, rel=1e-8)
    if hits_ref < m:
        # The share below a gate that is the (hits_ref + 1)-th smallest of m rows is of this distribution.
        assert found == pytest.approx(betabinom.sf(hits - 1, n, hits_ref + 1, m - hits_ref), rel=1e-6)


@given(m=st.integers(1, 80), n=st.integers(1, 80), data=st.data())
def test_the_more_hits_the_less_likely(m: int, n: int, data: st.DataObject) -> None:
    hits_ref, hits = data.draw(st.integers(0, m)), data.draw(st.integers(0, n - 1))

    assert share_shift(hits_ref, m, hits + 1, n) <= share_shift(hits_ref, m, hits, n) * (1 + 1e-9)
    assert share_shift(hits_ref, m, 0, n) == pytest.approx(1)


def test_share_shift_of_a_billion_rows_is_that_of_the_normal() -> None:
    # Of 10^9 each, at a share of 1 %: one standard error of the difference is 4450 hits.
    assert share_shift(10**7, 10**9, 10**7, 10**9) == pytest.approx(0.5, abs=1e-3)
    assert share_shift(10**7, 10**9, 10**7 + 10_000, 10**9) == pytest.approx(0.0123, abs=2e-4)
    assert share_shift(10**7, 10**9, 2 * 10**7, 10**9) == 0
    assert share_shift(10**7, 10**9, 0, 10**9) == 1


@pytest.mark.parametrize(("hits_ref", "m", "hits", "n"), [(0, 0, 0, 1), (0, 1, 0, 0), (2, 1, 0, 1), (0, 1, -1, 1)])
def test_shares_that_are_none_are_refused(hits_ref: int, m: int, hits: int, n: int) -> None:
    with pytest.raises(ValueError, match="Expected 0 to all of at least one row to be hits"):
        share_shift(hits_ref, m, hits, n)


@pytest.mark.parametrize("n", [50, 500, 5000])
def test_share_shift_is_valid_for_a_gate_of_the_same_rows(n: int) -> None:
    rng = np.random.default_rng(n)
    p_values, naive = [], []
    for _ in range(4000):
        reference = rng.random(1000)
        gate = energy_gate(reference, share=0.05)
        hits_ref, hits = int(np.sum(reference < gate)), int(rng.binomial(n, gate))
        p_values.append(share_shift(hits_ref, 1000, hits, n))
        # Wrong: as if the reference's share were known exactly.
        naive.append((hits - n * 0.05) / np.sqrt(n * 0.05 * 0.95) > 2.326)

    assert np.mean(np.array(p_values) <= 0.01) <= 0.015
    if n == 5000:
        assert np.mean(naive) > 0.1


@pytest.mark.parametrize("model", MODELS)
def test_share_shift_finds_strangers(model: str) -> None:
    rng = np.random.default_rng(0)
    familiar, strange = in_scope(model).energy, out_of_scope(model).energy
    gate = energy_gate(familiar[:3000], share=0.05)
    hits_ref = int(np.sum(familiar[:3000] < gate))
    below = [float(np.mean(energies < gate)) for energies in (familiar, strange)]

    found = {
        (share, n): np.mean(
            [
                share_shift(hits_ref, 3000, int(rng.binomial(n, (1 - share) * below[0] + share * below[1])), n) < 0.001
                for _ in range(500)
            ]
        )
        for share, n in ((0.2, 200), (0.05, 2000))
    }

    assert min(found.values()) > 0.9
