import math

import pytest

from pacing import Watch
from softgate.runtime.pace import (
    CALL_COST_IN_TOKENS,
    LEAST_CALL_COST_IN_TOKENS,
    TURNS,
    call_cost_in_tokens,
    threads_pay,
    timed,
)


def test_the_least_time_of_each_run_counts() -> None:
    watch = Watch()

    assert timed([watch.run(3, 1, 2, 2, 2), watch.run(*[5] * TURNS)], clock=watch, budget_seconds=1e3) == [1, 5]


def test_runs_end_with_the_budget() -> None:
    watch = Watch()
    runs = [watch.run(1), watch.run(4), watch.run(9)]

    assert timed(runs, clock=watch, budget_seconds=5) == [1, 4, math.inf]
    assert watch.now == 5


def test_a_clock_that_stands_still_ends_too() -> None:
    assert timed([lambda: None], clock=lambda: 7.0, budget_seconds=1) == [0.0]


def test_the_cost_of_a_call_is_where_the_line_starts() -> None:
    # 300 µs a call and 100 µs a token: 3 tokens.
    assert call_cost_in_tokens({5: 800e-6, 16: 1900e-6, 128: 13100e-6}) == pytest.approx(3.0)


def test_no_call_is_taken_to_be_free() -> None:
    assert call_cost_in_tokens({5: 500e-6, 50: 6000e-6}) == LEAST_CALL_COST_IN_TOKENS


@pytest.mark.parametrize(
    "seconds",
    [{}, {5: 1e-3}, {5: 0.0, 50: 0.0}, {5: 1e-3, 50: math.inf}, {5: 2e-3, 50: 1e-3}],
    ids=["nothing", "one", "frozen", "too slow", "falling"],
)
def test_what_tells_nothing_leaves_the_default(seconds: dict[int, float]) -> None:
    assert call_cost_in_tokens(seconds) == CALL_COST_IN_TOKENS


@pytest.mark.parametrize(
    ("one", "more", "pay"),
    [
        ([1.0, 1.3], [0.75, 1.0], True),
        ([1.0, 1.3], [1.0, 1.0], False),
        ([1.0, 2.0], [1.0, 1.0], True),
        ([1.0, math.inf], [0.5, math.inf], True),
        ([0.0, 0.0], [0.0, 0.0], False),
        ([math.inf], [1.0], False),
    ],
)
def test_threads_pay_where_runs_gain_enough_on_the_whole(one: list[float], more: list[float], *, pay: bool) -> None:
    assert threads_pay(one=one, more=more) is pay
