"""A request's rows → the graph's feed: one module per input kind."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from softgate.runtime.inputs import image, tensor, text
from softgate.runtime.table import Table
from softgate.types import Rows, TensorSpec

Feed = Mapping[str, NDArray[np.generic]]


class Input(Protocol):
    """One way in: checks what a client sent, and turns checked rows into the graph's feed."""

    row: Any
    """The type of a row in JSON, as msgspec decodes it: str, list[float], dict[str, float] | list[float] ..."""
    depth: int
    """How many brackets open a row that is a list: with one more, the request holds several."""

    pairs: bool
    """Whether a row may be a pair of texts, one judged by the other."""
    tensors: Sequence[TensorSpec]
    """What a client that sends tensors sends: the batch first. Strings are texts, or the bytes of images."""

    def check(self, values: Sequence[Any]) -> Rows:
        """Rows of `values`, one decoded row or more. Raises InvalidInput."""

    def check_tensors(self, tensors: Sequence[NDArray[Any]]) -> Rows:
        """
        Rows of arrays, one for each of `tensors` in its order, of its type and, but for the batch, its shape.

        Strings are an array of str or bytes. Of numbers, no copy is made. Raises InvalidInput for their values.
        """

    def feed(self, rows: Rows) -> Feed:
        """What the session takes for these rows. Raises InvalidInput for what only the work itself can tell."""

    def samples(self, n_rows: int) -> Sequence[Any] | None:
        """
        Made-up rows as a client would send them, to try a graph with; None where their shape cannot be known.

        The same at every call.
        """


@dataclass(frozen=True, slots=True)
class Kind:
    read: Callable[[Table], Any]
    """The keys of the card's [input] that this kind has, as a frozen dataclass."""
    build: Callable[..., Input]
    """The input for (specs of the graph's inputs, those keys, tokenizer=bytes or None). Raises ModelError."""


# To add one: write its module and name it here. The key is the card's `input.kind`.
INPUTS: Mapping[str, Kind] = {
    "image": Kind(image.read, image.ImageInput),
    "tensor": Kind(tensor.read, tensor.build),
    "text": Kind(text.read, text.build),
}
