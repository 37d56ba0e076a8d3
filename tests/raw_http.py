"""HTTP as bytes on a socket, for what no client library would send."""

import json
import socket
from dataclasses import dataclass
from typing import Any

from servers import Served

CLOSED_SECONDS = 20


@dataclass(frozen=True)
class Told:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


def connect(server: Served) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=CLOSED_SECONDS)


def until_closed(client: socket.socket) -> bytes:
    """What comes until the server closes; raises TimeoutError where it does not."""
    try:
        return b"".join(iter(lambda: client.recv(65536), b""))
    except ConnectionResetError:
        return b""


def exchange(server: Served, sent: bytes) -> bytes:
    with connect(server) as client:
        client.sendall(sent)
        return until_closed(client)


def answers(content: bytes) -> list[Told]:
    """Answers with a stated length, one behind the other."""
    found = []
    while content:
        head, _, rest = content.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        length = int(headers["content-length"])
        found.append(Told(int(first.split()[1]), headers, rest[:length]))
        content = rest[length:]
    return found


def post(body: bytes, *headers: bytes, model: bytes = b"words", host: bytes = b"host: a") -> bytes:
    lines = [b"POST /v1/models/%s/predict HTTP/1.1" % model, host, b"content-length: %d" % len(body), *headers]
    return b"\r\n".join([*lines, b"", body])
