"""
Counts in an anonymous shared matrix: each worker adds to its own row, a scrape adds the rows up.

Eight-byte stores are atomic and a cell has one writer, so there are no locks. A killed worker's row stays, its
successor goes on in it, and there is no file to fill up a disk.
"""

import math
import mmap
from collections.abc import Mapping
from copy import copy
from typing import TypeAlias

import numpy as np

from softgate.types import Floats

Fields = Mapping[str, int]
"""Name of an array of counts → its length."""
_Key: TypeAlias = tuple[str, str, int, str]


class Layout:
    """Where each field of each section stands in a row. The same in every worker, since all read the same bundles."""

    width: int
    _known: dict[_Key, slice]

    def __init__(
        self,
        sections: Mapping[str, Fields],
        *,
        meanings: Mapping[str, Mapping[str, str]] | None = None,
        follows: "Layout | None" = None,
    ) -> None:
        """
        `meanings` tells, by section and field, what may change about a field's cells beside their number.

        What stood in the layout that this one `follows` stays where it was, if it means the same; the rest stands
        behind it.
        """
        known = {} if follows is None else dict(follows._known)
        position = 0 if follows is None else follows.width
        self._slices: dict[str, dict[str, slice]] = {}
        for section, fields in sections.items():
            self._slices[section] = {}
            for field, length in fields.items():
                key = section, field, length, (meanings or {}).get(section, {}).get(field, "")
                if key not in known:
                    known[key] = slice(position, position + length)
                    position += length
                self._slices[section][field] = known[key]
        self._known = known
        self.width = position

    def view(self, row: Floats, section: str) -> Mapping[str, Floats]:
        """The fields of a section as views into `row`, shape (width,): adding to a view adds to the row."""
        return {field: row[place] for field, place in self._slices[section].items()}


class Counts:
    """The matrix, shape (n_rows, layout.width). Made before the workers are forked; all of them share it."""

    def __init__(self, layout: Layout, *, n_rows: int, room: int = 1) -> None:
        """`room`: how many layouts as wide as this one may follow one another in it."""
        self.layout = layout
        self.n_rows = n_rows
        self._matrix = shared((n_rows, room * layout.width))

    @property
    def room(self) -> int:
        """The widest that a layout may become."""
        return int(self._matrix.shape[1])

    def following(self, layout: Layout) -> "Counts":
        """The same counts under a layout that follows ours. Raises ValueError where it is wider than the room."""
        if layout.width > self.room:
            raise ValueError(f"Expected at most {self.room} counts; got {layout.width}.")
        following = copy(self)
        following.layout = layout
        return following

    def row(self, worker: int) -> Floats:
        row: Floats = self._matrix[worker, : self.layout.width]
        return row

    def total(self) -> Floats:
        """Shape (layout.width,): the sum over all workers, alive or dead."""
        return np.asarray(self._matrix[:, : self.layout.width].sum(axis=0))

    def largest(self, section: str, field: str) -> float:
        """Of a field's cells in all rows: for one that is no count."""
        return max(float(self.layout.view(self.row(worker), section)[field].max()) for worker in range(self.n_rows))


def shared(shape: tuple[int, ...]) -> Floats:
    """Zeros in memory that forked processes share. Pages that nobody writes to take no room."""
    size = math.prod(shape)
    # mmap(-1) is anonymous and shared: no name, no file, inherited by fork.
    cells = np.frombuffer(mmap.mmap(-1, max(1, size) * 8), dtype=np.float64, count=size)
    return cells.reshape(shape)
