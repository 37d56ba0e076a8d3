"""
Reloads as workers and supervisor see them: orders go one way through a pipe, news the other way in shared memory.
"""

import mmap
import os
from dataclasses import dataclass

from softgate.runtime.counts import shared

ROLLBACK = "rollback"
RELOAD = "reload"
UNLOAD = "unload"
FAILURE = "failed "
"""Followed by what a new worker has to say of a model that does not load."""
MOST_REASON_BYTES = 2000


@dataclass(frozen=True, slots=True)
class News:
    """Of the latest reload that has ended."""

    outcome: str
    """Empty where there was none yet."""
    code: str
    """Of the error, where it failed."""
    reason: str
    """Why it failed."""


class Reloads:
    """Made before any process is forked; the supervisor alone takes orders and publishes."""

    def __init__(self) -> None:
        self._receiving, self._sending = os.pipe()
        for end in (self._receiving, self._sending):
            os.set_blocking(end, False)
        self._numbers = shared((3,))
        """Begun, ended, and the length of the text."""
        self._text = mmap.mmap(-1, MOST_REASON_BYTES)

    @property
    def begun(self) -> int:
        return int(self._numbers[0])

    @property
    def ended(self) -> int:
        return int(self._numbers[1])

    @property
    def news(self) -> News:
        text = self._text[: int(self._numbers[2])].decode(errors="replace")
        outcome, code, reason = [*text.split(" ", 2), "", ""][:3]
        return News(outcome, code, reason)

    def order(self, what: str) -> None:
        """Ask the supervisor for RELOAD, RELOAD or UNLOAD with a space and a model's name behind it, or ROLLBACK."""
        # No more than a pipe takes in one piece.
        os.write(self._sending, _told(" ".join(what.split())) + b"\n")

    def take_orders(self) -> list[str]:
        try:
            return os.read(self._receiving, 65536).decode(errors="replace").splitlines()
        except BlockingIOError:
            return []

    def begin(self) -> None:
        self._numbers[0] += 1

    def end(self, outcome: str, code: str = "", reason: str = "") -> None:
        content = _told(f"{outcome} {code} {reason}")
        self._numbers[2] = 0
        self._text[: len(content)] = content
        self._numbers[2] = len(content)
        # Last: whoever waits for it reads the rest then.
        self._numbers[1] = self._numbers[0]


def _told(text: str) -> bytes:
    """Its beginning, whatever it holds: the name of a file need not be text."""
    return text.encode(errors="backslashreplace")[:MOST_REASON_BYTES]
