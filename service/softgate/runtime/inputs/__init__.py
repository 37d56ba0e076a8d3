"""A request's rows → the graph's feed: one module per input kind."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from softgate.runtime.inputs.tensor import TensorInput
from softgate.runtime.inputs.text import TextInput
from softgate.types import Rows

Feed = Mapping[str, NDArray[np.generic]]


class Input(Protocol):
    """One way in: checks what a client sent, and turns checked rows into the graph's feed."""

    element: type
    """What a row is made of on the wire: str for texts, int or float for rows that are lists of numbers."""

    def check(self, values: Sequence[object]) -> Rows:
        """Rows of `values`, one decoded row or more. Raises InvalidInput."""

    def feed(self, rows: Rows) -> Feed:
        """What the session takes for these rows."""

    def samples(self, n_rows: int) -> Rows | None:
        """Made-up rows, to warm a session with; None where their shape cannot be known."""


# To add one: write its module and name its class here. The key is the card's `input.kind`.
INPUTS: Mapping[str, Callable[..., Input]] = {
    "tensor": TensorInput,
    "text": TextInput,
}
