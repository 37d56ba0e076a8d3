"""uvicorn's HTTP/1.1 protocol, without the holes it leaves."""

import os

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from softgate.web import errors
from softgate.web.errors import Problem

SWITCH = Problem(
    400,
    "malformed_body",
    "Expected a request with a body to stay with HTTP/1.1; got an Upgrade header. Turn the client's upgrade off.",
)


class Protocol(HttpToolsProtocol):
    """
    A request with a body that asks for another protocol is refused.

    The parser stops after the headers of such a request. uvicorn goes on, so that the body would be lost, or be taken
    for the next request of the connection. Without a body there is nothing to lose, and the Upgrade is ignored.
    """

    def on_headers_complete(self) -> None:
        has_body = any(name in (b"content-length", b"transfer-encoding") for name, _ in self.headers)
        if has_body and self.parser.should_upgrade():
            body = errors.encode(SWITCH, request_id=os.urandom(8).hex())
            head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: {errors.PROBLEM_JSON}\r\ncontent-length: {len(body)}\r\n"
            self.transport.write(f"{head}connection: close\r\n\r\n".encode() + body)
            self.transport.close()
        else:
            super().on_headers_complete()
