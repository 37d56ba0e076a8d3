import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from softgate.numerics.histogram import CONFIDENCE_EDGES, coarsen, count_in_bins

EDGES = np.array([0.0, 0.5, 1.0])


def test_a_value_on_an_edge_is_in_the_bin_below_it() -> None:
    assert_array_equal(count_in_bins(np.array([0.0, 0.5, 0.5, 1.0]), EDGES), [1, 2, 1, 0])


def test_what_lies_outside_the_edges_is_in_the_first_or_the_last_bin() -> None:
    assert_array_equal(count_in_bins(np.array([-np.inf, -1.0, 1.1, np.inf]), EDGES), [2, 0, 0, 2])


def test_no_values_give_no_counts_in_every_bin() -> None:
    assert_array_equal(count_in_bins(np.empty(0), EDGES), [0, 0, 0, 0])


def test_one_edge_makes_two_bins() -> None:
    assert_array_equal(count_in_bins(np.array([1.0, 2.0, 3.0]), np.array([2.0])), [2, 1])


def test_confidence_edges_rise_to_one() -> None:
    assert (np.diff(CONFIDENCE_EDGES) > 0).all()
    assert CONFIDENCE_EDGES[-1] == 1.0


def test_a_confidence_of_one_is_no_overflow() -> None:
    assert count_in_bins(np.array([1.0]), CONFIDENCE_EDGES)[-1] == 0


@pytest.mark.parametrize("edge", [0.05, 0.15, 0.3, 0.7, 0.95, 0.97, 0.999])
def test_a_confidence_written_as_an_edge_is_that_edge(edge: float) -> None:
    assert count_in_bins(np.array([edge]), CONFIDENCE_EDGES)[np.searchsorted(CONFIDENCE_EDGES, edge)] == 1
    assert edge in CONFIDENCE_EDGES


@given(values=st.lists(st.floats(0, 1)), more=st.lists(st.floats(0, 1)))
def test_counts_add(values: list[float], more: list[float]) -> None:
    whole = count_in_bins(np.array(values + more), CONFIDENCE_EDGES)

    assert_array_equal(
        whole, count_in_bins(np.array(values), CONFIDENCE_EDGES) + count_in_bins(np.array(more), CONFIDENCE_EDGES)
    )


@given(values=st.lists(st.floats(-2, 2)))
def test_cumulative_counts_are_those_of_less_or_equal(values: list[float]) -> None:
    counts = count_in_bins(np.array(values), EDGES)

    assert counts.cumsum().tolist() == [*(sum(value <= edge for value in values) for edge in EDGES), len(values)]


def test_bins_are_added_to_the_coarse_one_that_holds_them() -> None:
    fine = np.array([0.1, 0.2, 0.5, 0.7, 1.0])

    assert_array_equal(coarsen(np.array([1, 2, 4, 8, 16, 32]), fine, np.array([0.2, 1.0])), [3, 28, 32])
    assert_array_equal(coarsen(np.array([1, 2, 4, 8, 16, 32]), fine, np.array([0.5])), [7, 56])
    assert_array_equal(coarsen(np.array([1, 2, 4, 8, 16, 32]), fine, fine), [1, 2, 4, 8, 16, 32])


@pytest.mark.parametrize("coarse", [[0.25], [EDGES[0], 0.25], [-9.0], [9.0], [EDGES[-1], 9.0], [np.nan]])
def test_a_coarse_edge_that_is_none_of_the_edges_is_refused(coarse: list[float]) -> None:
    with pytest.raises(ValueError, match="coarse edges to be among the edges"):
        coarsen(np.array([1, 2, 3, 4]), EDGES, np.array(coarse))


def test_no_coarse_edges_are_one_bin() -> None:
    assert_array_equal(coarsen(np.array([1, 2, 3, 4]), EDGES, np.array([])), [10])


@given(
    values=st.lists(st.floats(-1, 2), max_size=50),
    edges=st.lists(st.floats(-1, 2), min_size=1, max_size=12, unique=True).map(sorted),
    kept=st.sets(st.integers(0, 11)),
)
def test_coarsened_counts_are_those_of_the_values_over_the_coarse_edges(
    values: list[float], edges: list[float], kept: set[int]
) -> None:
    fine = np.array(edges)
    coarse = fine[[place for place in range(len(fine)) if place in kept]]

    found = coarsen(count_in_bins(np.array(values), fine), fine, coarse)

    assert_array_equal(found, count_in_bins(np.array(values), coarse))
