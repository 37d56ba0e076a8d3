"""Bytes, as they arrive → lines, of which none is held beyond a limit, and batches of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    number: int
    """From 1."""
    content: bytes | None
    """Without its line feed; None: it has more bytes than a line may have."""


class Lines:
    """Cuts at line feeds, wherever a piece ends."""

    def __init__(self, *, limit: int) -> None:
        """`limit`: most bytes of a line, its line feed not counted."""
        self._limit = limit
        self._number = 0
        self._held = bytearray()
        self._too_long = False

    @property
    def n_held(self) -> int:
        """Bytes of the line that has not ended."""
        return len(self._held)

    def feed(self, piece: bytes) -> Iterator[Line]:
        """The lines that end in `piece`; to be taken to its end before the next."""
        start = 0
        while (stop := piece.find(b"\n", start)) >= 0:
            self._hold(piece[start:stop])
            yield self._line()
            start = stop + 1
        self._hold(piece[start:])

    def rest(self) -> Iterator[Line]:
        """The last line, where no line feed ends it."""
        if self._held or self._too_long:
            yield self._line()

    def _hold(self, part: bytes) -> None:
        if self._too_long or len(self._held) + len(part) > self._limit:
            self._too_long = True
            self._held.clear()
        else:
            self._held += part

    def _line(self) -> Line:
        self._number += 1
        line = Line(self._number, None if self._too_long else bytes(self._held))
        self._held.clear()
        self._too_long = False
        return line


def grouped(lines: Iterable[Line], *, max_lines: int, max_bytes: int) -> Iterator[list[Line]]:
    """Batches of at most `max_lines`, and of at most `max_bytes` where there is more than one line."""
    batch: list[Line] = []
    size = 0
    for line in lines:
        length = 0 if line.content is None else len(line.content)
        if batch and (len(batch) == max_lines or size + length > max_bytes):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += length
    if batch:
        yield batch
