"""What the head of a request has to be; httptools has already refused what is no HTTP at all. Pure functions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import TypeAlias

from softgate.errors import HeadersTooLarge, HttpVersionUnsupported, MalformedRequest, SoftgateError

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]

VERSIONS = ("1.1", "1.0")
# A name or an address, and a port.
HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")
# A colon and a blank, and the end of the line.
LINE_BYTES = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may send, and how long it may take."""

    max_header_bytes: int = 16_384
    max_headers: int = 100
    header_seconds: float = 10.0
    body_seconds: float = 30.0


def check_head(url: bytes, headers: Headers, version: str, limits: Limits) -> None:
    """
    The names in `headers` are in lower case.

    Raises HeadersTooLarge, HttpVersionUnsupported and MalformedRequest.
    """
    n_bytes = len(url) + sum(map(len, chain.from_iterable(headers))) + LINE_BYTES * len(headers)
    if n_bytes > limits.max_header_bytes or len(headers) > limits.max_headers:
        raise too_large(limits)
    if version not in VERSIONS:
        raise HttpVersionUnsupported("Expected HTTP/1.1 or HTTP/1.0.")
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) != 1 and (hosts or version == "1.1"):
        raise MalformedRequest(f"Expected one Host header; got {len(hosts)}.")
    if hosts and not is_host(hosts[0]):
        raise MalformedRequest("Expected a name or an address, and at most a port, in the Host header.")
    for name, value in headers:
        if name == b"transfer-encoding" and (version == "1.0" or value.lower() != b"chunked"):
            # Who reads another length than the server next to it takes part of a body for a request.
            raise MalformedRequest("Expected no Transfer-Encoding but chunked, and none in HTTP/1.0.")


@lru_cache(maxsize=256)
def is_host(value: bytes) -> bool:
    return HOST.fullmatch(value) is not None


def too_large(limits: Limits) -> HeadersTooLarge:
    return HeadersTooLarge(
        f"Expected a request line and headers of at most {limits.max_header_bytes} bytes, "
        f"and at most {limits.max_headers} headers."
    )


def no_request(exc: Exception) -> SoftgateError:
    """What httptools raised, as an error of ours. It says nothing of what was sent."""
    if isinstance(exc.__context__, SoftgateError):
        return exc.__context__
    if str(exc) in ("Invalid HTTP version", "Pause on PRI/Upgrade"):
        return HttpVersionUnsupported("Expected HTTP/1.1 or HTTP/1.0.")
    return MalformedRequest("Expected an HTTP/1.1 request.")


def header(headers: Headers, wanted: bytes) -> bytes:
    """The first of this name that says something; empty where there is none."""
    return next((value for name, value in headers if name == wanted and value), b"")
