"""Clients that ask again and again, on kept and on fresh connections, and note every request that got no answer."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Tally:
    answered: int = 0
    closed_by_answer: int = 0
    """Kept connections that an answer said to close."""
    lost: list[str] = field(default_factory=list)
    """Requests that were sent, or whose connection was refused, without a whole answer of status 200."""
    kinds: Counter[str] = field(default_factory=Counter)
    """Of the answers, by what `kind` makes of them."""


@contextmanager
def asking(
    address: tuple[str, int],
    *,
    path: str,
    body: dict[str, Any],
    n_kept: int = 32,
    n_fresh: int = 32,
    pause_seconds: float = 0.0,
    kind: Callable[[dict[str, Any]], str] | None = None,
) -> Iterator[Tally]:
    """
    A tally of the requests sent while the block runs; whole when it ends.

    Each client waits for so long after an answer before it asks again.
    """
    tally, stop = Tally(), threading.Event()
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n"

    async def client(*, kept: bool) -> None:
        request = head.encode() + (b"" if kept else b"connection: close\r\n") + b"\r\n" + content
        writer = None
        while not stop.is_set():
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection(*address)
                writer.write(request)
                closes, answer = await _answer(reader)
                tally.answered += 1
                tally.closed_by_answer += closes and kept
                if kind is not None:
                    tally.kinds[kind(answer)] += 1
            except (OSError, EOFError, ValueError) as exc:
                tally.lost.append(repr(exc))
                closes = True
            if closes and writer is not None:
                writer.close()
                writer = None
            if pause_seconds:
                await asyncio.sleep(pause_seconds)
        if writer is not None:
            writer.close()

    async def all_clients() -> None:
        async with asyncio.timeout(3600), asyncio.TaskGroup() as group:
            for place in range(n_kept + n_fresh):
                group.create_task(client(kept=place < n_kept))

    # Should the server not answer, the test fails and its run goes on.
    thread = threading.Thread(target=lambda: asyncio.run(all_clients()), daemon=True)
    thread.start()
    try:
        yield tally
    finally:
        stop.set()
        thread.join(timeout=60)


async def _answer(reader: asyncio.StreamReader) -> tuple[bool, dict[str, Any]]:
    """Whether it closes the connection, and its body. Raises EOFError, and ValueError for another status."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 200"):
        raise ValueError(head)
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    answer: dict[str, Any] = json.loads(await reader.readexactly(length))
    return b"connection: close" in head, answer
