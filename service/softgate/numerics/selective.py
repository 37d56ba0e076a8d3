"""
Selective classification: what is gained in precision by answering only where confidence is high.

Convention, for every function here:

    confidence.shape == correct.shape == (n_rows,), at least one row
    confidence is any score without NaN, high where the model is sure; correct holds truth values, or 0 and 1

Rows are accepted where confidence >= threshold, so rows of equal confidence come
and go together, and the order of the rows never matters.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlog1py

Confidence = NDArray[np.float64]
Correct = NDArray[np.bool_]


class RiskCoverage(NamedTuple):
    """The curve, from strict to lax: one point per confidence that occurs."""

    coverage: NDArray[np.float64]
    """Share of rows accepted, rising to 1."""
    risk: NDArray[np.float64]
    """Share of the accepted rows that are wrong: 1 less the precision."""
    threshold: NDArray[np.float64]
    """Least confidence that is accepted, falling."""


def risk_coverage(confidence: Confidence, correct: Correct) -> RiskCoverage:
    """
    Risk against coverage, over all thresholds that make a difference.

    coverage(t) = #{ i : c[i] >= t } / n;  risk(t) = #{ i : c[i] >= t, wrong } / #{ i : c[i] >= t }

    Parameters
    ----------
    confidence, correct : arrays of shape (n_rows,)

    Returns
    -------
    RiskCoverage
        Three arrays of shape (n_distinct,), float64.

    Raises
    ------
    ValueError
        If there are no rows, the shapes differ or a confidence is NaN.

    References
    ----------
    El-Yaniv & Wiener (2010), "On the foundations of noise-free selective
    classification".
    """
    threshold, accepted, errors = _counts(confidence, correct)
    return RiskCoverage(accepted / len(confidence), errors / accepted, threshold)


def area_under_risk_coverage(confidence: Confidence, correct: Correct) -> float:
    """
    Area under the risk-coverage curve (AURC): mean risk as rows are accepted one by one, surest first.

    AURC = mean_k (errors among the k surest rows) / k, over k = 1..n

    Parameters
    ----------
    confidence, correct : arrays of shape (n_rows,)
        Among rows of equal confidence the errors count as spread evenly: the mean over all their orders.

    Returns
    -------
    float
        In [0, 1]: 0 if all is right. The error rate, if confidence says nothing.

    Raises
    ------
    ValueError
        As `risk_coverage`.

    References
    ----------
    Geifman, Uziel & El-Yaniv (2019), "Bias-reduced uncertainty estimation for
    deep neural classifiers".
    """
    _, accepted, errors = _counts(confidence, correct)
    k = np.arange(1, len(confidence) + 1)
    among = np.interp(k, np.append(0, accepted), np.append(0.0, errors))
    return float(np.mean(among / k))


def excess_area_under_risk_coverage(confidence: Confidence, correct: Correct) -> float:
    """
    AURC above that of a ranking that puts every error last (E-AURC): what is lost by confidence alone.

    E-AURC = AURC - (r + (1 - r) * ln(1 - r)), with r the error rate

    Parameters
    ----------
    confidence, correct : arrays of shape (n_rows,)

    Returns
    -------
    float
        At least 0; comparable between models of different accuracy.

    Raises
    ------
    ValueError
        As `risk_coverage`.

    References
    ----------
    Geifman, Uziel & El-Yaniv (2019), as above.
    """
    area = area_under_risk_coverage(confidence, correct)
    rate = float(1.0 - np.count_nonzero(correct) / len(correct))
    # xlog1py: with every row wrong, 0 * ln 0 is 0.
    return max(0.0, area - rate - float(xlog1py(1.0 - rate, -rate)))


def coverage_at_precision(confidence: Confidence, correct: Correct, precision: float) -> float:
    """
    The largest coverage whose accepted rows reach a precision, chosen with hindsight.

    max { coverage(t) : 1 - risk(t) >= precision }

    Parameters
    ----------
    confidence, correct : arrays of shape (n_rows,)
    precision : float
        In [0, 1].

    Returns
    -------
    float
        In [0, 1]; 0 where no threshold reaches it. An oracle's figure: a threshold so
        chosen keeps the precision on other rows about half of the time.

    Raises
    ------
    ValueError
        As `risk_coverage`; also if the precision is outside [0, 1].
    """
    if not 0 <= precision <= 1:
        raise ValueError(f"Expected a precision between 0 and 1; got {precision}.")
    _, accepted, errors = _counts(confidence, correct)
    # 19 / 20 is the float 0.95 exactly as written; 1 - 1 / 20 need not be.
    reached = accepted[(accepted - errors) / accepted >= precision]
    return float(reached.max(initial=0) / len(confidence))


def _counts(confidence: Confidence, correct: Correct) -> tuple[Confidence, NDArray[np.intp], NDArray[np.intp]]:
    """Thresholds from strict to lax, rows accepted at each, and how many of them are wrong."""
    if confidence.ndim != 1 or confidence.shape != correct.shape:
        raise ValueError(f"Expected one confidence per outcome; got shapes {confidence.shape} and {correct.shape}.")
    if not confidence.size:
        raise ValueError("Expected at least one row; got none.")
    if np.isnan(confidence).any():
        raise ValueError(f"Expected confidence without NaN; got {np.count_nonzero(np.isnan(confidence))} such.")
    order = np.argsort(-confidence)
    threshold = confidence[order]
    errors = np.cumsum(correct[order] == 0, dtype=np.intp)
    # The last row of each run of equal confidence: only there is the choice a threshold's.
    last = np.flatnonzero(np.append(threshold[1:] != threshold[:-1], True))
    return threshold[last], last + 1, errors[last]
