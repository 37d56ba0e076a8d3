"""
The least that a Python server can do: uvicorn reads a request whole and answers so many bytes. Run as a program.

Set up as softgate's own workers are, uvloop and httptools; what it does not do is what softgate's answer costs.
"""

import os
import socket
import sys
import threading
from typing import Any

import uvicorn


def answer(n_bytes: int) -> Any:
    """An ASGI application."""
    body = b"x" * n_bytes
    headers = [(b"content-type", b"application/json"), (b"content-length", str(n_bytes).encode())]
    start = {"type": "http.response.start", "status": 200, "headers": headers}

    async def app(_: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send(start)
        await send({"type": "http.response.body", "body": body})

    return app


def main() -> None:
    descriptor, n_bytes = map(int, sys.argv[1:])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    config = uvicorn.Config(
        answer(n_bytes), loop="uvloop", http="httptools", ws="none", lifespan="off", log_config=None, access_log=False
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


def _end_with_parent() -> None:
    """Nothing is ever written to standard input; it ends with who started this."""
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
