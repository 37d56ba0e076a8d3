"""
Connections from a socket that several processes may share: no worker holds many more than the others.

All of them are woken by a connection, and the quickest would take a burst of them whole. Who is ahead of the others
lets a moment pass, in which one of those may take it. If none does, it takes one itself; if none does time and again,
they are hung, and it takes all that come until one of them moves.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence

# So many more than the least of the others are no burden.
LEAD = 4
PAUSE_SECONDS = 1e-3
# The others may just be busy, or waiting for a processor, for so long.
MOST_PAUSES = 100
# Out of file descriptors, say: a client waits in the queue, and nothing is gained by looking again at once.
RETRY_SECONDS = 0.1
# Of connections taken in one turn of the loop.
MOST_AT_ONCE = 64
# What a queue may hold, and some that come while it is emptied.
MOST_WAITING = 4096


class Accepting:
    """To uvicorn one of its servers."""

    def __init__(
        self,
        listener: socket.socket,
        make_protocol: Callable[[], asyncio.Protocol],
        *,
        own: Callable[[], float],
        others: Callable[[], Sequence[float]],
    ) -> None:
        """`own` and `others` tell how many connections this worker has, and each of those beside it."""
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._make_protocol = make_protocol
        self._own = own
        self._others = others
        self._opening: set[asyncio.Task[object]] = set()
        self._waited_for: Sequence[float] = ()
        """What the others had when they were last left a connection."""
        self._n_pauses = 0
        """Since that changed."""
        self._has_waited = False
        self._timer: asyncio.Handle | None = None
        self._start()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._listener)

    def close_empty(self) -> None:
        """Close, but first take the clients that wait in the queue: the last to leave the socket would cut them off."""
        self.close()
        for _ in range(MOST_WAITING):
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open(client)

    async def wait_closed(self) -> None:
        """Until what was accepted has its protocol."""
        await asyncio.gather(*self._opening, return_exceptions=True)

    def _start(self) -> None:
        self._timer = None
        self._loop.add_reader(self._listener, self._accept)

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._timer = self._loop.call_later(seconds, self._start)

    def _accept(self) -> None:
        others = self._others()
        if others != self._waited_for:
            self._waited_for, self._n_pauses, self._has_waited = others, 0, False
        ahead = is_ahead(self._own() + len(self._opening), others)
        if ahead and not self._has_waited and self._n_pauses < MOST_PAUSES:
            self._n_pauses += 1
            self._has_waited = True
            self._pause(PAUSE_SECONDS)
            return
        self._has_waited = False
        # A burst of clients is not to wait a turn of the loop each.
        for place in range(MOST_AT_ONCE):
            if place and is_ahead(self._own() + len(self._opening), others):
                return
            try:
                client, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                # Another worker was quicker, or the client has left.
                return
            except OSError:
                self._pause(RETRY_SECONDS)
                return
            self._open(client)

    def _open(self, client: socket.socket) -> None:
        client.setblocking(False)
        task = self._loop.create_task(self._loop.connect_accepted_socket(self._make_protocol, client))
        self._opening.add(task)
        task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[object]) -> None:
        self._opening.discard(task)
        if not task.cancelled():
            # A client that left already is none to report.
            task.exception()


def is_ahead(own: float, others: Sequence[float]) -> bool:
    """Whether a worker with so many connections should leave the next to one of the others."""
    return bool(others) and own >= min(others) + LEAD
