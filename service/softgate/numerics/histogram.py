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


def coarsen(counts: NDArray[np.floating] | Counts, edges: Edges, coarse: Edges) -> NDArray[np.float64]:
    """
    Counts over fewer edges: each bin added to the one that holds it.

    Parameters
    ----------
    counts : array of shape (n_edges + 1,)
    edges : array of shape (n_edges,)
    coarse : array of shape (n_coarse,)
        Some of `edges`.

    Returns
    -------
    array of shape (n_coarse + 1,)
        The same sum.

    Raises
    ------
    ValueError
        A coarse edge is not among the edges: then what lies in its bin is not known.
    """
    known = np.searchsorted(edges, coarse)
    if known.max(initial=-1) >= len(edges) or (edges[known] != coarse).any():
        raise ValueError("Expected the coarse edges to be among the edges; got some that lie inside a bin.")
    place = np.append(np.searchsorted(coarse, edges), len(coarse))
    return np.asarray(np.bincount(place, weights=counts, minlength=len(coarse) + 1), dtype=np.float64)


def check_pair(reference: Counts, window: Counts) -> None:
    """Raises ValueError unless both are counts over the same bins, of one observation or more."""
    if reference.shape != window.shape or reference.ndim != 1:
        raise ValueError(f"Expected counts over the same bins; got shapes {reference.shape} and {window.shape}.")
    if reference.sum() == 0 or window.sum() == 0:
        raise ValueError("Expected at least one observation in each histogram; got none.")
