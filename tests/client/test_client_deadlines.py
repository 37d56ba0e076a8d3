"""A call has so much time, whatever it is spent on, in both flavours."""

from typing import Any

import httpx2
import pytest

from scripted import Script, World, asked, echo, overloaded
from softgate.errors import (
    DeadlineExceeded,
    Overloaded,
)


def one(client: Any) -> Any:
    return client.predict("rain")


def test_the_server_is_told_what_time_is_left(flavour: str) -> None:
    world, script = World(draw=0.0), Script(overloaded("3"), overloaded("1"), echo)

    asked(flavour, script, one, world=world, timeout_seconds=10)

    told = [request.headers["x-request-timeout-ms"] for request in script.requests]
    assert told == ["10000", "7000", "6000"]
    timeouts = [request.extensions["timeout"] for request in script.requests]
    assert [each["read"] for each in timeouts] == [10, 7, 6]
    assert [each["connect"] for each in timeouts] == [5, 5, 5]


def test_where_the_next_attempt_would_come_too_late_the_refusal_is_told_at_once(flavour: str) -> None:
    world, script = World(), Script(overloaded("4"))

    with pytest.raises(Overloaded):
        asked(flavour, script, one, world=world, timeout_seconds=4)

    assert world.pauses == []


def test_silence_ends_at_the_deadline_and_is_no_retry(flavour: str) -> None:
    script = Script(httpx2.ReadTimeout("timed out"))
    sentence = r"^Expected an answer from http://server.test/v1/models/toy/predict within 0.5 s; got none\.$"

    with pytest.raises(DeadlineExceeded, match=sentence) as caught:
        asked(flavour, script, lambda client: client.predict("rain", timeout_seconds=0.5))

    assert len(script.requests) == 1
    assert script.requests[0].headers["x-request-timeout-ms"] == "500"
    assert caught.value.status is None


def test_a_sleep_that_takes_too_long_ends_the_call(flavour: str) -> None:
    world, script = World(), Script(overloaded(), echo)
    late = world.sleep

    def oversleep(seconds: float) -> None:
        late(seconds + 60)

    world.sleep = oversleep  # type: ignore[method-assign]

    with pytest.raises(DeadlineExceeded):
        asked(flavour, script, one, world=world)
    assert len(script.requests) == 1


def test_a_connection_that_breaks_after_the_deadline_is_told_as_that(flavour: str) -> None:
    world = World()

    def slowly(_: httpx2.Request) -> httpx2.Response:
        world.now += 31
        raise httpx2.ConnectTimeout("timed out")

    with pytest.raises(DeadlineExceeded):
        asked(flavour, slowly, one, world=world)


def test_without_a_deadline_nothing_is_told_and_nothing_ends(flavour: str) -> None:
    script = Script(overloaded("29"), echo)

    asked(flavour, script, one, timeout_seconds=None)

    assert "x-request-timeout-ms" not in script.requests[1].headers
    assert script.requests[1].extensions["timeout"] == {"connect": 5, "read": None, "write": None, "pool": None}


def test_a_deadline_beyond_what_a_server_takes_is_told_as_its_most(flavour: str) -> None:
    script = Script(echo)

    asked(flavour, script, one, timeout_seconds=1e6)

    assert script.requests[0].headers["x-request-timeout-ms"] == "3600000"
