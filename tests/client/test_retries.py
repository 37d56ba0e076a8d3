"""Whether and when a request is sent once more."""

import math
from datetime import UTC, datetime
from email.utils import format_datetime, formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softgate.client.retries import Retries, pause_seconds, seconds_of

NOW = 1_790_000_000.0


def pause(
    attempt: int = 0, *, retry_after: str | None = None, left: float = math.inf, draw: float = 1.0, most: int = 4
) -> float | None:
    retries = Retries(most=most, base_seconds=0.1, longest_seconds=30.0, draw=lambda: draw, now=lambda: NOW)
    return pause_seconds(retries, attempt=attempt, retry_after=retry_after, seconds_left=left)


def test_what_is_drawn_from_doubles_up_to_its_cap() -> None:
    assert [pause(attempt, most=20) for attempt in (0, 1, 2, 3, 8, 9, 19)] == pytest.approx(
        [0.1, 0.2, 0.4, 0.8, 25.6, 30, 30]
    )


def test_the_whole_pause_is_drawn() -> None:
    assert pause(3, draw=0.0) == 0.0
    assert pause(3, draw=0.5) == pytest.approx(0.4)


def test_there_are_so_many_attempts_more_and_no_others() -> None:
    assert pause(3, most=4) is not None
    assert pause(4, most=4) is None
    assert pause(0, most=0) is None


def test_nobody_comes_back_before_he_was_told_to_nor_all_at_once() -> None:
    assert pause(0, retry_after="3", draw=0.0) == 3.0
    assert pause(0, retry_after="3", draw=0.5) == pytest.approx(3.05)


def test_a_longer_wait_than_the_longest_is_no_retry() -> None:
    assert pause(0, retry_after="30", draw=0.0) == 30.0
    assert pause(0, retry_after="31") is None


def test_no_pause_ends_after_the_deadline() -> None:
    assert pause(0, left=0.2) == pytest.approx(0.1)
    assert pause(0, left=0.05) is None
    assert pause(0, retry_after="2", left=2.0) is None


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (None, 0),
        ("0", 0),
        ("120", 120),
        (formatdate(NOW + 7, usegmt=True), 7),
        (formatdate(NOW - 7, usegmt=True), 0),
        (format_datetime(datetime.fromtimestamp(NOW + 5, UTC)), 5),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253402300799 - NOW),
        ("", 0),
        ("-1", 0),
        ("1.5", 0),
        ("soon", 0),
        ("٣", 0),
        ("Fri, 99 Foo 2026 00:00:00 GMT", 0),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", 0),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999", 0),
        ("9" * 400, math.inf),
    ],
)
def test_retry_after_is_seconds_or_a_date(said: str | None, seconds: float) -> None:
    assert seconds_of(said, now=NOW) == pytest.approx(seconds)


@given(st.text(max_size=40))
def test_whatever_a_retry_after_says_is_a_wait_or_none(said: str) -> None:
    assert seconds_of(said, now=NOW) >= 0


@given(
    st.integers(0, 5000),
    st.none() | st.integers(0, 40).map(str),
    st.floats(0, 100),
    st.floats(0, 1, exclude_max=True),
)
def test_a_pause_is_what_was_asked_for_and_a_bounded_draw(
    attempt: int, retry_after: str | None, left: float, draw: float
) -> None:
    asked = float(retry_after or 0)

    seconds = pause(attempt, retry_after=retry_after, left=left, draw=draw, most=10_000)

    if seconds is None:
        assert asked > 30 or asked + min(0.1 * 2.0 ** min(attempt, 40), 30) >= left
    else:
        assert asked <= seconds <= asked + 30
        assert seconds < left
