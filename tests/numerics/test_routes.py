import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from softgate.numerics.routes import group, route_maxima, route_probabilities, routes_spanned

# Classes 0 and 2 share route 1.
GROUPING = group([1, 0, 1, 2])


def test_classes_of_a_route_stand_side_by_side() -> None:
    assert_array_equal(GROUPING.columns, [1, 0, 2, 3])
    assert_array_equal(GROUPING.starts, [0, 1, 3])


def test_the_probability_of_a_route_is_the_sum_over_its_classes() -> None:
    probabilities = np.array([[0.45, 0.05, 0.45, 0.05], [0.0, 1.0, 0.0, 0.0]])

    assert_allclose(route_probabilities(probabilities, GROUPING), [[0.05, 0.9, 0.05], [1.0, 0.0, 0.0]], rtol=1e-15)


def test_a_sum_that_rounds_above_one_is_one() -> None:
    above = np.nextafter(0.5, 1)

    assert route_probabilities(np.array([[above, above]]), group([0, 0]))[0, 0] == 1


def test_a_set_spans_the_routes_of_its_classes() -> None:
    sets = np.array([[True, False, True, False], [False, True, False, True], [False, False, False, False]])

    assert_array_equal(routes_spanned(sets, GROUPING), [[False, True, False], [True, False, True], [False] * 3])


def test_one_class_is_one_route() -> None:
    assert route_probabilities(np.array([[1.0], [1.0]]), group([0])).tolist() == [[1.0], [1.0]]


def test_no_rows_give_no_routes() -> None:
    assert route_probabilities(np.empty((0, 4)), GROUPING).shape == (0, 3)
    assert routes_spanned(np.empty((0, 4), dtype=np.bool_), GROUPING).shape == (0, 3)


@pytest.mark.parametrize("numbers", [[1], [0, 2], [2, 0]])
def test_a_route_without_a_class_is_refused(numbers: list[int]) -> None:
    with pytest.raises(ValueError, match=r"Expected routes 0 to \d to have a class each; got classes for "):
        group(numbers)


@pytest.mark.parametrize("n_routes", [1, 3, 10_000])
def test_ten_thousand_classes_agree_with_a_plain_loop(n_routes: int) -> None:
    rng = np.random.default_rng(0)
    numbers = rng.permutation(np.arange(10_000) % n_routes)
    probabilities = rng.dirichlet(np.ones(10_000), size=2)
    expected = np.zeros((2, n_routes))
    for column, route in enumerate(numbers):
        expected[:, route] += probabilities[:, column]

    assert_allclose(route_probabilities(probabilities, group(numbers.tolist())), expected, rtol=1e-9)


@given(numbers=st.lists(st.integers(0, 4), min_size=1, max_size=12), data=st.data())
def test_every_class_counts_for_its_route_once(numbers: list[int], data: st.DataObject) -> None:
    present = sorted(set(numbers))
    routes = [present.index(number) for number in numbers]
    row = np.array(data.draw(st.lists(st.floats(0, 1 / 12), min_size=len(routes), max_size=len(routes))))
    expected = [row[np.array(routes) == route].sum() for route in range(len(present))]

    assert_allclose(route_probabilities(row[None], group(routes))[0], expected, rtol=1e-12)
    assert_array_equal(
        routes_spanned(row[None] > 0.05, group(routes))[0],
        [bool((row[np.array(routes) == route] > 0.05).any()) for route in range(len(present))],
    )


def test_where_labels_do_not_add_a_route_has_the_largest() -> None:
    probabilities = np.array([[0.9, 0.05, 0.8, 0.7], [0.2, 0.3, 0.4, 0.0]])

    assert_array_equal(route_maxima(probabilities, GROUPING), [[0.05, 0.9, 0.7], [0.3, 0.4, 0.0]])
