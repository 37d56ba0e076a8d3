"""
Health and metrics on a listener of their own, answered by a process of its own from the shared counts.

It answers while every worker is busy, hung or draining, and tells of a server whose only worker hangs.
"""

import asyncio
import os
import signal
import socket
import time

import msgspec

from softgate.policy.monitor.board import Board
from softgate.web.children import Children
from softgate.web.metrics.exposition import CONTENT_TYPE, Exposition
from softgate.web.metrics.layout import web_counts
from softgate.web.metrics.service import processes
from softgate.web.silence import Silence

MOST_HEAD_BYTES = 8192
# For a whole conversation: a request and its answer.
SECONDS = 5.0
LOOK_SECONDS = 0.25
_JSON = "application/json"


def start(
    children: Children, listener: socket.socket, board: Board, *, main: int, hang_seconds: float, other: socket.socket
) -> int:
    """
    The id of the process that answers on `listener`. It leaves `other`, the listener of the workers, alone.

    `main` is the row of the counts of the process that must not hang.
    """

    def run() -> int:
        # It sees the others off: whoever started it ends it, and it ends with them.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        other.close()
        asyncio.run(Ops(board, main=main, hang_seconds=hang_seconds).serve(listener))
        return 0

    return children.fork(run, orphaned=lambda: os._exit(0))


class Ops:
    def __init__(self, board: Board, *, main: int, hang_seconds: float) -> None:
        self._counts = board.counts
        self._exposition = Exposition(board, time.monotonic)
        self._main = web_counts(board.counts, worker=main)
        self._hang_seconds = hang_seconds
        self._silence = Silence()
        self._is_alive = True

    async def serve(self, listener: socket.socket) -> None:
        """For ever."""
        await asyncio.start_server(self._converse, sock=listener, limit=MOST_HEAD_BYTES)
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            silent = self._silence.look(self._main.beats, elapsed=LOOK_SECONDS)
            self._is_alive = silent < self._hang_seconds

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(SECONDS):
                status, content_type, body = self._answer(await reader.readuntil(b"\r\n\r\n"))
                head = f"HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n"
                writer.write(f"{head}connection: close\r\n\r\n".encode() + body)
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            # A client that does not ask, or does not listen, is not told.
            pass
        finally:
            writer.close()

    def _answer(self, head: bytes) -> tuple[str, str, bytes]:
        """Status line, content type and body."""
        match head.split(b"?")[0].split()[:2]:
            case [b"GET", b"/livez"]:
                return _health(self._is_alive, "ok", "not alive")
            case [b"GET", b"/readyz"]:
                return _health(processes(self._counts).ready > 0, "ok", "not ready")
            case [b"GET", b"/metrics"]:
                return "200 OK", CONTENT_TYPE, self._exposition.render()
        return "404 Not Found", _JSON, msgspec.json.encode({"paths": ["/livez", "/readyz", "/metrics"]})


def _health(good: bool, yes: str, no: str) -> tuple[str, str, bytes]:
    status = "200 OK" if good else "503 Service Unavailable"
    return status, _JSON, msgspec.json.encode({"status": yes if good else no})
