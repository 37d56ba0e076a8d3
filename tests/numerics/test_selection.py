import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy.stats import chisquare

from softgate.numerics.activations import Probabilities, softmax
from softgate.numerics.selection import sample, top_k, top_p


def ranked(probabilities: Probabilities, k: int) -> Probabilities:
    return np.take_along_axis(probabilities, top_k(probabilities, k), axis=1)


def test_top_k_ranks_the_most_probable_first() -> None:
    assert_array_equal(top_k(np.array([[0.1, 0.6, 0.3], [0.5, 0.2, 0.3]]), 2), [[1, 2], [0, 2]])


def test_top_k_of_more_than_there_are_is_all() -> None:
    assert_array_equal(top_k(np.array([[0.1, 0.6, 0.3]]), 99), [[1, 2, 0]])


# 3 classes are sorted whole, 5000 are searched for their best first.
@pytest.mark.parametrize("n_classes", [3, 5000])
def test_top_k_gives_ties_to_the_lower_index_at_the_edge_as_well(n_classes: int) -> None:
    probabilities = np.full((2, n_classes), 1 / n_classes)
    probabilities[1, n_classes - 1] *= 2

    assert_array_equal(top_k(probabilities, 2), [[0, 1], [n_classes - 1, 0]])


@pytest.mark.parametrize("n_classes", [1, 7, 1024, 1025, 10_000])
@pytest.mark.parametrize("k", [1, 5, 200])
def test_top_k_agrees_with_a_stable_sort_under_many_ties(n_classes: int, k: int) -> None:
    # Two digits for thousands of classes: most values occur many times.
    probabilities = np.random.default_rng(k).random((6, n_classes)).round(2)

    actual = top_k(probabilities, k)

    assert actual.dtype == np.intp
    assert_array_equal(actual, np.argsort(-probabilities, axis=1, kind="stable")[:, :k])


@pytest.mark.parametrize("k", [10, 3000])
def test_top_k_of_thousands_tells_neighbouring_floats_zeros_and_signs_apart(k: int) -> None:
    draw = np.random.default_rng(0)
    rows = draw.random((5, 3000))
    rows[0] = np.nextafter(0.5, draw.choice([0.0, 1.0], 3000))
    rows[1, ::7] = draw.choice([0.0, -0.0, 5e-324], 429)
    rows[2] -= 0.5
    rows[3] = draw.choice(np.array([0.25, np.nextafter(0.25, 1)]), 3000)

    assert_array_equal(top_k(rows, k), np.argsort(-rows, axis=1, kind="stable")[:, :k])


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_top_k_takes_logits_of_any_precision(dtype: type[np.floating]) -> None:
    logits = np.random.default_rng(0).normal(size=(3, 2000)).astype(dtype)

    assert_array_equal(top_k(logits, 2000), np.argsort(-logits, axis=1, kind="stable"))


@pytest.mark.parametrize("n_classes", [3, 5000])
def test_top_k_of_no_rows_is_empty(n_classes: int) -> None:
    assert top_k(np.empty((0, n_classes)), 2).shape == (0, 2)


@pytest.mark.parametrize("k", [0, -1])
def test_top_k_refuses_to_show_nothing(k: int) -> None:
    with pytest.raises(ValueError, match=f"Expected k of at least 1; got {k}"):
        top_k(np.array([[1.0]]), k)


@pytest.mark.parametrize(
    ("row", "p", "expected"),
    [
        ([0.5, 0.3, 0.2], 0.4, 1),
        ([0.5, 0.3, 0.2], 0.5, 1),
        ([0.5, 0.3, 0.2], 0.51, 2),
        ([0.5, 0.3, 0.2], 0.81, 3),
        ([0.5, 0.3, 0.2], 0.0, 1),  # never none
        ([0.7, 0.2, 0.1], 0.9, 2),  # in floats 0.7 + 0.2 is 0.8999999999999999
        ([0.5, 0.3], 0.9, 2),  # cut by top_k before: never reached, so all
        ([0.5, 0.3, 0.2], 1.0, 3),
        ([1.0, 1e-20, 1e-30], 1.0, 3),  # reached in floats after the first, but the tail has mass
        ([0.5, 0.5, 0.0], 1.0, 2),  # a sparse row: what has no mass is not shown
        ([1.0, 1e-20, 0.0], 0.999, 1),
        ([0.0, 0.0], 0.9, 1),
    ],
)
def test_top_p_keeps_the_fewest_that_reach_p(row: list[float], p: float, expected: int) -> None:
    assert_array_equal(top_p(np.array([row]), p), [expected])


