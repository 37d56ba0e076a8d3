"""
Who may ask for what: every request but a health check needs a token, whether its path exists or not.

The edge asks before it does anything else with a request, on both of its ways, so that no path, method or spelling
leads around this; and it asks about the very path that is routed, so that both mean the same.
"""

import logging
import socket
from collections.abc import Sequence
from hmac import compare_digest
from ipaddress import ip_address

from softgate.errors import Forbidden, StartupFailed, Unauthenticated
from softgate.settings import Settings
from softgate.types import Floats
from softgate.web.head import Headers
from softgate.web.tokens import Token, TokensFile, digest, read_tokens
from softgate.web.whole import Route

logger = logging.getLogger("softgate.web")

OPEN = frozenset({("GET", path) for path in ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready")})
READING = frozenset({"GET", "HEAD", "OPTIONS"})
# It reads, though it is a POST.
INDEX = ("POST", "/v2/repository/index")
# Of all models, though it looks as if one were named so.
STATISTICS = "/v2/models/stats"
# So old may the tokens be, at most, when a request is admitted.
LOOK_SECONDS = 1.0


class Guard:
    """Admits requests by the tokens of a file, which it reads again when that changes."""

    def __init__(self, file: TokensFile, failures: Floats) -> None:
        """`failures`, shape (1,), counts the times that the file could not be read."""
        self._file = file
        self._failures = failures
        self._known: Sequence[tuple[bytes, Token]] = ()
        """The header that last showed each token. To hash it each time would cost four times as much, measured."""
        self._look_again = 0.0

    def admit(self, method: str, path: str, route: Route | None, headers: Headers, now: float) -> None:
        """Raises Unauthenticated or Forbidden. `now`: of a clock that does not go back, in seconds."""
        if route is None and (method, path) in OPEN:
            return
        scope, model = needed(method, path) if route is None else ("predict", route.model)
        check_model(self.token(scope, authorization(headers), now), model)

    def token(self, scope: str, shown: bytes, now: float) -> Token:
        """
        The token that is shown, which is good for the scope. Raises Unauthenticated or Forbidden.

        `shown`: what follows `Authorization: `. Whether the token is good for a model, `check_model` says.
        """
        if now >= self._look_again:
            self._look_again = now + LOOK_SECONDS
            self._look()
        token = self._find(shown)
        if token is None:
            raise Unauthenticated("Expected a token that this server knows, in the header Authorization: Bearer TOKEN.")
        if scope not in token.scopes:
            raise Forbidden(f"Expected a token with the scope {scope}.")
        return token

    def _find(self, value: bytes) -> Token | None:
        found = None
        # To the end, and each in constant time, here and below: how long it takes tells nothing of any token.
        for known, token in self._known:
            if compare_digest(known, value):
                found = token
        return self._hashed(value) if found is None else found

    def _hashed(self, value: bytes) -> Token | None:
        scheme, _, shown = value.partition(b" ")
        sha256, found = digest(shown.strip()), None
        for token in self._file.tokens:
            if compare_digest(token.digest, sha256):
                found = token
        if found is None or scheme.lower() != b"bearer":
            return None
        # One for each token, however many ways there are to write it.
        self._known = [*((known, token) for known, token in self._known if token is not found), (value, found)]
        return found

    def _look(self) -> None:
        try:
            changed = self._file.look()
        except StartupFailed as exc:
            self._failures[0] += 1
            logger.error("tokens not read", extra={"code": exc.code, "reason": str(exc)})
            return
        if changed:
            self._known = ()
            logger.info("tokens read", extra={"names": ", ".join(token.name for token in self._file.tokens)})


def check_model(token: Token, model: str) -> None:
    """Raises Forbidden. `model`: empty where none is asked about."""
    if token.models is not None and model not in token.models:
        raise Forbidden("Expected a path of a model that this token is for.")


def needed(method: str, path: str) -> tuple[str, str]:
    """The scope that a path of no protocol asks for, and the model that it names; empty where it names none."""
    reads = (method in READING and not path.startswith("/admin")) or (method, path) == INDEX
    return "read" if reads else "admin", _named(path)


def _named(path: str) -> str:
    match path.split("/"):
        case ["", "v1" | "v2", "models", model, *_] if path != STATISTICS:
            return model
        case ["", "v2", "repository", "models", model, *_]:
            return model
    return ""


def check_address(host: str, settings: Settings) -> None:
    """Raises StartupFailed where others could reach a server that wants no token, or the tokens cannot be read."""
    if settings.tokens_file is not None:
        read_tokens(settings.tokens_file)
    elif not settings.allow_public and not ip_address(_resolved(host)).is_loopback:
        raise StartupFailed(
            f"Expected SOFTGATE_TOKENS_FILE for {host}, an address that others reach; "
            "SOFTGATE_ALLOW_PUBLIC=true serves without tokens where something else keeps strangers out."
        )


def _resolved(host: str) -> str:
    """The address that `sockets.bind` takes."""
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except (OSError, UnicodeError) as exc:
        raise StartupFailed(f"Cannot listen on {host}: {getattr(exc, 'strerror', None) or exc}.") from exc


def authorization(headers: Headers) -> bytes:
    for name, value in headers:
        if name == b"authorization":
            return value
    return b""
