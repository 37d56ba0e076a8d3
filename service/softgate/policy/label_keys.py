"""
Labels as the keys of a JSON object, written once.

Of ten thousand classes, to look up and write them takes longer than everything else that an answer needs: where the hot
path is compiled, C does it in one pass.
"""

import json
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from softgate.types import Indices


def _compiled() -> Callable[[bytes, NDArray[np.int64], NDArray[np.int64], bytes], bytes] | None:
    try:
        from softgate.policy._label_keys import joined  # noqa: PLC0415 - there only where it was compiled
    except ModuleNotFoundError:
        return None
    return joined


_joined = _compiled()


class LabelKeys:
    def __init__(self, labels: Sequence[str]) -> None:
        pieces = [b",%b:" % json.dumps(label, ensure_ascii=False).encode() for label in labels]
        self._pieces = np.array(pieces, dtype=object)
        """Each behind a comma."""
        self._text = b"".join(pieces)
        self._starts = np.cumsum([0, *map(len, pieces)], dtype=np.int64)
        """Of each piece in the text, and where the last one ends."""

    def object(self, columns: Indices, numbers: bytes) -> bytes:
        """
        The JSON object that holds a number for the label of each column, in their order.

        Parameters
        ----------
        columns : array of shape (n,)
            Of labels, each from 0 on.
        numbers : bytes
            A list of n numbers in JSON, without blanks.

        Raises
        ------
        IndexError
            A column is that of no label.
        ValueError
            There are more or fewer numbers than columns.
        """
        if _joined is not None:
            return _joined(self._text, self._starts, np.ascontiguousarray(columns, dtype=np.int64), numbers)
        values = numbers[1:-1].split(b",") if numbers != b"[]" else []
        if len(values) != len(columns):
            raise ValueError(f"Expected a number for each of {len(columns)} columns; got {len(values)}.")
        if (columns < 0).any():
            raise IndexError("Expected columns of labels; got one that has none.")
        pieces = [b""] * (2 * len(columns))
        pieces[::2] = self._pieces[columns].tolist()
        pieces[1::2] = values
        return b"{%b}" % b"".join(pieces)[1:]
