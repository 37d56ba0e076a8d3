"""
Shift: how far the mean or the spread of live rows has moved from the reference's, in standard errors.

Whether it is alarming is policy. ValueError is raised where one side has no observations.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from softgate.numerics.histogram import Counts, Edges, check_pair


class Shift(NamedTuple):
    value: float
    """Of the window less the reference."""
    floor: float
    """Mean of its size if nothing had changed, at these sample sizes."""
    z: float
    """In standard errors."""
    p_value: float
    """Two-sided."""


def mean_shift(reference: tuple[float, float, int], window: tuple[float, float, int]) -> Shift:
    """
    How far the mean has moved.

    z = (mean_w - mean_r) / e, e = sqrt(v * (1 / m + 1 / n)), v = the variance of both together;
    floor = sqrt(2 / pi) * e

    Parameters
    ----------
    reference, window : (mean, standard deviation, number of observations)

    Returns
    -------
    Shift
        In the unit of the mean.

    References
    ----------
    Student (1908), with the normal in place of his distribution. The variance is that of both together: a window of 50
    confidences may hold none that is low, and by its own variance it would be far off 40 times as often as p says.
    """
    (mean_r, deviation_r, m), (mean_w, deviation_w, n) = reference, window
    if m < 1 or n < 1:
        raise ValueError(f"Expected at least one observation on both sides; got {m} and {n}.")
    # What is less is rounding, and would count for much where nothing varies.
    value = 0.0 if math.isclose(mean_r, mean_w, rel_tol=1e-9) else mean_w - mean_r
    share = n / (m + n)
    # Squares of what a float holds may leave its range; those of parts of the largest do not.
    largest = max(deviation_r, deviation_w, abs(value)) or 1.0
    a, b, c = deviation_r / largest, deviation_w / largest, value / largest
    variance = (1 - share) * a * a + share * b * b + share * (1 - share) * c * c
    return _shift(c, variance * (1 / m + 1 / n), unit=largest)


def deviation_shift(reference: Counts, window: Counts, upper_edges: Edges) -> Shift:
    """
    How far the standard deviation has moved, each bin's mass at its upper edge.

    z = (s_w - s_r) / sqrt(v_m + v_n), v_k = ((mu_4 - s^4) / k + 2 s^4 / k^2) / (4 s^2), s and mu_4 of both together;
    floor = sqrt(2 / pi * (v_m + v_n))

    Parameters
    ----------
    reference, window : counts of shape (n_bins,)
    upper_edges : array of shape (n_bins - 1,)

    Returns
    -------
    Shift
        In the unit of the axis.

    References
    ----------
    Cramer (1946), "Mathematical methods of statistics": the variance of a sample variance; by the delta method, that of
    its root.
    """
    check_pair(reference, window)
    # Fourth powers of what a float holds may leave its range; those of parts of the largest do not.
    unit = float(np.abs(upper_edges).max()) or 1.0
    points = np.append(upper_edges, upper_edges[-1:]) / unit
    value = np.sqrt(_central_moment(window, points, 2)) - np.sqrt(_central_moment(reference, points, 2))
    variance, fourth = (_central_moment(reference + window, points, order) for order in (2, 4))
    if variance == 0:
        return _shift(0.0, 0.0, unit=unit)
    sizes = np.array([reference.sum(), window.sum()], dtype=np.float64)
    squares = np.maximum(fourth - variance**2, 0.0) / sizes + 2 * variance**2 / sizes**2
    return _shift(float(value), float(squares.sum() / (4 * variance)), unit=unit)


def _central_moment(counts: Counts, points: Edges, order: int) -> float:
    share = counts / counts.sum()
    return float(share @ (points - share @ points) ** order)


def _shift(value: float, variance: float, *, unit: float) -> Shift:
    """Of a value and its variance in units, and squares of units, of the result's."""
    error = math.sqrt(variance)
    z = value / error if error > 0 else 0.0
    return Shift(value * unit, math.sqrt(2 / math.pi) * error * unit, z, float(2 * ndtr(-abs(z))))
