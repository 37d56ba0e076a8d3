"""Counts, windows and detectors of models that are exchanged for others."""

from pathlib import Path

import numpy as np
import pytest

from softgate.policy.monitor.board import Board
from softgate.policy.monitor.watch import Watch
from softgate.runtime.counts import Counts, Layout
from softgate.web.metrics.layout import layout
from watched import logits, referenced

FIELDS = {"a": {"rows": 1, "labels": 3}, "b": {"rows": 1}}


def test_what_means_the_same_stays_where_it_was_and_the_rest_stands_behind() -> None:
    first = Layout(FIELDS, meanings={"a": {"labels": "xyz"}})
    counts = Counts(first, n_rows=2, room=2)
    counts.row(0)[:] = 1

    second = counts.following(
        Layout({"a": FIELDS["a"], "c": {"rows": 2}}, meanings={"a": {"labels": "new"}}, follows=first)
    )
    second.row(1)[:] += 1
    total = second.total()

    assert second.layout.view(total, "a")["rows"].tolist() == [2]
    assert second.layout.view(total, "a")["labels"].tolist() == [1, 1, 1]
    assert second.layout.view(total, "c")["rows"].tolist() == [1, 1]
    # What is gone is kept, and comes back with its name.
    third = counts.following(Layout(FIELDS, meanings={"a": {"labels": "xyz"}}, follows=second.layout))
    assert third.layout.width == second.layout.width
    assert third.layout.view(third.total(), "b")["rows"].tolist() == [2]


def test_a_layout_wider_than_the_room_is_refused() -> None:
    counts = Counts(Layout(FIELDS), n_rows=1)

    with pytest.raises(ValueError, match="Expected at most 5 counts; got 6"):
        counts.following(Layout({"c": {"rows": 1}}, follows=counts.layout))


def test_detectors_and_windows_of_a_calibration_that_stays_go_on(tmp_path: Path) -> None:
    one, other = (referenced(tmp_path / name, logits(2000), name=name) for name in ("one", "other"))
    counts = Counts(layout([one]), n_rows=1, room=3)
    board = Board([one], counts, now=0.0)
    watch = Watch(board)
    counts.row(0)[:] += 1
    watch.step(now=1.0, unix_time=1.0)
    evidence = board.watched["one"].states["evidence"].copy()

    both = board.following([one, other], counts.following(layout([one, other], follows=counts.layout)))
    watch.follow(both)
    assert watch.step(now=2.0, unix_time=2.0) == []

    assert np.array_equal(both.watched["one"].states["evidence"], evidence)
    assert both.watched["one"].states is board.watched["one"].states
    assert not both.watched["other"].states["rows"].any()
    # One count of each in the first second, and none of the model that came.
    hour, _ = both.windows.since("1h", both.counts.total(), now=2.0)
    assert both.view(hour, both.watched["one"])["rows"].tolist() == [1]
    assert both.view(hour, both.watched["other"])["rows"].tolist() == [0]


def test_detectors_of_a_model_that_goes_and_comes_back_go_on(tmp_path: Path) -> None:
    one, other = (referenced(tmp_path / name, logits(2000), name=name) for name in ("one", "other"))
    counts = Counts(layout([one, other]), n_rows=1)
    board = Board([one, other], counts, now=0.0)
    board.watched["one"].states["alarms"] = 3

    without = board.following([other], counts.following(layout([other], follows=counts.layout)))
    again = without.following(
        [one, other], without.counts.following(layout([one, other], follows=without.counts.layout))
    )

    assert again.watched["one"].states is board.watched["one"].states
    assert again.watched["other"].states is board.watched["other"].states
