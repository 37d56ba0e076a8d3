from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from softgate.numerics.activations import softmax
from softgate.numerics.conformal import (
    SET_SCORES,
    SetScore,
    class_quantiles,
    conformal_quantile,
    least_ambiguous,
    mass_before,
    prediction_set_quantile,
    prediction_sets,
    target_scores,
)

Quantile = Callable[[NDArray[np.float64]], float]

some_logits = arrays(
    np.float64, st.tuples(st.integers(1, 6), st.integers(1, 8)), elements=st.integers(-3, 3).map(float)
)


def test_mass_before_by_hand() -> None:
    # Ranked 0.5, 0.3, 0.2 are the columns 1, 2, 0: before them lie 0, 0.5 and 0.8.
    assert_allclose(mass_before(np.array([[0.2, 0.5, 0.3]])), [[0.8, 0.0, 0.5]])


def test_ties_rank_by_index() -> None:
    assert_allclose(mass_before(np.array([[0.2, 0.4, 0.4]])), [[0.8, 0.0, 0.4]])
    assert_array_equal(prediction_sets(np.full((1, 4), 0.25), 0.25), [[True, True, False, False]])
    # As many that no sort keeps their order by chance.
    assert_allclose(mass_before(np.full((1, 512), 1 / 512)), [np.arange(512) / 512])


@pytest.mark.parametrize(
    ("quantile", "expected"),
    [
        (0.0, [False, True, False]),
        (0.49, [False, True, False]),
        (0.5, [False, True, True]),
        (0.9, [True, True, True]),
        (np.inf, [True, True, True]),
    ],
)
def test_set_grows_with_the_quantile(quantile: float, expected: list[bool]) -> None:
    assert_array_equal(prediction_sets(np.array([[0.2, 0.5, 0.3]]), quantile), [expected])


def test_set_is_never_empty_and_always_holds_the_first() -> None:
    probabilities = softmax(np.random.default_rng(0).normal(scale=5, size=(200, 20)))

    sets = prediction_sets(probabilities, 0.0)

    assert sets.dtype == np.bool_
    assert_array_equal(sets.sum(axis=1), 1)
    assert_array_equal(sets.argmax(axis=1), probabilities.argmax(axis=1))


def test_mass_before_agrees_with_a_plain_loop() -> None:
    row = softmax(np.random.default_rng(1).normal(size=(1, 50)))

    expected = [row[row > p].sum() for p in row[0]]

    assert_allclose(mass_before(row)[0], expected, atol=1e-14)


@pytest.mark.parametrize("n_classes", [1, 10_000])
def test_shapes_at_the_extremes(n_classes: int) -> None:
    probabilities = np.full((2, n_classes), 1 / n_classes)

    assert_array_equal(prediction_sets(probabilities, 0.0).sum(axis=1), [1, 1])
    assert prediction_sets(np.empty((0, n_classes)), 0.5).shape == (0, n_classes)


@pytest.mark.parametrize("quantile", [-0.1, np.nan])
def test_quantile_that_is_none_is_refused(quantile: float) -> None:
    with pytest.raises(ValueError, match="Expected a quantile of at least 0; got "):
        prediction_sets(np.array([[1.0]]), quantile)


def test_a_quantile_of_1_is_every_class_however_the_sum_rounds() -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.full(50, 0.05), size=5000)

    assert prediction_sets(probabilities, 1.0).all()


def test_least_ambiguous_by_hand() -> None:
    probabilities = np.array([[0.25, 0.5, 0.25]])

    assert_array_equal(least_ambiguous(probabilities), [[0.75, 0.5, 0.75]])
    # No class is likely enough: that set is empty, as it never is with the mass before.
    assert_array_equal(prediction_sets(probabilities, 0.4, score=least_ambiguous), [[False, False, False]])
    assert_array_equal(prediction_sets(probabilities, 0.5, score=least_ambiguous), [[False, True, False]])


def test_target_scores_by_hand() -> None:
    probabilities = np.array([[0.2, 0.5, 0.3], [0.7, 0.2, 0.1]])
    targets = np.array([0, 0])

    assert_allclose(target_scores(probabilities, targets), [0.8, 0.0])
    assert_allclose(target_scores(probabilities, targets, score=least_ambiguous), [0.8, 0.3])


