"""What commands ask a running server. Light: a health check runs every few seconds."""

import http.client
import urllib.error
import urllib.request

from softgate.errors import SoftgateError, StartupFailed
from softgate.settings import read_settings

TIMEOUT_SECONDS = 5
MAX_BYTES = 64 * 1024 * 1024


def base(url: str | None) -> str:
    """Where the server is, without a slash at the end; by the settings if it is not said. Raises StartupFailed."""
    settings = read_settings()
    # A server that listens on every address is asked on this machine's own.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound
    default = f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"
    address = (url or default).rstrip("/")
    if not address.startswith(("http://", "https://")):
        raise StartupFailed(f"Expected an http URL of a server; got {url}.")
    return address


def get(address: str) -> tuple[int, bytes]:
    """Status and body. Raises StartupFailed where nobody answers, SoftgateError where the answer has no end."""
    try:
        # Straight to the server: a proxy that the environment names for other traffic has no business here.
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())
        try:
            with direct.open(address, timeout=TIMEOUT_SECONDS) as answer:
                status, body = answer.status, answer.read(MAX_BYTES + 1)
        except urllib.error.HTTPError as exc:
            status, body = exc.code, exc.read(MAX_BYTES + 1)
    except (OSError, ValueError, http.client.HTTPException) as exc:
        raise StartupFailed(f"No answer from {address}: {exc}.") from exc
    if len(body) > MAX_BYTES:
        raise SoftgateError(f"{address}: expected an answer of at most {MAX_BYTES:,} bytes; got more.")
    return status, body


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Whoever is named is asked, and nobody else."""

    def redirect_request(self, *_: object) -> None:
        return None
