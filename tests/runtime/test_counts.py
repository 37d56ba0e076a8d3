import os

import numpy as np
from numpy.testing import assert_array_equal

from softgate.runtime.counts import Counts, Layout

LAYOUT = Layout({"web": {"requests": 2}, "model": {"rows": 1, "labels": 3}})


def test_fields_stand_side_by_side_and_fill_the_row() -> None:
    row = np.arange(6, dtype=np.float64)

    assert LAYOUT.width == 6
    assert LAYOUT.view(row, "web")["requests"].tolist() == [0, 1]
    assert {field: values.tolist() for field, values in LAYOUT.view(row, "model").items()} == {
        "rows": [2],
        "labels": [3, 4, 5],
    }


def test_adding_to_a_view_adds_to_its_row_and_to_no_other() -> None:
    counts = Counts(LAYOUT, n_rows=2)

    LAYOUT.view(counts.row(1), "model")["labels"] += [1, 2, 3]

    assert_array_equal(counts.row(0), 0)
    assert_array_equal(counts.row(1), [0, 0, 0, 1, 2, 3])


def test_the_total_is_the_sum_over_the_workers() -> None:
    counts = Counts(LAYOUT, n_rows=3)
    for worker in range(3):
        LAYOUT.view(counts.row(worker), "web")["requests"][:] += [1, worker]

    total = counts.total()

    assert_array_equal(LAYOUT.view(total, "web")["requests"], [3, 3])


def test_a_total_is_a_copy() -> None:
    counts = Counts(LAYOUT, n_rows=1)
    total = counts.total()

    counts.row(0)[0] += 1

    assert total[0] == 0


def test_what_a_forked_worker_adds_is_seen_by_its_parent_and_its_successor() -> None:
    counts = Counts(LAYOUT, n_rows=2)

    for _ in range(2):
        child = os.fork()
        if child == 0:
            # The successor of a dead worker goes on in its row.
            LAYOUT.view(counts.row(1), "model")["rows"] += counts.row(1)[2] + 5
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0

    assert_array_equal(counts.row(1), [0, 0, 15, 0, 0, 0])
    assert_array_equal(counts.total(), [0, 0, 15, 0, 0, 0])


def test_counts_beyond_what_an_int32_holds_are_exact() -> None:
    counts = Counts(LAYOUT, n_rows=1)

    counts.row(0)[0] += 2.0**40
    counts.row(0)[0] += 1

    assert counts.total()[0] == 2**40 + 1


def test_a_layout_without_fields_has_no_width() -> None:
    assert Counts(Layout({}), n_rows=1).total().shape == (0,)


def test_the_largest_is_told_of_what_is_no_count() -> None:
    counts = Counts(LAYOUT, n_rows=3)
    for worker, value in enumerate((2.0, 7.0, 3.0)):
        LAYOUT.view(counts.row(worker), "model")["rows"][0] = value

    assert counts.largest("model", "rows") == 7
