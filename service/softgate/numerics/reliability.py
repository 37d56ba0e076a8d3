"""
Reliability: does confidence mean what it says, and could the gap that is seen be chance.

Convention, for every function here:

    confidence.shape == correct.shape == (n_rows,), at least one row
    confidence is in [0, 1]; correct, whether the prediction was right, holds truth values, or 0 and 1
    n_bins and n_draws are at least 1; a bin holds its upper edge and not its lower, but the value 0 is in the first

ValueError is raised for arguments that break one of these. The order of the rows never
matters: rows of equal confidence share a bin. Chance alone gives a perfectly calibrated
model an error, the larger the fewer its rows: an error is read beside its `null_band`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from softgate.numerics.histogram import Counts, Edges

Confidence = NDArray[np.float64]
Correct = NDArray[np.bool_]
Draws = NDArray[np.float64]
Statistic = Callable[[Confidence, Correct], float]


class ReliabilityBins(NamedTuple):
    """What a reliability diagram shows; each array of shape (n_bins,). The two means are NaN where a bin is empty."""

    upper_edges: Edges
    rows: Counts
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]


def reliability_bins(confidence: Confidence, correct: Correct, *, n_bins: int = 15) -> ReliabilityBins:
    """
    Count, mean confidence and accuracy in bins of equal width.

    Parameters
    ----------
    confidence, correct : arrays of shape (n_rows,)
    n_bins : int
        Bin b holds (b / n_bins, (b + 1) / n_bins].

    Returns
    -------
    ReliabilityBins
        The rows sum to n_rows.

    References
    ----------
    Without its empty bins the same as `sklearn.calibration.calibration_curve`.
    """
    _check(confidence, correct, n_bins=n_bins)
    upper_edges = _equal_width(n_bins)
    # side="left": a confidence equal to an edge belongs below it.
    bins = np.searchsorted(upper_edges, confidence, side="left")
    rows = np.bincount(bins, minlength=n_bins)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(bins, confidence, minlength=n_bins) / rows
        accuracy = np.bincount(bins, correct, minlength=n_bins) / rows
    return ReliabilityBins(upper_edges, rows, mean_confidence, accuracy)


def expected_calibration_error(confidence: Confidence, correct: Correct, *, n_bins: int = 15) -> float:
    """
    Expected calibration error (ECE): mean gap between confidence and accuracy, over bins of equal width.

    ECE = sum_b (n_b / n) * |accuracy_b - confidence_b|

    Parameters
    ----------
    confidence, correct : arrays of shape (n_rows,)
    n_bins : int
        Bin b holds (b / n_bins, (b + 1) / n_bins]. An empty bin adds nothing.

    Returns
    -------
    float, in [0, 1]
        Biased upwards in small samples.

    References
    ----------
    Guo, Pleiss, Sun & Weinberger (2017), "On calibration of modern neural networks".
    """
    _check(confidence, correct, n_bins=n_bins)
    return _mean_gap(confidence, correct, _equal_width(n_bins))


def equal_mass_calibration_error(confidence: Confidence, correct: Correct, *, n_bins: int = 15) -> float:
    """
    Expected calibration error over bins that hold about as many rows each.

    ECE = sum_b (n_b / n) * |accuracy_b - confidence_b|

    Parameters
    ----------
    confidence, correct : arrays of shape (n_rows,)
    n_bins : int
        Fewer bins are filled where rows of equal confidence must stay together.

    Returns
    -------
    float, in [0, 1]
        Biased upwards in small samples, though less than with equal width.

    References
    ----------
    Roelofs, Cain, Shlens & Mozer (2022), "Mitigating bias in calibration error estimation".
    """
    _check(confidence, correct, n_bins=n_bins)
    return _mean_gap(confidence, correct, _equal_mass(confidence, n_bins, least=1))


def debiased_calibration_error(confidence: Confidence, correct: Correct, *, n_bins: int = 15) -> float:
    """
    Calibration error in the root-mean-square sense, less what chance alone adds to it.

    L2 = sqrt(max(0, sum_b (n_b / n) * [(accuracy_b - confidence_b)^2 - accuracy_b * (1 - accuracy_b) / (n_b - 1)]))

    Parameters
    ----------
    confidence, correct : arrays of shape (n_rows,)
        At least two rows.
    n_bins : int
        Bins hold about as many rows each, and at least two.

    Returns
    -------
    float, in [0, 1]
        0 where chance explains the whole of the gap.

    Raises
    ------
    ValueError
        Also if there is only one row.

    References
    ----------
    Kumar, Liang & Ma (2019), "Verified uncertainty calibration".
    """
    _check(confidence, correct, n_bins=n_bins)
    if confidence.size == 1:
        raise ValueError("Expected at least two rows, for chance to be told from error; got one.")
    upper_edges = _equal_mass(confidence, n_bins, least=2)
    bins = np.searchsorted(upper_edges, confidence, side="left")
    rows = np.bincount(bins)
    accuracy = np.bincount(bins, correct) / rows
    gap = np.bincount(bins, confidence - correct) / rows
    square = np.sum(rows * (gap * gap - accuracy * (1.0 - accuracy) / (rows - 1))) / confidence.size
    return float(np.sqrt(max(square, 0.0)))


def null_band(confidence: Confidence, statistic: Statistic, *, n_draws: int = 200, seed: int = 0) -> Draws:
    """
    What a statistic would be if every confidence were exactly right: draws of it under calibration.

    s[d] = statistic(c, y[d]), with y[d, i] = 1 with probability c[i], independently

    Parameters
    ----------
    confidence : array of shape (n_rows,)
    statistic : function of (confidence, correct)
        Such as `expected_calibration_error`; it must not look at the order of the rows.
    n_draws, seed : int
        The same seed gives the same draws.

    Returns
    -------
    array of shape (n_draws,), float64
        Their mean and 95 % point are the band to show; see `p_value`.

    References
    ----------
    Brocker & Smith (2007), "Increasing the reliability of reliability diagrams".
    """
    _check(confidence, confidence, n_bins=1)
    if n_draws < 1:
        raise ValueError(f"Expected n_draws of at least 1; got {n_draws}.")
    # In order, every draw's sort and look-up of bins costs a fraction.
    ordered = np.sort(confidence)
    random = np.random.default_rng(seed)
    return np.array([statistic(ordered, random.random(ordered.size) < ordered) for _ in range(n_draws)])


def p_value(observed: float, draws: Draws) -> float:
    """
    Chance, were the model calibrated, of a statistic at least as large as the one observed.

    p = (1 + #{ d : s[d] >= observed }) / (1 + n_draws)

    Parameters
    ----------
    observed, draws : float and array of shape (n_draws,)
        The statistic of the outcomes as they are, and under calibration, as `null_band` gives it.

    Returns
    -------
    float
        In (0, 1]; at most x with a chance of at most x, for any x, if the model is calibrated.

    Raises
    ------
    ValueError
        If there are no draws, or a NaN among the numbers.

    References
    ----------
    Davison & Hinkley (1997), "Bootstrap methods and their application", 4.2.
    """
    if not draws.size or np.isnan(draws).any() or np.isnan(observed):
        raise ValueError(f"Expected numbers, and at least one draw; got {observed} and {draws.size} draws.")
    return float((1 + np.count_nonzero(draws >= observed)) / (1 + draws.size))


def _check(confidence: Confidence, correct: NDArray[np.generic], *, n_bins: int) -> None:
    if confidence.ndim != 1 or confidence.shape != correct.shape:
        raise ValueError(f"Expected one confidence per outcome; got shapes {confidence.shape} and {correct.shape}.")
    if not confidence.size:
        raise ValueError("Expected at least one row; got none.")
    if not (confidence.min() >= 0 and confidence.max() <= 1):
        raise ValueError(f"Expected confidence in [0, 1]; got {confidence.min()} to {confidence.max()}.")
    if n_bins < 1:
        raise ValueError(f"Expected n_bins of at least 1; got {n_bins}.")


def _equal_width(n_bins: int) -> Edges:
    return np.arange(1, n_bins + 1) / n_bins


def _equal_mass(confidence: Confidence, n_bins: int, *, least: int) -> Edges:
    """Upper edges, confidences that occur, of bins of about n / n_bins rows, none of fewer than `least`."""
    ordered = np.sort(confidence)
    n = ordered.size
    cuts = np.arange(1, n_bins + 1) * n // n_bins
    edges = np.unique(ordered[np.maximum(cuts, 1) - 1])
    kept: list[float] = []
    filled = 0
    for edge, upto in zip(edges.tolist(), np.searchsorted(ordered, edges, side="right").tolist(), strict=True):
        # What is left after this bin must fill another, or belongs to it.
        if upto - filled >= least and (upto == n or n - upto >= least):
            kept.append(edge)
            filled = upto
    return np.array(kept)


def _mean_gap(confidence: Confidence, correct: Correct, upper_edges: Edges) -> float:
    bins = np.searchsorted(upper_edges, confidence, side="left")
    gaps = np.bincount(bins, confidence - correct)
    return float(np.sum(np.abs(gaps)) / confidence.size)
