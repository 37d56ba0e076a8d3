"""
Who may wait for the graph: so many rows, and none that would wait too long by the pace of the runs before it.

Decided in O(1) from numbers, so before a body is decoded too. Seconds throughout.
"""

import math

from softgate.errors import Overloaded

# Of the latest run in the pace: a stall of the machine is forgotten after some ten runs.
WEIGHT = 0.2


class Admission:
    """Of one queue. Sockets do not count: an idle client waits for nothing."""

    def __init__(self, *, max_batch: int, max_queue: int, max_seconds: float, seconds_per_row: float = 0.0) -> None:
        """
        `max_batch`: so many rows may always wait, for they share the next run, however long that takes.

        `seconds_per_row`: of a full run, as known beforehand; 0: not known, and nothing is too old until a run is full.
        """
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._max_seconds = max_seconds
        self.seconds_per_row = seconds_per_row

    def check(self, n_rows: int, *, n_queued: int, seconds_left: float = math.inf) -> None:
        """
        Whether `n_rows` may join `n_queued`, and come to their turn within `seconds_left`. Raises Overloaded.

        An empty queue takes any request, so the largest does not wait for ever.
        """
        if n_queued and n_queued + n_rows > self._max_queue:
            raise Overloaded(
                f"Expected at most {self._max_queue} rows in the queue; it holds {n_queued}, and {n_rows} more came."
            )
        if n_queued < self._max_batch:
            return
        wait, longest = n_queued * self.seconds_per_row, min(self._max_seconds, seconds_left)
        if wait > longest:
            raise Overloaded(
                f"Expected a wait of at most {longest * 1000:.0f} ms; "
                f"the {n_queued} rows in the queue take {wait * 1000:.0f} ms."
            )

    def ran(self, n_rows: int, *, seconds: float) -> None:
        """Notes a run that was full, or left rows waiting: only such a run tells how fast a queue goes."""
        latest = seconds / n_rows
        known = self.seconds_per_row
        self.seconds_per_row = latest if known == 0.0 else known + WEIGHT * (latest - known)
