"""
Health and metrics on a listener of their own, answered by a process of its own from the shared counts.

It answers while every worker is busy, hung or draining, and tells of a server whose only worker hangs.
"""

import asyncio
import os
import secrets
import signal
import socket
import time

import msgspec
import numpy as np

from softgate.errors import SoftgateError
from softgate.policy.monitor.board import Board
from softgate.web import errors
from softgate.web.auth import Guard
from softgate.web.children import Children
from softgate.web.metrics.exposition import CONTENT_TYPE, Exposition
from softgate.web.metrics.layout import web_counts
from softgate.web.metrics.service import processes
from softgate.web.protocols import Answer
from softgate.web.silence import Silence
from softgate.web.tokens import TokensFile
from softgate.web.whole import first_lines, lines

MOST_HEAD_BYTES = 8192
# For a whole conversation: a request and its answer.
SECONDS = 5.0
LOOK_SECONDS = 0.25
CLOSING = b"connection: close\r\n"


def start(
    children: Children,
    listener: socket.socket,
    board: Board,
    tokens: TokensFile | None,
    *,
    main: int,
    hang_seconds: float,
    other: socket.socket,
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
        asyncio.run(Ops(board, tokens, main=main, hang_seconds=hang_seconds).serve(listener))
        return 0

    return children.fork(run, orphaned=lambda: os._exit(0))


class Ops:
    def __init__(self, board: Board, tokens: TokensFile | None, *, main: int, hang_seconds: float) -> None:
        self._counts = board.counts
        self._exposition = Exposition(board, time.monotonic)
        # What it cannot read the workers count.
        self._guard = None if tokens is None else Guard(tokens, np.zeros(1))
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
                answer = self._answer(await reader.readuntil(b"\r\n\r\n"))
                head = [first_lines(answer.status, answer.content_type), lines(answer.headers), CLOSING]
                writer.write(b"%bcontent-length: %d\r\n\r\n%b" % (b"".join(head), len(answer.body), answer.body))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            # A client that does not ask, or does not listen, is not told.
            pass
        finally:
            writer.close()

    def _answer(self, head: bytes) -> Answer:
        line, *rest = head.split(b"\r\n")
        method, path = (*line.split(b"?")[0].split(), b"", b"")[:2]
        try:
            if self._guard is not None:
                headers = [(name.lower(), value.strip()) for name, _, value in (each.partition(b":") for each in rest)]
                self._guard.admit(method.decode("latin-1"), path.decode("latin-1"), None, headers, time.monotonic())
        except SoftgateError as exc:
            return _refused(exc)
        match method, path:
            case b"GET", b"/livez":
                return _health(self._is_alive, "ok", "not alive")
            case b"GET", b"/readyz":
                return _health(processes(self._counts).ready > 0, "ok", "not ready")
            case b"GET", b"/metrics":
                return Answer(self._exposition.render(), CONTENT_TYPE.encode())
        return Answer(msgspec.json.encode({"paths": ["/livez", "/readyz", "/metrics"]}), status=404)


def _health(good: bool, yes: str, no: str) -> Answer:
    return Answer(msgspec.json.encode({"status": yes if good else no}), status=200 if good else 503)


def _refused(exc: SoftgateError) -> Answer:
    problem = errors.problem(exc)
    return Answer(
        errors.encode(problem, request_id=secrets.token_hex(8)),
        errors.PROBLEM_JSON.encode(),
        problem.status,
        errors.more_headers(problem.status),
    )
