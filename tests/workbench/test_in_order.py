"""Rows of like length together, answers in the rows' own order."""

import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softgate.workbench.in_order import InOrder, Sizes, by_length, windows


@given(st.lists(st.integers(0, 50), max_size=60), st.integers(1, 7))
def test_batches_by_length_hold_each_row_once_and_neighbours_by_length(lengths: list[int], size: int) -> None:
    parts = by_length(lengths, size)

    assert sorted(index for part in parts for index in part) == list(range(len(lengths)))
    in_turn = [lengths[index] for part in parts for index in part]
    assert in_turn == sorted(lengths, reverse=True)
    assert all(len(part) == size for part in parts[:-1])


@given(st.lists(st.integers(0, 9), max_size=40), st.integers(1, 6), st.integers(0, 20))
def test_windows_hold_all_rows_and_no_more_than_they_may(row_bytes: list[int], most: int, most_bytes: int) -> None:
    rows = list(enumerate(row_bytes))

    found = list(windows(iter(rows), Sizes(batch=1, window=most, window_bytes=most_bytes)))

    assert [row for window in found for row in window] == list(range(len(rows)))
    for window in found:
        assert 1 <= len(window) <= most
        assert len(window) == 1 or sum(row_bytes[row] for row in window) <= most_bytes


def in_order(answer: object, *, threads: int = 3) -> InOrder[int, int]:
    sizes = Sizes(batch=4, window=10, window_bytes=1000)
    return InOrder(answer, lambda rows: [row * 7 % 5 for row in rows], sizes=sizes, threads=threads)  # type: ignore[arg-type]


@given(st.integers(0, 60))
def test_answers_come_in_the_order_of_the_rows(n_rows: int) -> None:
    windows_of_answers = list(in_order(lambda rows: [-row for row in rows]).run((row, 1) for row in range(n_rows)))

    assert [answer for window in windows_of_answers for answer in window] == [-row for row in range(n_rows)]


def test_no_more_than_two_windows_are_read_ahead() -> None:
    n_read = 0

    def rows() -> object:
        nonlocal n_read
        for row in range(10_000):
            n_read += 1
            yield row, 1

    answers = in_order(list).run(rows())  # type: ignore[arg-type]

    assert next(answers) == list(range(10))
    assert n_read <= 2 * 10 + 1
    answers.close()  # type: ignore[attr-defined]


def test_what_a_thread_raises_ends_the_work() -> None:
    def answer(rows: Sequence[int]) -> Sequence[int]:
        if 25 in rows:
            raise ValueError("25")
        return rows

    before = threading.active_count()
    with pytest.raises(ValueError, match="25"):
        list(in_order(answer).run((row, 1) for row in range(1000)))

    assert threading.active_count() == before
