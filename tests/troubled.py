"""A network between clients and a server that delays, cuts off and resets."""

import asyncio
import math
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

PIECE_BYTES = 4096
# Closing throws away what was not sent, and tells the other side so.
AT_ONCE = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Trouble:
    delay_seconds: float = 0.0
    """Of each piece, either way."""
    piece_bytes: int = PIECE_BYTES
    most_up: float = math.inf
    """So many bytes get to the server; then the connection ends for both."""
    most_down: float = math.inf
    resets: bool = False
    """It ends with a reset."""


@contextmanager
def troubled(address: tuple[str, int], trouble: Trouble) -> Iterator[tuple[str, int]]:
    """Where clients find the server behind such a network."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_until_complete, args=(_relay(listener, address, trouble),))
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(loop)])
            thread.join()
            loop.close()


async def _relay(listener: socket.socket, address: tuple[str, int], trouble: Trouble) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upward, server = await asyncio.open_connection(*address)
        ways = ((reader, server, trouble.most_up), (upward, writer, trouble.most_down))
        passing = [asyncio.create_task(_pass_on(*way, trouble)) for way in ways]
        try:
            await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task, end in zip(passing, (server, writer), strict=True):
                task.cancel()
                if trouble.resets:
                    end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
                end.close()

    with suppress(asyncio.CancelledError):
        async with await asyncio.start_server(serve, sock=listener) as relay:
            await relay.serve_forever()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: float, trouble: Trouble) -> None:
    """Until the one end has no more to say, or the other has heard as much as it may."""
    with suppress(ConnectionError):
        while piece := await reader.read(trouble.piece_bytes):
            await asyncio.sleep(trouble.delay_seconds)
            writer.write(piece[: int(min(most, len(piece)))])
            await writer.drain()
            most -= len(piece)
            if most <= 0:
                return
