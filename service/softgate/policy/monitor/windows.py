"""
Counts of the last minute, ten minutes, hour and day: differences of snapshots of all counts.

One process records; any may read. A slot that is being written has no time, so a reader passes it over.
"""

from collections.abc import Mapping

import numpy as np

from softgate.runtime.counts import shared
from softgate.types import Floats

WINDOWS: Mapping[str, float] = {"1m": 60.0, "10m": 600.0, "1h": 3600.0, "24h": 86400.0}
"""Name → seconds."""

STEPS = 30
"""A window is longer than it is called by at most this part of it and one step of the watch."""

_SLOTS = STEPS + 2


class Windows:
    """A ring of snapshots per window, each of shape (width,); what comes behind it later began at 0."""

    def __init__(self, width: int, *, now: float) -> None:
        self._times = shared((len(WINDOWS), _SLOTS))
        self._counts = shared((len(WINDOWS), _SLOTS, width))
        self._times[:] = np.nan
        self._latest = [0] * len(WINDOWS)
        self._times[:, 0] = now

    def record(self, total: Floats, *, now: float) -> None:
        """Keep a snapshot wherever the last is old enough."""
        for ring, seconds in enumerate(WINDOWS.values()):
            # No tolerance for a step that comes early: with it, hurried steps would fill the ring before its time.
            if now - self._times[ring, self._latest[ring]] < seconds / STEPS:
                continue
            slot = (self._latest[ring] + 1) % _SLOTS
            self._times[ring, slot] = np.nan
            self._counts[ring, slot, : total.size] = total
            self._times[ring, slot] = now
            self._latest[ring] = slot

    def since(self, window: str, total: Floats, *, now: float) -> tuple[Floats, float]:
        """
        What was counted in the window, and over how many seconds: fewer where the server is younger.

        NaN where a sum has left the range of numbers.
        """
        ring = list(WINDOWS).index(window)
        while True:
            times = self._times[ring].copy()
            age = now - times
            old_enough = np.flatnonzero(age >= WINDOWS[window])
            slot = int(old_enough[age[old_enough].argmin()] if old_enough.size else np.nanargmax(age))
            then = self._counts[ring, slot, : total.size].copy()
            if self._times[ring, slot] == times[slot]:
                with np.errstate(invalid="ignore"):
                    return total - then, float(age[slot])
