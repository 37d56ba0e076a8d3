"""Whether a request is sent once more, and when: pure but for the draw and the clock that it is given."""

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a request is sent once more, and how long is waited for that."""

    most: int = 4
    base_seconds: float = 0.1
    """The pause before retry n, counted from 0, is drawn evenly from 0 to base · 2ⁿ; Retry-After comes on top."""
    longest_seconds: float = 30.0
    """Of what is drawn. Where Retry-After says more, the call gives up."""
    draw: Callable[[], float] = random.random
    """From 0 to 1."""
    now: Callable[[], float] = time.time
    """Seconds since 1970: Retry-After may be a date."""


RETRIES = Retries()


def pause_seconds(
    retries: Retries, *, attempt: int, retry_after: str | None, seconds_left: float = math.inf
) -> float | None:
    """
    Before the next attempt; None where there is none. `attempt` counts those made, less one.

    Never less than Retry-After wants, and never so long that the next attempt would come too late.
    """
    asked = seconds_of(retry_after, now=retries.now())
    if attempt >= retries.most or asked > retries.longest_seconds:
        return None
    # 2ⁿ of many attempts is more than a float holds.
    drawn = retries.draw() * min(math.ldexp(retries.base_seconds, min(attempt, 64)), retries.longest_seconds)
    seconds = asked + drawn
    return seconds if seconds < seconds_left else None


def seconds_of(retry_after: str | None, *, now: float) -> float:
    """What a Retry-After of seconds or of a date asks to wait for; 0 where there is none that is understood."""
    if retry_after is None:
        return 0.0
    if retry_after.isascii() and retry_after.isdecimal():
        return float(retry_after)
    try:
        date = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):
        return 0.0
    # RFC 9110 knows no zone but GMT; a date without one is in it.
    return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)
