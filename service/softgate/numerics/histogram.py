"""
Counts over fixed edges: the one structure that adds over requests, workers, replicas and time.

Convention, for every function here:

    edges.shape == (n_edges,), ascending: each is the upper bound, inclusive, of its bin
    counts.shape == (n_edges + 1,): the last bin holds what lies above the last edge
"""

import numpy as np
from numpy.typing import NDArray

Edges = NDArray[np.float64]
Counts = NDArray[np.intp]

# Confidence piles up at the top, so equal bins alone would saturate there.
CONFIDENCE_EDGES: Edges = np.array([*(i / 20 for i in range(1, 20)), 0.97, 0.99, 0.995, 0.999, 1.0])


def count_in_bins(values: NDArray[np.float64], edges: Edges) -> Counts:
    """
    How many values fall into each bin.

    n[b] = #{ i : edges[b - 1] < values[i] <= edges[b] }

    Parameters
    ----------
    values : array of shape (n_values,)
        No NaN. Whatever lies below the first edge is in the first bin.
    edges : array of shape (n_edges,)

    Returns
    -------
    array of shape (n_edges + 1,), integers
        Sums to n_values.

    References
    ----------
    The bounds of a Prometheus histogram ("le": less or equal), not those of `numpy.histogram`.
    """
    return np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
