"""What commands ask a running server. Light: a health check runs every few seconds."""

import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Mapping

from softgate.errors import SoftgateError, StartupFailed
from softgate.settings import read_settings

TIMEOUT_SECONDS = 5
MAX_BYTES = 64 * 1024 * 1024
NO_HEADERS: Mapping[str, str] = {}
# Of RFC 6750. Anything else would end in an error that repeats it.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


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


def credentials() -> Mapping[str, str]:
    """The header that shows the settings' token, if there is one. Raises StartupFailed."""
    token = read_settings().token
    if token is None:
        return {}
    if not _TOKEN.fullmatch(token.get_secret_value()):
        raise StartupFailed("Expected in SOFTGATE_TOKEN a token as softgate token prints it, and nothing around it.")
    return {"Authorization": f"Bearer {token.get_secret_value()}"}


def get(address: str, headers: Mapping[str, str] = NO_HEADERS) -> tuple[int, bytes]:
    """Status and body. Raises StartupFailed where nobody answers, SoftgateError where the answer has no end."""
    try:
        # Straight to the server: a proxy that the environment names for other traffic has no business here.
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())
        try:
            asked = urllib.request.Request(address, headers=dict(headers))  # noqa: S310 - `base` takes http alone
            with direct.open(asked, timeout=TIMEOUT_SECONDS) as answer:
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