@given(
    weights=st.lists(st.integers(1, 1000), min_size=1, max_size=60),
    percent=st.integers(0, 99),
)
def test_top_p_agrees_with_exact_arithmetic(weights: list[int], percent: int) -> None:
    falling = sorted(weights, reverse=True)
    total = sum(falling)

    # Whole numbers: no rounding, so a mass that is exactly p counts as reached.
    expected = next(m for m in range(1, len(falling) + 1) if 100 * sum(falling[:m]) >= percent * total)

    assert_array_equal(top_p(np.array([falling]) / total, percent / 100), [expected])


def test_top_p_treats_rows_alone() -> None:
    keep = top_p(np.array([[0.9, 0.1, 0.0], [0.4, 0.3, 0.3]]), 0.7)

    assert keep.dtype == np.intp
    assert_array_equal(keep, [1, 2])
    assert top_p(np.empty((0, 3)), 0.7).shape == (0,)


@pytest.mark.parametrize("p", [-0.1, 1.1, np.nan])
def test_top_p_refuses_what_is_no_share(p: float) -> None:
    with pytest.raises(ValueError, match="Expected p between 0 and 1; got "):
        top_p(np.array([[1.0]]), p)


def test_200_000_classes_are_cut_exactly() -> None:
    logits = np.random.default_rng(0).normal(scale=2, size=(2, 200_000)).astype(np.float32)

    probabilities = softmax(logits)
    best = top_k(probabilities, 5)
    everything = ranked(probabilities, 200_000)
    keep = top_p(everything, 0.9)

    assert np.allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    for i in range(2):
        assert_array_equal(best[i], np.argsort(-logits[i], kind="stable")[:5])
        assert everything[i, : keep[i]].sum() >= 0.9 - 1e-10
        assert everything[i, : keep[i] - 1].sum() < 0.9
    assert_array_equal(top_p(everything, 1.0), [200_000, 200_000])


def test_sample_draws_by_the_renormalised_cut() -> None:
    n_rows = 20_000
    rows = np.tile([0.5, 0.3, 0.2], (n_rows, 1))

    drawn = sample(rows, np.full(n_rows, 2), seed=0)

    # 0.5 and 0.3 renormalised: 0.625 and 0.375. With this seed the test statistic is unremarkable.
    assert drawn.dtype == np.intp
    assert chisquare(np.bincount(drawn), n_rows * np.array([0.625, 0.375])).pvalue > 0.05


def test_sample_repeats_itself_under_the_same_seed() -> None:
    rows = ranked(softmax(np.random.default_rng(1).normal(size=(50, 9))), 9)
    keep = np.full(50, 9)

    assert_array_equal(sample(rows, keep, seed=7), sample(rows, keep, seed=7))
    assert (sample(rows, keep, seed=7) != sample(rows, keep, seed=8)).any()


def test_sample_stays_within_what_is_kept_and_has_mass() -> None:
    rows = np.tile([0.6, 0.4, 0.0, 0.0], (1000, 1))
    keep = np.resize([1, 2, 3, 4], 1000)

    drawn = sample(rows, keep, seed=3)

    assert (drawn < np.minimum(keep, 2)).all()
    assert_array_equal(np.unique(drawn), [0, 1])


def test_sample_of_no_rows_is_empty() -> None:
    assert sample(np.empty((0, 3)), np.empty(0, np.intp), seed=0).shape == (0,)


@pytest.mark.parametrize(
    ("keep", "sentence"),
    [
        ([1, 1], r"Expected one keep per row; got shape \(2,\) for 1 rows\."),
        ([0], r"Expected keep between 1 and 2; got 0 to 0\."),
        ([3], r"Expected keep between 1 and 2; got 3 to 3\."),
    ],
)
def test_sample_refuses_a_keep_that_does_not_fit(keep: list[int], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        sample(np.array([[0.6, 0.4]]), np.array(keep), seed=0)
