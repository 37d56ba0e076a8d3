"""Bodies that were compressed on their way: no larger, once they are not, than any other may be."""

import zlib
from collections.abc import Mapping

from softgate.errors import BodyTooLarge, MalformedBody, UnsupportedEncoding

PLAIN = b"identity"
# zlib's window and the wrapper around what it writes: gzip's or its own.
WRAPPERS: Mapping[bytes, int] = {
    b"gzip": 16 + zlib.MAX_WBITS,
    b"x-gzip": 16 + zlib.MAX_WBITS,
    b"deflate": zlib.MAX_WBITS,
}


class Inflating:
    """Takes a body piece by piece, and never makes more of it than the limit."""

    def __init__(self, encoding: bytes, *, limit: int) -> None:
        """`encoding` as the header says it. Raises UnsupportedEncoding."""
        window = WRAPPERS.get(encoding.strip().lower())
        if window is None:
            raise UnsupportedEncoding("Expected a body without Content-Encoding, or one of gzip or deflate.")
        self._inflate = zlib.decompressobj(window)
        self._left = limit
        # What does not shrink grows by a little.
        self._n_unread = 2 * limit
        self._limit = limit

    def feed(self, piece: bytes) -> bytes:
        """Raises BodyTooLarge and MalformedBody."""
        self._n_unread -= len(piece)
        try:
            # One more than may be there: it tells too large from just right.
            found = self._inflate.decompress(piece, self._left + 1)
        except zlib.error as exc:
            raise _broken() from exc
        self._left -= len(found)
        if self._left < 0:
            raise BodyTooLarge(f"Expected a body of at most {self._limit} bytes once it is inflated; got more.")
        if self._n_unread < 0:
            # What inflates to nothing could go on for ever.
            raise BodyTooLarge(f"Expected a body of at most {self._limit} bytes; got more.")
        if self._inflate.unused_data:
            raise _broken()
        return found

    def end(self) -> None:
        """Raises MalformedBody where there should be more."""
        if not self._inflate.eof:
            raise _broken()


class Plain:
    """A body as it is."""

    def feed(self, piece: bytes) -> bytes:
        return piece

    def end(self) -> None:
        pass


def decoder(encoding: bytes, *, limit: int) -> Inflating | Plain:
    """For a body of this Content-Encoding, empty where there is none. Raises UnsupportedEncoding."""
    return Plain() if encoding.strip().lower() in (b"", PLAIN) else Inflating(encoding, limit=limit)


def _broken() -> MalformedBody:
    return MalformedBody("Expected a body that is what its Content-Encoding says, whole and with nothing behind it.")


# A body so small gains nothing by it.
LEAST_DEFLATED_BYTES = 1024
# The fastest: the client asked for fewer bytes, and others wait for the processor.
LEVEL = 1


def deflated(body: bytes, accepts: bytes) -> tuple[bytes, bytes]:
    """The body as a client that accepts these encodings is sent it, and the encoding; empty where it is as it was."""
    if len(body) < LEAST_DEFLATED_BYTES:
        return body, b""
    wanted = next((name for name in (b"gzip", b"deflate") if _accepts(accepts, name)), b"")
    if not wanted:
        return body, b""
    compress = zlib.compressobj(LEVEL, wbits=WRAPPERS[wanted])
    return compress.compress(body) + compress.flush(), wanted


def _accepts(accepts: bytes, name: bytes) -> bool:
    for entry in accepts.lower().split(b","):
        coding, _, weight = entry.partition(b";")
        if coding.strip() == name:
            return weight.replace(b" ", b"") not in (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000")
    return False
