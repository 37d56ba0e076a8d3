"""
Which rows share a call of the graph, where rows differ in length and each call is padded to its longest.

A call is taken to cost as much as so many padded tokens more: `session.run` itself, and each operator's start.
"""

from collections.abc import Sequence

import numpy as np

from softgate.types import Indices


def buckets(
    lengths: Sequence[int], *, call_cost_in_tokens: float, max_rows: int, max_padded_tokens: int
) -> list[Indices]:
    """
    The rows of each call, longest rows first: a partition of them all.

    Rows are sorted by length and cut where that is cheapest in total, sum over calls of
    call_cost_in_tokens + rows * longest: exactly, by dynamic programming over the lengths that occur, where the limits
    allow one call. Where they do not, a piece too large for one is cut further.

    Parameters
    ----------
    lengths : tokens of each row, >= 1; at least one row.
    call_cost_in_tokens : >= 0; infinite for as few calls as the limits allow.
    max_rows : >= 1, rows of a call.
    max_padded_tokens : >= 1, rows * longest of a call; a row longer than that has a call of its own.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    longest, stops = _lengths([lengths[row] for row in order])
    rows_in_order, calls = np.array(order, dtype=np.intp), []
    for start, stop in _pieces(longest, stops, call_cost_in_tokens, max_rows, max_padded_tokens):
        end = stop
        while end > start:
            rows = max(1, min(max_rows, max_padded_tokens // lengths[order[end - 1]]))
            calls.append(rows_in_order[max(start, end - rows) : end])
            end -= rows
    return calls


def _lengths(ascending: Sequence[int]) -> tuple[Sequence[int], Sequence[int]]:
    """The lengths that occur, and where the rows of each end."""
    longest, stops = [ascending[0]], [0]
    for position, length in enumerate(ascending):
        if length != longest[-1]:
            longest.append(length)
            stops.append(position)
        stops[-1] = position + 1
    return longest, stops


def _pieces(
    longest: Sequence[int], stops: Sequence[int], call_cost: float, max_rows: int, max_padded_tokens: int
) -> list[tuple[int, int]]:
    """First and last + 1 of each piece in the order of lengths, the longest first."""
    # Rows of one length are never parted by the best cut: whoever moves to the call of their length saves padding.
    starts, costs, cuts, first = [0, *stops[:-1]], [0.0], [0], 0
    for end, (stop, length) in enumerate(zip(stops, longest, strict=True), start=1):
        # Nor does it pad a row by more than a call costs: that row would be better off alone.
        while length - longest[first] > call_cost:
            first += 1
        rows = max(1, min(max_rows, max_padded_tokens // length))
        # -(-a // b) is a / b, rounded up.
        options = [
            costs[cut] - (starts[cut] - stop) // rows * call_cost + (stop - starts[cut]) * length
            for cut in range(first, end)
        ]
        costs.append(min(options))
        cuts.append(first + options.index(costs[-1]))
    pieces, end = [], len(stops)
    while end:
        pieces.append((starts[cuts[end]], stops[end - 1]))
        end = cuts[end]
    return pieces
