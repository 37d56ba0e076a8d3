"""
Routes: groups of classes, and the probability of each.

Convention, for every function here:

    values.shape == (n_rows, n_classes)
    result.shape == (n_rows, n_routes)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softgate.numerics.activations import Probabilities


@dataclass(frozen=True, slots=True)
class Grouping:
    columns: NDArray[np.intp]
    """Shape (n_classes,): the classes, those of a route side by side."""
    starts: NDArray[np.intp]
    """Shape (n_routes,): where in `columns` each route begins."""
    route_of_class: NDArray[np.intp]
    """Shape (n_classes,)."""


def group(route_of_class: Sequence[int]) -> Grouping:
    """
    The grouping for a route index per class.

    Parameters
    ----------
    route_of_class : n_classes integers
        Routes are numbered 0, 1, ... without a gap.

    Returns
    -------
    Grouping

    Raises
    ------
    ValueError
        If a route between 0 and the largest has no class.
    """
    routes = np.asarray(route_of_class, dtype=np.intp)
    columns = np.argsort(routes, kind="stable")
    present, starts = np.unique(routes[columns], return_index=True)
    if not np.array_equal(present, np.arange(len(present))):
        raise ValueError(
            f"Expected routes 0 to {routes.max()} to have a class each; got classes for {present.tolist()}."
        )
    return Grouping(columns, starts, routes)


def route_probabilities(probabilities: Probabilities, grouping: Grouping) -> Probabilities:
    """
    Probability of each route: the sum over its classes.

    r[i, j] = sum of p[i, k] over the classes k of route j

    Parameters
    ----------
    probabilities : array of shape (n_rows, n_classes)
        Rows that sum to 1, so that classes exclude each other and their probabilities add.

    Returns
    -------
    array of shape (n_rows, n_routes), float64
        In [0, 1]; a sum that rounds above 1 is 1.
    """
    sums = np.add.reduceat(probabilities[:, grouping.columns], grouping.starts, axis=1)
    return np.minimum(sums, 1.0, out=sums)


def route_maxima(probabilities: Probabilities, grouping: Grouping) -> Probabilities:
    """
    Largest probability of each route, for labels that may hold at the same time.

    r[i, j] = max of p[i, k] over the labels k of route j

    Parameters
    ----------
    probabilities : array of shape (n_rows, n_classes)
        In [0, 1]; they need not sum to 1, so they do not add.

    Returns
    -------
    array of shape (n_rows, n_routes), float64
        In [0, 1].
    """
    return np.maximum.reduceat(probabilities[:, grouping.columns], grouping.starts, axis=1)


def routes_spanned(sets: NDArray[np.bool_], grouping: Grouping) -> NDArray[np.bool_]:
    """
    Which routes a set of classes reaches.

    Parameters
    ----------
    sets : booleans of shape (n_rows, n_classes)

    Returns
    -------
    array of shape (n_rows, n_routes), bool
    """
    return np.logical_or.reduceat(sets[:, grouping.columns], grouping.starts, axis=1)
