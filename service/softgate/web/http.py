"""uvicorn's HTTP/1.1 protocol, without the hole it leaves at an Upgrade."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# The key of an ASGI scope whose request asked for another protocol.
SWITCHING_KEY = "softgate.switching"


class Protocol(HttpToolsProtocol):
    """
    Ignores a wish for another protocol, and says so by closing the connection after the answer.

    The parser stops after the headers of such a request. Whatever follows them is neither its body, which is lost, nor
    the next request, for which uvicorn would take it.
    """

    _switching = False

    def data_received(self, data: bytes) -> None:
        if not self._switching:
            super().data_received(data)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.parser.should_upgrade():
            self._switching = True
            self.cycle.keep_alive = False
            # The application has not run yet: its task was made a line ago.
            self.scope[SWITCHING_KEY] = True  # type: ignore[literal-required]  # ASGI lets a server add keys
