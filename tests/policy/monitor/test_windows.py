import os
from collections.abc import Iterator
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from softgate.policy.monitor.windows import STEPS, WINDOWS, Windows
from softgate.runtime.counts import shared

DAY = 86_400


def steady(windows: Windows, *, seconds: int, every: float = 1.0) -> Iterator[tuple[float, NDArray[np.float64]]]:
    """A row a second: what is recorded, and when."""
    for number in count(1):
        now = number * every
        if now > seconds:
            return
        total = np.array([now])
        windows.record(total, now=now)
        yield now, total


def test_a_younger_server_tells_the_seconds_it_has() -> None:
    windows = Windows(1, now=100.0)
    windows.record(np.array([7.0]), now=101.0)

    for name in WINDOWS:
        counted, seconds = windows.since(name, np.array([9.0]), now=130.0)

        assert (counted.tolist(), seconds) == ([9.0], 30.0)


def test_before_its_first_step_a_window_is_empty() -> None:
    assert Windows(2, now=5.0).since("1m", np.zeros(2), now=5.0)[1] == 0.0


@pytest.mark.parametrize("name", WINDOWS)
def test_a_window_holds_its_seconds_and_at_most_a_part_more(name: str) -> None:
    windows, wanted = Windows(1, now=0.0), WINDOWS[name]

    for now, total in steady(windows, seconds=int(2.5 * wanted), every=max(1.0, wanted / 600)):
        counted, seconds = windows.since(name, total, now=now)

        assert counted[0] == pytest.approx(seconds)
        if now >= wanted:
            assert wanted <= seconds <= wanted * (1 + 1 / STEPS) + max(1.0, wanted / 600)
        else:
            assert seconds == now


def test_slots_are_used_again_for_days_on_end() -> None:
    windows = Windows(1, now=0.0)

    for now, total in steady(windows, seconds=3 * DAY, every=60):
        last = now, total

    now, total = last
    for name, wanted in WINDOWS.items():
        counted, seconds = windows.since(name, total, now=now)
        assert counted[0] == seconds
        assert wanted <= seconds <= wanted * (1 + 1 / STEPS) + 60


@settings(deadline=None, derandomize=True, max_examples=50)
@given(paces=st.lists(st.integers(1000, 3000), min_size=1, max_size=5), now=st.integers(0, 10**6))
def test_a_window_is_whole_at_whatever_pace_the_steps_come(paces: list[int], now: float) -> None:
    """A machine that is busy comes late, and each time by another while."""
    windows, started = Windows(1, now=now), now
    told = {0: 0.0}

    for number in range(100):
        now += paces[number % len(paces)] / 1000
        told[round((now - started) * 1e3)] = total = float(number * number)
        windows.record(np.array([total]), now=now)

        counted, seconds = windows.since("1m", np.array([total]), now=now)
        assert counted[0] == total - told[round((now - seconds - started) * 1e3)]
        assert seconds >= min(60.0, now - started) - 1e-6


def test_a_pause_makes_a_window_longer_and_says_so() -> None:
    windows = Windows(1, now=0.0)
    for _ in steady(windows, seconds=100):
        pass

    windows.record(np.array([500.0]), now=1000.0)
    counted, seconds = windows.since("1m", np.array([500.0]), now=1000.0)

    assert (counted[0], seconds) == (500.0 - 100.0, 900.0)


def test_windows_of_a_total_that_left_the_range_of_numbers_are_no_number() -> None:
    windows = Windows(2, now=0.0)
    windows.record(np.array([np.inf, 1.0]), now=60.0)

    counted, _ = windows.since("1m", np.array([np.inf, 3.0]), now=120.0)

    assert_array_equal(counted, [np.nan, 2.0])


def test_a_reader_passes_over_the_slot_that_is_being_written() -> None:
    windows = Windows(1, now=0.0)
    for now, total in steady(windows, seconds=120):
        last = now, total
    now, total = last
    _, whole = windows.since("1m", total, now=now)
    ring = list(WINDOWS).index("1m")
    slot = int(np.flatnonzero(windows._times[ring] == now - whole)[0])

    windows._times[ring, slot] = np.nan
    windows._counts[ring, slot] = 1e9
    counted, seconds = windows.since("1m", total, now=now)

    assert counted[0] == seconds == whole + 2


def test_readers_in_another_process_never_see_half_a_snapshot() -> None:
    """Every snapshot holds its own time in each cell; the writer goes round the ring as fast as it can."""
    width = 4000
    windows, enough = Windows(width, now=0.0), shared((1,))
    writer = os.fork()
    if writer == 0:
        for number in count(1):
            windows.record(np.full(width, number * 2.0), now=number * 2.0)
            if enough[0]:
                os._exit(0)

    seen: set[float] = set()
    try:
        while len(seen) < 50:
            now = float(np.nanmax(windows._times[0]))
            counted, seconds = windows.since("1m", np.full(width, now), now=now)
            assert (counted == seconds).all()
            seen.add(now)
    finally:
        enough[0] = 1
        os.waitpid(writer, 0)


def test_a_name_that_is_no_window_is_refused() -> None:
    with pytest.raises(ValueError, match="2h"):
        Windows(1, now=0.0).since("2h", np.zeros(1), now=0.0)
