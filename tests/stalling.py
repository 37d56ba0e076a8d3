"""A small server for what is measured: it answers at once, keeps the bodies, and stalls as a whole when told to."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

STALL = b'"stall"'
STALL_SECONDS = 0.2


class Stalling:
    def __init__(self, status: int) -> None:
        self.url = ""
        self.bodies: set[bytes] = set()
        self._answer = f"HTTP/1.1 {status} Said\r\nContent-Length: 2\r\n\r\n{{}}".encode()
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()))

    def start(self) -> None:
        self._thread.start()
        assert self._listening.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()
        self._loop.close()

    async def _serve(self) -> None:
        self._stopped = asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._listening.set()
        await self._stopped.wait()
        server.close()
        # Of clients that went: each ends when it notices.
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                body = await reader.readexactly(length)
                self.bodies.add(body)
                if body == STALL:
                    # Of the whole loop: nobody is answered meanwhile.
                    time.sleep(STALL_SECONDS)
                writer.write(self._answer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.close()


@contextmanager
def stalling(*, status: int = 200) -> Iterator[Stalling]:
    server = Stalling(status)
    server.start()
    try:
        yield server
    finally:
        server.stop()
