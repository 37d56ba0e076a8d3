"""When a dead worker is started again, and how its silence is measured. No process, no clock."""

from softgate.web.restarts import MOST_EARLY_DEATHS, MOST_SHORT_LIVES, STEADY_SECONDS, Restarts, pause_seconds
from softgate.web.silence import Silence


def test_two_deaths_are_made_good_at_once_and_more_after_doubling_pauses() -> None:
    restarts = Restarts()

    pauses = [restarts.pause(was_ready=True, lived_seconds=1) for _ in range(MOST_SHORT_LIVES)]

    assert pauses == [0, 0, 0.5, 1, 2, 4, 8, None]
    assert pause_seconds(100) == 15


def test_a_long_life_makes_up_for_short_ones() -> None:
    restarts = Restarts()
    for _ in range(MOST_SHORT_LIVES - 1):
        restarts.pause(was_ready=True, lived_seconds=1)

    assert restarts.pause(was_ready=True, lived_seconds=STEADY_SECONDS) == 0
    assert restarts.pause(was_ready=True, lived_seconds=1) == 0


def test_a_worker_that_never_gets_ready_is_given_up_sooner() -> None:
    restarts = Restarts()

    pauses = [restarts.pause(was_ready=False, lived_seconds=600) for _ in range(MOST_EARLY_DEATHS)]

    assert pauses == [0, 0, None]


def test_silence_is_counted_from_the_last_beat_while_the_watcher_is_awake() -> None:
    silence = Silence()

    assert silence.look(0, elapsed=0.5) == 0
    assert silence.look(7, elapsed=0.5) == 0
    assert silence.look(7, elapsed=0.5) == 0.5
    # Both were stopped for an hour, or the machine was.
    assert silence.look(7, elapsed=3600) == 1.5
    assert silence.look(8, elapsed=0.5) == 0
