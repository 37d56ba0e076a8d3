import math
import time
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softgate.runtime.buckets import buckets

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=40)
COSTS = st.floats(0, 100)
NO_LIMIT = 10**9


def cut(
    lengths: Sequence[int], *, cost: float, max_rows: int = NO_LIMIT, max_padded_tokens: int = NO_LIMIT
) -> list[list[int]]:
    calls = buckets(lengths, call_cost_in_tokens=cost, max_rows=max_rows, max_padded_tokens=max_padded_tokens)
    return [call.tolist() for call in calls]


def padded(lengths: Sequence[int], call: Sequence[int]) -> int:
    return len(call) * max(lengths[row] for row in call)


def price(lengths: Sequence[int], calls: Sequence[Sequence[int]], cost: float) -> float:
    return sum(cost + padded(lengths, call) for call in calls)


def partitions(rows: Sequence[int]) -> Iterator[list[list[int]]]:
    """Every way to share the rows out among calls."""
    if not rows:
        yield []
        return
    for rest in partitions(rows[1:]):
        yield [[rows[0]], *rest]
        for place, call in enumerate(rest):
            yield [*rest[:place], [rows[0], *call], *rest[place + 1 :]]


def test_a_call_is_worth_the_padding_it_saves() -> None:
    # Together 4 x 10 = 40 padded tokens; apart 2 x 2 + 2 x 10 = 24, and a call more.
    assert cut([2, 10, 2, 10], cost=15) == [[1, 3], [0, 2]]
    assert cut([2, 10, 2, 10], cost=17) == [[0, 2, 1, 3]]


def test_calls_that_cost_nothing_are_never_padded() -> None:
    assert cut([3, 1, 2, 3, 1], cost=0) == [[0, 3], [2], [1, 4]]


def test_calls_of_an_infinite_price_are_as_few_as_the_limits_allow() -> None:
    assert cut([3, 1, 2], cost=math.inf) == [[1, 2, 0]]
    assert cut([3, 1, 2], cost=math.inf, max_rows=2) == [[2, 0], [1]]


def test_no_call_has_more_rows_than_allowed() -> None:
    assert cut([5, 5, 5, 5, 5], cost=3, max_rows=2) == [[3, 4], [1, 2], [0]]


def test_no_call_has_more_padded_tokens_than_allowed() -> None:
    assert cut([10, 10, 10, 10], cost=100, max_padded_tokens=25) == [[2, 3], [0, 1]]


def test_a_row_longer_than_a_call_may_be_has_one_of_its_own() -> None:
    assert cut([50, 3, 4], cost=100, max_padded_tokens=20) == [[0], [1, 2]]


@given(LENGTHS, COSTS, st.integers(1, 40), st.integers(1, 200))
def test_calls_part_the_rows_and_keep_the_limits(
    lengths: list[int], cost: float, max_rows: int, max_padded_tokens: int
) -> None:
    calls = cut(lengths, cost=cost, max_rows=max_rows, max_padded_tokens=max_padded_tokens)

    assert sorted(row for call in calls for row in call) == list(range(len(lengths)))
    assert all(len(call) <= max_rows for call in calls)
    assert all(len(call) == 1 or padded(lengths, call) <= max_padded_tokens for call in calls)


@given(LENGTHS, COSTS)
def test_cutting_is_never_dearer_than_one_call(lengths: list[int], cost: float) -> None:
    one = [list(range(len(lengths)))]

    assert price(lengths, cut(lengths, cost=cost), cost) <= price(lengths, one, cost) + 1e-6


@given(st.integers(1, 40), st.integers(1, 40), COSTS)
def test_rows_of_one_length_share_a_call(length: int, n_rows: int, cost: float) -> None:
    assert cut([length] * n_rows, cost=cost) == [list(range(n_rows))]


@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.floats(0, 20))
def test_no_other_way_to_share_the_rows_out_is_cheaper(lengths: list[int], cost: float) -> None:
    cheapest = min(price(lengths, calls, cost) for calls in partitions(range(len(lengths))))

    assert price(lengths, cut(lengths, cost=cost), cost) == pytest.approx(cheapest)


def test_a_full_batch_is_cut_in_far_less_time_than_a_call_takes() -> None:
    lengths = np.random.default_rng(0).integers(5, 33, 32).tolist()
    taken = []
    for _ in range(50):
        started = time.perf_counter()
        buckets(lengths, call_cost_in_tokens=4, max_rows=32, max_padded_tokens=4096)
        taken.append(time.perf_counter() - started)

    # 30 to 40 µs on an idle core.
    assert min(taken) < 200e-6