@pytest.mark.parametrize("name", SET_SCORES)
@given(logits=some_logits, data=st.data())
def test_scores_are_shares_and_order_the_classes(name: str, logits: NDArray[np.float64], data: st.DataObject) -> None:
    probabilities = softmax(logits)
    targets = np.array(
        data.draw(st.lists(st.integers(0, logits.shape[1] - 1), min_size=len(logits), max_size=len(logits)))
    )

    scores = SET_SCORES[name](probabilities)

    assert ((scores >= 0) & (scores <= 1)).all()
    # The likelier class scores no higher.
    ranked = np.take_along_axis(scores, np.argsort(-probabilities, axis=1, kind="stable"), axis=1)
    assert (np.diff(ranked, axis=1) >= -1e-15).all()
    assert_array_equal(
        target_scores(probabilities, targets, score=SET_SCORES[name]), scores[np.arange(len(scores)), targets]
    )
    assert prediction_sets(probabilities, 1.0, score=SET_SCORES[name]).all()


@pytest.mark.parametrize("name", SET_SCORES)
def test_target_scores_are_the_same_in_blocks(name: str) -> None:
    rng = np.random.default_rng(2)
    probabilities = softmax(rng.normal(size=(300, 2000)))
    targets = rng.integers(0, 2000, 300)

    expected = SET_SCORES[name](probabilities)[np.arange(300), targets]

    assert_array_equal(target_scores(probabilities, targets, score=SET_SCORES[name]), expected)


@pytest.mark.parametrize(
    ("n_rows", "coverage", "rank"),
    # ceil(20 * 0.95), ceil(10 * 0.9), ceil(101 * 0.95), ceil(100 * 0.55): as products of floats, 19 and 56.
    [(19, 0.95, 19), (9, 0.9, 9), (100, 0.95, 96), (99, 0.55, 55), (99, 0.99, 99)],
)
def test_quantile_is_the_score_of_that_rank(n_rows: int, coverage: float, rank: int) -> None:
    scores = np.random.default_rng(3).permutation(n_rows) / n_rows

    assert conformal_quantile(scores, coverage=coverage) == (rank - 1) / n_rows


@pytest.mark.parametrize(("n_rows", "coverage"), [(18, 0.95), (8, 0.9), (98, 0.99), (0, 0.5)])
def test_quantile_of_too_few_rows_is_every_class(n_rows: int, coverage: float) -> None:
    assert conformal_quantile(np.zeros(n_rows), coverage=coverage) == 1


@pytest.mark.parametrize("hundredths", range(1, 100))
def test_rank_of_the_quantile_does_not_round(hundredths: int) -> None:
    for total in (100, 200, 1700, 4000):
        scores = np.arange(1, total) / total

        quantile = conformal_quantile(scores, coverage=float(f"0.{hundredths:02}"))

        assert round(quantile * total) == hundredths * total // 100


def without_the_new_row(scores: NDArray[np.float64]) -> float:
    """Wrong: of n, not of n + 1."""
    return float(np.sort(scores)[int(np.ceil(0.9 * len(scores))) - 1])


def interpolated(scores: NDArray[np.float64]) -> float:
    """Wrong: the plain quantile."""
    return float(np.quantile(scores, 0.9))


@pytest.mark.parametrize(
    ("quantile", "covers"),
    [
        (lambda scores: conformal_quantile(scores, coverage=0.9), True),
        (without_the_new_row, False),
        (interpolated, False),
    ],
)
def test_quantile_covers_the_next_row(quantile: Quantile, covers: bool) -> None:
    # Uniform scores: the quantile is itself the share of new rows at or below it. 30 rows, ceil(31 * 0.9) = 28 of 31.
    draws = np.random.default_rng(4).random((20_000, 30))

    coverage = np.mean([quantile(scores) for scores in draws])

    assert (coverage >= 0.9 - 0.001) == covers
    if covers:
        assert coverage == pytest.approx(28 / 31, abs=0.001)


@pytest.mark.parametrize("of_quantile", SET_SCORES)
@pytest.mark.parametrize("of_sets", SET_SCORES)
def test_sets_keep_their_coverage_with_the_score_of_their_quantile_alone(of_quantile: str, of_sets: str) -> None:
    rng = np.random.default_rng(5)
    probabilities = softmax(rng.normal(scale=2, size=(20_000, 5)))
    targets = (rng.random((20_000, 1)) > np.cumsum(probabilities, axis=1)).sum(axis=1).clip(max=4)

    quantile = prediction_set_quantile(
        probabilities[:10_000], targets[:10_000], coverage=0.9, score=SET_SCORES[of_quantile]
    )
    sets = prediction_sets(probabilities[10_000:], quantile, score=SET_SCORES[of_sets])
    coverage = sets[np.arange(10_000), targets[10_000:]].mean()

    # Three standard deviations of the quantile's rows and the sets' rows.
    assert (abs(coverage - 0.9) <= 3 * 0.3 * np.sqrt(2 / 10_000)) == (of_quantile == of_sets)


