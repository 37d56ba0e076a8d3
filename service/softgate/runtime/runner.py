"""Rows → a graph's output, in as many calls of its session as the limits ask for."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from softgate.errors import GraphInvalid
from softgate.runtime.buckets import buckets
from softgate.runtime.inputs import Feed, Input
from softgate.runtime.inputs.tokens import TokenInput
from softgate.runtime.outputs import Head
from softgate.runtime.pace import CALL_COST_IN_TOKENS
from softgate.runtime.session import Session
from softgate.types import Rows, TensorSpec

# A call of more padded tokens gives its memory back: one request of 32 long texts would hold 1.5 GB for ever, measured.
MOST_TOKENS_KEPT = 1024

if TYPE_CHECKING:
    from tokenizers import Encoding

Values = NDArray[np.floating]


class Runner:
    """Feeds a session: texts by length, a graph that takes so many rows by as many, all other rows as they come."""

    def __init__(self, session: Session, source: Input, head: Head, *, max_rows: int, max_padded_tokens: int) -> None:
        """Raises GraphInvalid for a graph whose inputs have no batch in common."""
        self.session = session
        self.fixed_batch = _fixed_batch(session.inputs)
        """How many rows the graph takes at a time, None where it may be any number."""
        self.call_cost_in_tokens = CALL_COST_IN_TOKENS
        self._source = source
        self._head = head
        self._max_rows = max_rows
        self._max_padded_tokens = max_padded_tokens

    def values(self, rows: Rows, *, call_cost_in_tokens: float | None = None) -> Values:
        """
        The output as the graph gives it, shape (n_rows, n_columns), in the order of the rows.

        An infinite cost of a call pads texts to the longest of all, as far as the limits allow; None: as measured.
        """
        if self.fixed_batch is not None:
            return self._in_slices(rows, self.fixed_batch)
        if isinstance(self._source, TokenInput):
            cost = self.call_cost_in_tokens if call_cost_in_tokens is None else call_cost_in_tokens
            return self._in_buckets(self._source, rows, cost)
        return self._in_slices(rows, self._max_rows)

    def call(self, feed: Feed, n_rows: int, *, keeps_memory: bool = True) -> Values:
        """The output for a feed of so many rows. Raises EngineFailed."""
        (output,) = self.session.run([self._head.spec.name], feed, keeps_memory=keeps_memory)
        values = self._head.values(output)
        if len(values) != n_rows:
            raise GraphInvalid(f"The graph gave {len(values)} rows for {n_rows}.")
        return values

    def _in_buckets(self, source: TokenInput, rows: Rows, cost: float) -> Values:
        encodings = source.encode(rows)
        if len(encodings) == 1:
            return self._padded(source, encodings)
        found = buckets(
            list(map(source.width, encodings)),
            call_cost_in_tokens=cost,
            max_rows=self._max_rows,
            max_padded_tokens=self._max_padded_tokens,
        )
        stacked = np.concatenate([self._padded(source, [encodings[row] for row in bucket]) for bucket in found])
        values = np.empty_like(stacked)
        values[np.concatenate(found)] = stacked
        return values

    def _padded(self, source: TokenInput, encodings: "Sequence[Encoding]") -> Values:
        feed = source.padded(encodings)
        n_tokens = next(iter(feed.values())).size
        return self.call(feed, len(encodings), keeps_memory=n_tokens <= MOST_TOKENS_KEPT)

    def _in_slices(self, rows: Rows, step: int) -> Values:
        if len(rows) <= step:
            return self._slice(rows)
        return np.concatenate(
            [self._slice(Rows(rows.values[start : start + step])) for start in range(0, len(rows), step)]
        )

    def _slice(self, rows: Rows) -> Values:
        n_rows = len(rows)
        if self.fixed_batch is not None and n_rows < self.fixed_batch:
            # The graph takes no fewer: the last row stands in for those that are not there.
            rows = Rows.join([rows, *[Rows(rows.values[-1:])] * (self.fixed_batch - n_rows)])
        return self.call(self._source.feed(rows), len(rows))[:n_rows]


def _fixed_batch(specs: Sequence[TensorSpec]) -> int | None:
    """Raises GraphInvalid."""
    sizes = {spec.shape[0] for spec in specs if spec.shape}
    if len(sizes) != 1 or any(not spec.shape for spec in specs):
        named = ", ".join(map(str, specs))
        raise GraphInvalid(f"The graph takes {named}; wanted a first axis that is the batch, of one size for all.")
    size = sizes.pop()
    if size == 0:
        raise GraphInvalid(f"The graph takes {', '.join(map(str, specs))}: no row at a time; wanted at least one.")
    return size
