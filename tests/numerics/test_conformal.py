import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from softgate.numerics.activations import softmax
from softgate.numerics.conformal import mass_before, prediction_sets


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
