"""
Thresholds that keep a promise: a stated precision among accepted rows, broken with at most a stated chance.

Convention, for every function here:

    confidence.shape == correct.shape == (n_rows,): any score without NaN; whether acting on the row is right
    a row is accepted where confidence >= threshold
    precision and risk are in (0, 1)

The promise is about other rows from where these come from: over the draw of the
calibration rows, the chance that the chosen threshold has a lower precision
there is at most the risk. A threshold chosen because it does well on the rows
at hand breaks such a promise about half of the time.

ValueError is raised for arguments that break one of these.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, betaincinv

Confidence = NDArray[np.float64]
Correct = NDArray[np.bool_]
Counts = NDArray[np.intp]

N_STARTS = 4
N_THRESHOLDS = 100


@dataclass(frozen=True, slots=True)
class PrecisionThreshold:
    """What was chosen, and all that was tried for it; the arrays are of shape (n_tested,), from strict to lax."""

    threshold: float | None
    """None: no threshold keeps the promise on these rows."""
    index: int | None
    """Its place in the arrays."""
    thresholds: Confidence
    accepted: Counts
    errors: Counts
    lower_bound: NDArray[np.float64]
    """Of the precision at each threshold taken alone, at a certainty of 1 - risk."""


def rows_needed(precision: float, risk: float) -> int:
    """
    The fewest accepted rows, all of them right, that carry a promise.

    n = ceil(ln risk / ln precision): with fewer, precision^n > risk

    Parameters
    ----------
    precision, risk : float

    Returns
    -------
    int, at least 1

    References
    ----------
    The binomial test of no failures; 22, 45, 114 and 230 rows for 0.9, 0.95, 0.98 and 0.99 at a risk of 0.1.
    """
    _check_promise(precision, risk)
    n = max(1, math.ceil(math.log(risk) / math.log(precision)))
    # The test itself decides, so that this number and its verdict never part by a rounding.
    while n > 1 and _p_value(0, n - 1, precision) <= risk:
        n -= 1
    while _p_value(0, n, precision) > risk:
        n += 1
    return n


def precision_lower_bound(errors: Counts, accepted: Counts, *, risk: float) -> NDArray[np.float64]:
    """
    Exact lower bound of a precision, from errors among accepted rows.

    b = the precision at which as few errors, or fewer, have a chance of `risk`

    Parameters
    ----------
    errors, accepted : integers of one shape
        0 <= errors <= accepted.
    risk : float

    Returns
    -------
    array of that shape, float64, in [0, 1]
        0 where all are errors or none is accepted.

    References
    ----------
    Clopper & Pearson (1934), one-sided. Same value as
    `scipy.stats.binomtest(...).proportion_ci(confidence_level=1 - 2 * risk, method="exact").low`.
    """
    _check_promise(0.5, risk)
    right = np.asarray(accepted) - errors
    return np.where(right > 0, betaincinv(np.maximum(right, 1), np.asarray(errors) + 1.0, risk), 0.0)


def fixed_sequence(errors: Counts, accepted: Counts, *, precision: float, risk: float, n_starts: int) -> int | None:
    """
    The last of a sequence of thresholds that can be promised, tested in order from several starts.

    walk from each start while P(Binomial(accepted, 1 - precision) <= errors) <= risk / n_starts

    A walk ends at its first failure, so no correction for the number of thresholds is due, only
    one for the number of starts. Several starts, because a walk from the strict end is stopped by
    a single confident error there, and one from the lax end has missed what is strict.

    Parameters
    ----------
    errors, accepted : integers of shape (n_thresholds,)
        From strict to lax. Which thresholds these are must not depend on the errors.
    precision, risk : float
    n_starts : int
        Evenly spaced over the thresholds that accept enough rows for a promise at all.

    Returns
    -------
    int, or None
        The place of the last threshold, of all walks, that passed.

    References
    ----------
    Angelopoulos, Bates, Candes, Jordan & Lei (2021), "Learn then test", with Bauer (1991) for the starts. With
    one start the same as MAPIE's `BinaryClassificationController(fwer_method="fixed_sequence")`.
    """
    _check_promise(precision, risk)
    if n_starts < 1:
        raise ValueError(f"Expected n_starts of at least 1; got {n_starts}.")
    level = risk / n_starts
    feasible = np.flatnonzero(np.asarray(accepted) >= rows_needed(precision, level))
    if not feasible.size:
        return None
    first, count = int(feasible[0]), len(accepted) - int(feasible[0])
    passed = _p_value(np.asarray(errors), np.asarray(accepted), precision) <= level
    last = None
    for start in {first + count * k // n_starts for k in range(n_starts)}:
        failures = np.flatnonzero(~passed[start:])
        end = start + (int(failures[0]) if failures.size else len(passed) - start)
        if end > start:
            last = end - 1 if last is None else max(last, end - 1)
    return last


def threshold_grid(confidence: Confidence, *, n_thresholds: int = N_THRESHOLDS) -> Confidence:
    """
    Thresholds to try: those that accept evenly rising shares of the rows.

    t[k] = the ceil(n * (k + 1) / n_thresholds)-th largest confidence

    Parameters
    ----------
    confidence : array of shape (n_rows,)
    n_thresholds : int
        At least 1. Shares that end at the same confidence give one threshold.

    Returns
    -------
    array of shape (n_tested,), strictly falling
    """
    _check_confidence(confidence)
    if n_thresholds < 1:
        raise ValueError(f"Expected n_thresholds of at least 1; got {n_thresholds}.")
    falling = np.sort(confidence)[::-1]
    ranks = -(-len(falling) * np.arange(1, n_thresholds + 1) // n_thresholds)
    return np.unique(falling[ranks - 1])[::-1] if len(falling) else falling


def precision_threshold(
    confidence: Confidence,
    correct: Correct,
    *,
    precision: float,
    risk: float,
    n_starts: int = N_STARTS,
    n_thresholds: int = N_THRESHOLDS,
) -> PrecisionThreshold:
    """
    The lowest threshold that keeps a precision on other rows, but for a chance of `risk`.

    Parameters
    ----------
    confidence, correct : arrays of shape (n_rows,)
        Rows that nothing was trained on. An out-of-scope row that would be acted on is not correct.
    precision, risk : float
        P(precision among accepted rows >= `precision`) >= 1 - `risk`, over the draw of these rows.
    n_starts, n_thresholds : int
        See `fixed_sequence` and `threshold_grid`.

    Returns
    -------
    PrecisionThreshold
        Without a threshold where the rows carry none: see `rows_needed`.

    References
    ----------
    Geifman & El-Yaniv (2017), "Selective classification for deep neural networks", for the promise; the
    tests are those of `fixed_sequence`.
    """
    if confidence.ndim != 1 or confidence.shape != correct.shape:
        raise ValueError(f"Expected one confidence per outcome; got shapes {confidence.shape} and {correct.shape}.")
    thresholds = threshold_grid(confidence, n_thresholds=n_thresholds)
    accepted, errors = count_accepted(confidence, correct, thresholds)
    return threshold_by_counts(thresholds, accepted, errors, precision=precision, risk=risk, n_starts=n_starts)


def threshold_by_counts(
    thresholds: Confidence, accepted: Counts, errors: Counts, *, precision: float, risk: float, n_starts: int = N_STARTS
) -> PrecisionThreshold:
    """
    The same from counts, where whether a row is right depends on the threshold too.

    Parameters
    ----------
    thresholds : array of shape (n_thresholds,)
        From strict to lax; chosen without a look at the errors.
    accepted, errors : integers of that shape
    precision, risk, n_starts
        See `precision_threshold`.

    Returns
    -------
    PrecisionThreshold
    """
    index = fixed_sequence(errors, accepted, precision=precision, risk=risk, n_starts=n_starts)
    return PrecisionThreshold(
        threshold=None if index is None else float(thresholds[index]),
        index=index,
        thresholds=thresholds,
        accepted=accepted,
        errors=errors,
        lower_bound=precision_lower_bound(errors, accepted, risk=risk),
    )


def count_accepted(confidence: Confidence, correct: Correct, thresholds: Confidence) -> tuple[Counts, Counts]:
    """
    Rows accepted at each threshold, and how many of them are errors.

    Parameters
    ----------
    confidence, correct : arrays of shape (n_rows,)
    thresholds : array of shape (n_thresholds,)

    Returns
    -------
    (accepted, errors), integers of shape (n_thresholds,)
    """
    _check_confidence(confidence)
    wrong = np.sort(confidence[np.asarray(correct) == 0])
    accepted = len(confidence) - np.searchsorted(np.sort(confidence), thresholds, side="left")
    return accepted, len(wrong) - np.searchsorted(wrong, thresholds, side="left")


def _p_value(errors: int | Counts, accepted: int | Counts, precision: float) -> NDArray[np.float64]:
    """P(Binomial(accepted, 1 - precision) <= errors); 1 where none is accepted."""
    return np.where(np.asarray(accepted) > 0, bdtr(errors, accepted, 1.0 - precision), 1.0)


def _check_confidence(confidence: Confidence) -> None:
    if confidence.ndim != 1 or np.isnan(confidence).any():
        raise ValueError(f"Expected confidence of shape (n_rows,) without NaN; got shape {confidence.shape}.")


def _check_promise(precision: float, risk: float) -> None:
    for name, value in (("precision", precision), ("risk", risk)):
        if not 0 < value < 1:
            raise ValueError(f"Expected a {name} between 0 and 1; got {value}.")
