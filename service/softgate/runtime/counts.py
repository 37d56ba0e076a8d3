"""
Counts in an anonymous shared matrix: each worker adds to its own row, a scrape adds the rows up.

Eight-byte stores are atomic and a cell has one writer, so there are no locks. A killed worker's row stays, its
successor goes on in it, and there is no file to fill up a disk.
"""

import math
import mmap
from collections.abc import Mapping

import numpy as np

from softgate.types import Floats

Fields = Mapping[str, int]
"""Name of an array of counts → its length."""


class Layout:
    """Where each field of each section stands in a row. The same in every worker, since all read the same bundles."""

    def __init__(self, sections: Mapping[str, Fields]) -> None:
        self._slices: dict[str, dict[str, slice]] = {}
        position = 0
        for section, fields in sections.items():
            self._slices[section] = {}
            for field, length in fields.items():
                self._slices[section][field] = slice(position, position + length)
                position += length
        self.width = position

    def view(self, row: Floats, section: str) -> Mapping[str, Floats]:
        """The fields of a section as views into `row`, shape (width,): adding to a view adds to the row."""
        return {field: row[place] for field, place in self._slices[section].items()}


class Counts:
    """The matrix, shape (n_rows, layout.width). Made before the workers are forked; all of them share it."""

    def __init__(self, layout: Layout, *, n_rows: int) -> None:
        self.layout = layout
        self.n_rows = n_rows
        self._matrix = shared((n_rows, layout.width))

    def row(self, worker: int) -> Floats:
        row: Floats = self._matrix[worker]
        return row

    def total(self) -> Floats:
        """Shape (layout.width,): the sum over all workers, alive or dead."""
        return np.asarray(self._matrix.sum(axis=0))


def shared(shape: tuple[int, ...]) -> Floats:
    """Zeros in memory that forked processes share. Pages that nobody writes to take no room."""
    size = math.prod(shape)
    # mmap(-1) is anonymous and shared: no name, no file, inherited by fork.
    cells = np.frombuffer(mmap.mmap(-1, max(1, size) * 8), dtype=np.float64, count=size)
    return cells.reshape(shape)
