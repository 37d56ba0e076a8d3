"""Deadlines of all connections, looked at every now and then: a request sets no timer and reads no clock."""

from collections.abc import Callable, Collection
from typing import Protocol as Interface

from softgate.web.guarded import Awaited
from softgate.web.head import Limits

# For a client to read why it was refused, while what it still sends is thrown away.
PARTING_SECONDS = 2.0
# While the server leaves, a client that keeps a connection busy sends its next request within this time, and its answer
# closes the connection. One that is idle for longer is closed.
LINGER_SECONDS = 1.0


class Connection(Interface):
    """What this asks of a connection; `Guarded` tells."""

    def awaited(self) -> tuple[Awaited, int, int] | None: ...
    def overdue(self, awaited: Awaited) -> None: ...


class Sweeper:
    """Counts from when it first sees what a client is waited for, so a deadline may come late by one look."""

    def __init__(
        self, connections: Callable[[], Collection[Connection]], limits: Limits, *, keep_alive_seconds: float
    ) -> None:
        self._connections = connections
        self._seconds: dict[Awaited, float] = {
            Awaited.REQUEST: keep_alive_seconds,
            Awaited.HEAD: limits.header_seconds,
            Awaited.BODY: limits.body_seconds,
            Awaited.READER: limits.body_seconds,
            Awaited.CLOSE: PARTING_SECONDS,
        }
        self._since: dict[Connection, tuple[tuple[Awaited, int, int], float]] = {}

    def leave(self) -> None:
        """The server ends: from now on nobody is waited for long who asks for nothing."""
        self._seconds |= {Awaited.REQUEST: LINGER_SECONDS, Awaited.HEAD: LINGER_SECONDS}
        self._since.clear()

    def look(self, now: float) -> None:
        """`now` in seconds of any clock that never goes back."""
        before, self._since = self._since, {}
        # Ending one may take it from the set.
        for connection in list(self._connections()):
            awaited = connection.awaited()
            if awaited is None:
                continue
            seen = before.get(connection)
            since = seen if seen is not None and seen[0] == awaited else (awaited, now)
            self._since[connection] = since
            if now - since[1] >= self._seconds[awaited[0]]:
                connection.overdue(awaited[0])
