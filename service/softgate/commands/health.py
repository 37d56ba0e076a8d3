"""`softgate health`: light, for a container runs it every few seconds."""

import http.client
import sys
import urllib.error
import urllib.request

from softgate.errors import StartupFailed
from softgate.settings import read_settings


def run(url: str | None) -> int:
    """The exit code. Raises StartupFailed where nobody answers."""
    settings = read_settings()
    # A server that listens on every address is asked on this machine's own.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound
    default = f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"
    address = f"{(url or default).rstrip('/')}/readyz?verbose"
    if not address.startswith(("http://", "https://")):
        raise StartupFailed(f"Expected an http URL of a server; got {url}.")
    try:
        # Straight to the server: a proxy that the environment names for other traffic has no business here.
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(address, timeout=5) as answer:
                ready, body = True, answer.read()
        except urllib.error.HTTPError as exc:
            ready, body = False, exc.read()
    except (OSError, ValueError, http.client.HTTPException) as exc:
        raise StartupFailed(f"No answer from {address}: {exc}.") from exc
    sys.stdout.write(body.decode(errors="replace") + "\n")
    return 0 if ready else 1
