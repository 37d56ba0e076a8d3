"""Whether connections that the server accepts have TCP_NODELAY, seen on one."""

import asyncio
import socket
from functools import partial

import uvicorn

from softgate.web.accepting import Accepting
from softgate.web.sockets import bind
from softgate.web.whole import unused

LOOP = "uvloop"
SECONDS = 5


def has_nodelay(*, alone: bool) -> bool:
    """On loopback, on a free port, accepted as one worker does or as one of several. Raises StartupFailed."""
    with bind("127.0.0.1", 0) as listener:
        factory = uvicorn.Config(unused, loop=LOOP).get_loop_factory()
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(_accepted(listener, alone=alone))


async def _accepted(listener: socket.socket, *, alone: bool) -> bool:
    loop = asyncio.get_running_loop()
    seen: asyncio.Future[bool] = loop.create_future()
    make = partial(_Seen, seen)
    server = (
        await loop.create_server(make, sock=listener)
        if alone
        else Accepting(listener, make, own=lambda: 0, others=lambda: ())
    )
    _, writer = await asyncio.open_connection(*listener.getsockname())
    try:
        return await asyncio.wait_for(seen, SECONDS)
    finally:
        writer.close()
        server.close()
        await server.wait_closed()


class _Seen(asyncio.Protocol):
    def __init__(self, seen: "asyncio.Future[bool]") -> None:
        self._seen = seen

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        accepted = transport.get_extra_info("socket")
        self._seen.set_result(bool(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
        transport.abort()  # type: ignore[attr-defined]  # a connection's transport has it
