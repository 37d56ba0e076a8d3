"""
The open loop's client: one thread, one epoll, plain sockets; run as a program, told what to do on standard input.

asyncio would do the same for twice the CPU, and its timers tick in milliseconds.
"""

import gc
import json
import math
import re
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from softgate.types import Floats
from softgate.workbench.bench.figures import poisson_arrivals
from softgate.workbench.bench.open_loop import Recording, summary

CHUNK = 1 << 18
# After the last request was due, for answers under way.
PATIENCE_SECONDS = 2.0
# Opened before the clock runs: the others open when so many requests are under way.
FIRST_CONNECTIONS = 16
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class Connection:
    """Keep-alive; one request at a time."""

    def __init__(self, opened: socket.socket) -> None:
        self.socket = opened
        self.request = -1
        self._answer = b""
        self._size = 0

    def send(self, request: int, content: bytes) -> None:
        self.request = request
        self._answer, self._size = b"", 0
        self.socket.sendall(content)

    def receive(self) -> int | None:
        """
        The status of an answer, when it is complete.

        Raises ConnectionError where the server has closed, and for an answer that does not say how long it is.
        """
        chunk = self.socket.recv(CHUNK)
        if not chunk:
            raise ConnectionResetError
        answer = self._answer = self._answer + chunk if self._answer else chunk
        if not self._size:
            end = answer.find(b"\r\n\r\n")
            if end < 0:
                return None
            length = _LENGTH.search(answer, 0, end + 2)
            if length is None:
                raise ConnectionAbortedError
            self._size = end + 4 + int(length[1])
        return int(answer[9:12]) if len(answer) >= self._size else None


class Generator:
    def __init__(self, address: tuple[str, int], requests: Sequence[bytes], *, most_connections: int) -> None:
        self._address, self._requests, self._most = address, requests, most_connections
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        # The one that was used longest ago comes first, so that all workers get their share.
        self._idle: deque[Connection] = deque()
        self._waiting: deque[int] = deque()
        self.refused: dict[int, tuple[int, float]] = {}
        """Status and seconds from the start, by request, of answers that were not 200."""
        self._errors = self._opened = self._left = 0
        self._waited = 0.0
        for _ in range(min(FIRST_CONNECTIONS, most_connections)):
            self._idle.append(self._open())

    def run(self, due: Floats) -> Recording:
        """Send every request when it is due, or as soon as a connection is free."""
        schedule = due.tolist()
        self._noticed, self._sent, self._answered = ([math.nan] * len(due) for _ in range(3))
        self._left = len(due)
        cpu, self._start = time.process_time(), time.perf_counter()
        self._loop(schedule)
        ended, cpu = self._now(), time.process_time() - cpu
        for connection in self._connections.values():
            connection.socket.close()
        noticed, sent, answered = (np.array(times) for times in (self._noticed, self._sent, self._answered))
        return Recording(due, noticed, sent, answered, self._errors, ended, self._waited, cpu, self._opened)

    def _loop(self, schedule: list[float]) -> None:
        following, end = 0, (schedule[-1] if schedule else 0.0) + PATIENCE_SECONDS
        while self._left:
            now = self._now()
            while following < len(schedule) and schedule[following] <= now:
                self._noticed[following] = now
                self._waiting.append(following)
                following += 1
            self._send_waiting()
            until = schedule[following] if following < len(schedule) else end
            now = self._now()
            if now >= until and following == len(schedule):
                return
            # Of epoll the timeout is whole milliseconds; of select, watching that epoll, microseconds.
            select.select([self._epoll], [], [], max(0.0, until - now))
            if following < len(schedule):
                self._waited += self._now() - now
            self._receive()

    def _send_waiting(self) -> None:
        while self._waiting and (self._idle or len(self._connections) < self._most):
            connection = self._idle.popleft() if self._idle else self._open()
            request = self._waiting.popleft()
            self._sent[request] = self._now()
            try:
                connection.send(request, self._requests[request % len(self._requests)])
            except OSError:
                self._fail(connection)

    def _receive(self) -> None:
        for descriptor, _ in self._epoll.poll(0):
            connection = self._connections[descriptor]
            try:
                status = connection.receive()
            except OSError:
                self._fail(connection)
                continue
            if status is None:
                continue
            if status == 200:
                self._answered[connection.request] = self._now()
            else:
                self._errors += 1
                self.refused[connection.request] = status, self._now()
            self._left -= 1
            connection.request = -1
            self._idle.append(connection)

    def _open(self) -> Connection:
        connection = Connection(socket.create_connection(self._address))
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        descriptor = connection.socket.fileno()
        self._connections[descriptor] = connection
        self._epoll.register(descriptor, select.EPOLLIN)
        self._opened += 1
        return connection

    def _fail(self, connection: Connection) -> None:
        del self._connections[connection.socket.fileno()]
        connection.socket.close()
        if connection.request < 0:
            # The server may close a connection that is idle.
            self._idle.remove(connection)
            return
        self._errors += 1
        self._left -= 1

    def _now(self) -> float:
        return time.perf_counter() - self._start


def post(path: str, body: bytes, *, host: str) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


def main() -> None:
    asked = json.load(sys.stdin)
    address = urlsplit(asked["url"])
    assert address.hostname is not None, "The caller started the server."
    assert address.port is not None, "On a port of its own."
    requests = [post(asked["path"], body.encode(), host=address.netloc) for body in asked["bodies"]]
    due = poisson_arrivals(rate=asked["rate"], seconds=asked["seconds"], seed=asked["seed"])
    generator = Generator((address.hostname, address.port), requests, most_connections=asked["most_connections"])
    # The kernel may wake a process 50 µs late, to wake it less often.
    Path("/proc/self/timerslack_ns").write_text("1")
    gc.disable()
    json.dump(asdict(summary(generator.run(due))), sys.stdout)


if __name__ == "__main__":
    main()