def test_class_quantiles_by_hand() -> None:
    # Nine rows of class 0 carry 0.9, their largest; two of class 2 do not, and class 1 has none.
    scores = np.array([0.1, 0.2, 0.3, 0.1, 0.2, 0.3, 0.1, 0.2, 0.4, 0.6, 0.5])
    targets = np.array([0] * 9 + [2, 2])

    # Pooled: ceil(12 * 0.9) = 11 of 11.
    assert_array_equal(class_quantiles(scores, targets, n_classes=4, coverage=0.9), [0.4, 0.6, 0.6, 0.6])


def test_class_quantiles_cover_every_class() -> None:
    rng = np.random.default_rng(6)
    # Class 1 is the harder one.
    targets = np.repeat([0, 1], [9000, 1000])
    scores = np.where(targets == 0, 0.5, 1.0) * rng.random(10_000)

    own = class_quantiles(scores, targets, n_classes=2, coverage=0.9)
    pooled = conformal_quantile(scores, coverage=0.9)

    assert_allclose(own, [0.45, 0.9], atol=0.03)
    # What the average row keeps, the rows of class 1 do not.
    assert np.mean(scores[targets == 1] <= pooled) < 0.6


def test_each_class_enters_a_set_by_its_own_quantile() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3]])

    sets = prediction_sets(probabilities, np.array([0.9, 0.0, 0.8]))

    # Mass before: 0, 0.5, 0.8 and 0.8, 0, 0.5. The class that ranks first is in at any quantile.
    assert_array_equal(sets, [[True, False, True], [True, True, True]])


@pytest.mark.parametrize("quantile", [[0.5, -0.1], [0.5, np.nan]])
def test_quantiles_of_which_one_is_none_are_refused(quantile: list[float]) -> None:
    with pytest.raises(ValueError, match="Expected a quantile of at least 0; got "):
        prediction_sets(np.array([[0.5, 0.5]]), np.array(quantile))


def test_quantiles_of_other_classes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Expected one quantile per class, 2; got shape \(3,\)\."):
        prediction_sets(np.array([[0.5, 0.5]]), np.zeros(3))


@pytest.mark.parametrize("coverage", [0.0, 1.0, -0.5, np.nan])
def test_coverage_that_is_none_is_refused(coverage: float) -> None:
    with pytest.raises(ValueError, match=r"Expected a coverage between 0 and 1; got "):
        conformal_quantile(np.zeros(5), coverage=coverage)


@pytest.mark.parametrize(
    ("scores", "sentence"),
    [
        ([0.5, 1.5], r"Expected scores in \[0, 1\]; got 0\.5 to 1\.5\."),
        ([0.5, np.nan], r"Expected scores in \[0, 1\]; got nan to nan\."),
        ([[0.5]], r"Expected scores of shape \(n_rows,\); got shape \(1, 1\)\."),
    ],
)
def test_scores_that_are_none_are_refused(scores: list[float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        conformal_quantile(np.array(scores), coverage=0.5)


@pytest.mark.parametrize("score", [mass_before, least_ambiguous])
def test_targets_that_do_not_fit_are_refused(score: SetScore) -> None:
    with pytest.raises(ValueError, match="Expected targets from 0 to 1; got 0 to 2"):
        prediction_set_quantile(np.full((2, 2), 0.5), np.array([0, 2]), coverage=0.5, score=score)
    with pytest.raises(ValueError, match="Expected one target per row; got 2 rows and 1 targets"):
        class_quantiles(np.zeros(2), np.array([0]), n_classes=1, coverage=0.5)


@pytest.mark.parametrize("quantile", [0.0, 0.3, 0.95, 0.9999, 1.0, "per class"])
@pytest.mark.parametrize("scale", [0.0, 0.3, 3.0, 30.0])
def test_sets_of_thousands_of_classes_are_those_of_all_their_scores(quantile: float | str, scale: float) -> None:
    random = np.random.default_rng(5)
    probabilities = softmax(random.normal(scale=scale, size=(20, 3000)))
    # Ties at the edge of a set, and mass nowhere else.
    probabilities[0] = np.repeat([0.1, 0.0], [10, 2990])
    limit = random.uniform(size=3000) if isinstance(quantile, str) else quantile

    assert_array_equal(prediction_sets(probabilities, limit), mass_before(probabilities) <= limit)
