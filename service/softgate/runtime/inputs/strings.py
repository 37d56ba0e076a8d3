"""Texts for graphs that take them as they are: exported pipelines that hold their own tokenization."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softgate.errors import GraphInvalid, InvalidInput, TextTooLong
from softgate.runtime.inputs.numbers import is_whole, text_of
from softgate.types import Rows, TensorSpec

# Tokenization is linear in the text: at a megabyte one row would hold up everybody else's.
MAX_CHARACTERS = 32_768
SAMPLES = (
    "the quick brown fox jumps over the lazy dog",
    "please move fifty dollars to my savings account",
    "will it rain tomorrow",
    "my order has not arrived, and nobody answers the phone!",
    "Wie spät ist es in Tōkyō?",
    "ok",
    "cancel the 2nd booking: it was made by mistake",
    "thanks",
)


class StringInput:
    """For graphs that take one string tensor, (n_rows,) or (n_rows, 1)."""

    row: Any = str
    depth = 0
    pairs = False

    def __init__(self, spec: TensorSpec) -> None:
        """Raises GraphInvalid where a row is more than one string."""
        if len(spec.shape) not in (1, 2) or spec.shape[1:] not in ((), (1,), (None,)):
            raise GraphInvalid(f"input.kind is text, which wants one string per row; the graph takes {spec}.")
        self._spec = spec
        self.tensors: Sequence[TensorSpec] = (TensorSpec(spec.name, spec.dtype, (None,)),)

    def check(self, values: Sequence[Any]) -> Rows:
        """Raises InvalidInput and TextTooLong."""
        for row, text in enumerate(values):
            check_text(text, row)
        return Rows(values)

    def check_tensors(self, tensors: Sequence[NDArray[Any]]) -> Rows:
        """Raises InvalidInput and TextTooLong."""
        (texts,) = tensors
        return self.check([text_of(value) for value in texts])

    def feed(self, rows: Rows) -> Mapping[str, NDArray[np.generic]]:
        texts = np.array(list(rows.values), dtype=object)
        return {self._spec.name: texts if len(self._spec.shape) == 1 else texts[:, None]}

    def samples(self, n_rows: int) -> Sequence[str]:
        return made_up(n_rows)


def check_text(text: Any, row: int) -> None:
    """Raises InvalidInput and TextTooLong."""
    if not isinstance(text, str):
        raise InvalidInput(f"Expected a text in each row; row {row} has none.")
    if len(text) > MAX_CHARACTERS:
        raise TextTooLong(f"Expected at most {MAX_CHARACTERS} characters per text; row {row} has {len(text)}.")
    if not is_whole(text):
        raise InvalidInput(f"Expected texts of whole characters; row {row} has half a surrogate pair.")


def made_up(n_rows: int) -> Sequence[str]:
    """Sentences to try a graph with, no two alike; the same at every call."""
    return [SAMPLES[row % len(SAMPLES)] + " again" * (row // len(SAMPLES)) for row in range(n_rows)]
