"""
Prediction sets: the labels that contain the truth with a stated coverage.

Convention, for every function here:

    probabilities.shape == (n_rows, n_classes), finite, in [0, 1], each row summing to 1
    targets.shape == (n_rows,), the index of the true class, in [0, n_classes)
    scores are in [0, 1], low where a class fits: a set holds those up to the quantile
    coverage is in (0, 1); ValueError is raised for arguments that break one of these

With `mass_before` (TOPP) no set is empty, and hard rows get large ones. `least_ambiguous` (LAC)
gives the smallest sets on average, some of them empty. Nothing is drawn at random: the same text
always gets the same set. Coverage is promised on average over rows like those of the quantile.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from softgate.numerics.activations import Probabilities
from softgate.numerics.likelihood import row_blocks
from softgate.numerics.targets import Targets, check_targets

SetScore = Callable[[Probabilities], NDArray[np.float64]]

_SORT_WHOLE_ROW_UP_TO = 512
# Above it, rounding could be as much as what is left.
_LARGEST_SURE_QUANTILE = 1 - 1e-6


def mass_before(probabilities: Probabilities) -> NDArray[np.float64]:
    """
    Mass that ranks before each class of a row (TOPP): the score of sets that are never empty.

    s[i, k] = sum of p[i, j] over the classes j that rank before k

    Classes rank by falling probability, the lower index first among equals. A set takes them in
    that order until the mass already taken exceeds the quantile.

    Parameters
    ----------
    probabilities : array of shape (n_rows, n_classes)

    Returns
    -------
    array of shape (n_rows, n_classes), float64
        In [0, 1]; 0 for the class that ranks first.

    References
    ----------
    Romano, Sesia & Candes (2020), "Classification with valid and adaptive coverage", less the class itself.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    rows = np.arange(len(order))[:, None]
    scores = np.empty(order.shape)
    scores[rows, order] = mass_before_rank(probabilities[rows, order])
    return scores


def mass_before_rank(ranked_probabilities: Probabilities) -> NDArray[np.float64]:
    """
    The same for rows in falling order: s[i, r] = sum of p[i, q] over the ranks q < r.

    Parameters
    ----------
    ranked_probabilities : array of shape (n_rows, n_classes)

    Returns
    -------
    array of shape (n_rows, n_classes), float64, in [0, 1]
    """
    before = np.zeros(ranked_probabilities.shape)
    np.cumsum(ranked_probabilities[:, :-1], axis=1, out=before[:, 1:])
    # A sum that rounds above 1 would keep a class out of the set that holds every class.
    return np.minimum(before, 1.0, out=before)


def least_ambiguous(probabilities: Probabilities) -> NDArray[np.float64]:
    """
    What is missing to certainty (LAC): the score of the sets that are smallest on average, and may be empty.

    s[i, k] = 1 - p[i, k]

    Parameters
    ----------
    probabilities : array of shape (n_rows, n_classes)

    Returns
    -------
    array of shape (n_rows, n_classes), float64, in [0, 1]

    References
    ----------
    Sadinle, Lei & Wasserman (2019), "Least ambiguous set-valued classifiers with bounded error levels".
    """
    return 1.0 - probabilities


def target_scores(
    probabilities: Probabilities, targets: Targets, *, score: SetScore = mass_before
) -> NDArray[np.float64]:
    """
    Score of the true class of each row: what quantiles are taken of.

    s[i] = score(p)[i, y_i]

    Parameters
    ----------
    probabilities, targets : arrays of shape (n_rows, n_classes) and (n_rows,)
        Taken block by block.
    score : function of probabilities
        One of `SET_SCORES`, and the same for the quantile and for the sets.

    Returns
    -------
    array of shape (n_rows,), float64, in [0, 1]
    """
    n_rows, n_classes = probabilities.shape
    check_targets(targets, n_rows=n_rows, n_classes=n_classes)
    scores = np.empty(n_rows)
    for rows in row_blocks(probabilities):
        scores[rows] = np.take_along_axis(score(probabilities[rows]), targets[rows, None], axis=1)[:, 0]
    return scores


def conformal_quantile(scores: NDArray[np.float64], *, coverage: float) -> float:
    """
    The score that the true class of a new row stays at or below with a stated chance.

    q = the ceil((n + 1) * coverage)-th smallest of the n scores; 1, every class, where n has no such rank

    Parameters
    ----------
    scores : array of shape (n_rows,)
        Of the true classes, as `target_scores` gives them. Fewer than coverage / (1 - coverage)
        are too few; none at all will do.
    coverage : float

    Returns
    -------
    float, in [0, 1]

    References
    ----------
    Vovk, Gammerman & Shafer (2005), "Algorithmic learning in a random world".
    """
    if not 0 < coverage < 1:
        raise ValueError(f"Expected a coverage between 0 and 1; got {coverage}.")
    if scores.ndim != 1:
        raise ValueError(f"Expected scores of shape (n_rows,); got shape {scores.shape}.")
    if not (scores.min(initial=0.0) >= 0 and scores.max(initial=1.0) <= 1):
        raise ValueError(f"Expected scores in [0, 1]; got {scores.min()} to {scores.max()}.")
    rank = _least_rank(coverage, len(scores) + 1)
    return float(np.partition(scores, rank - 1)[rank - 1]) if rank <= len(scores) else 1.0


def prediction_set_quantile(
    probabilities: Probabilities, targets: Targets, *, coverage: float, score: SetScore = mass_before
) -> float:
    """
    The quantile with which `prediction_sets` cover the truth of new rows.

    q = the ceil((n + 1) * coverage)-th smallest of score(p)[i, y_i]; 1, every class, where n has no such rank

    Parameters
    ----------
    probabilities, targets : arrays of shape (n_rows, n_classes) and (n_rows,)
        In-scope rows, on which the model was not trained.
    coverage : float
        The least chance that the set of a new row holds its true class.
    score : function of probabilities
        One of `SET_SCORES`, and the same for the sets.

    Returns
    -------
    float, in [0, 1]

    References
    ----------
    With `least_ambiguous` the same value as MAPIE's `SplitConformalClassifier(conformity_score="lac")`.
    """
    return conformal_quantile(target_scores(probabilities, targets, score=score), coverage=coverage)


def class_quantiles(
    scores: NDArray[np.float64], targets: Targets, *, n_classes: int, coverage: float
) -> NDArray[np.float64]:
    """
    A quantile for each class, so that rows of every class are covered, not only the average row.

    q[k] = `conformal_quantile` of { s[i] : y_i = k } where they carry one, else of all the scores

    Parameters
    ----------
    scores, targets : arrays of shape (n_rows,)
        Of the true classes, as `target_scores` gives them, and which these are.
    n_classes : int
    coverage : float
        A class needs coverage / (1 - coverage) rows for a quantile of its own, rounded
        up: 9 at 0.9, 19 at 0.95, 99 at 0.99. With fewer, coverage is promised for the average row alone.

    Returns
    -------
    array of shape (n_classes,), float64, in [0, 1]

    References
    ----------
    Vovk (2012), "Conditional validity of inductive conformal predictors"; pooled for rare classes as in
    Ding et al. (2023), "Class-conditional conformal prediction with many classes".
    """
    check_targets(targets, n_rows=len(scores), n_classes=n_classes)
    quantiles = np.full(n_classes, conformal_quantile(scores, coverage=coverage))
    for k in range(n_classes):
        own = scores[targets == k]
        if _least_rank(coverage, len(own) + 1) <= len(own):
            quantiles[k] = conformal_quantile(own, coverage=coverage)
    return quantiles


def prediction_sets(
    probabilities: Probabilities, quantile: float | NDArray[np.float64], *, score: SetScore = mass_before
) -> NDArray[np.bool_]:
    """
    Which classes belong to the prediction set of each row.

    set[i] = { k : score(p)[i, k] <= quantile, or quantile[k] }

    Parameters
    ----------
    probabilities : array of shape (n_rows, n_classes)
    quantile : float, or array of shape (n_classes,)
        At least 0, as `prediction_set_quantile` or `class_quantiles` gives it for the same score.
    score : function of probabilities
        One of `SET_SCORES`.

    Returns
    -------
    array of shape (n_rows, n_classes), bool
        With `mass_before` at least one class per row: the one that ranks first is always in.

    Raises
    ------
    ValueError
        If a quantile is negative or NaN, or there is not one per class.

    References
    ----------
    Angelopoulos & Bates (2023), "Conformal prediction: a gentle introduction".
    """
    least = most = quantile
    if isinstance(quantile, np.ndarray):
        if quantile.shape != probabilities.shape[1:]:
            raise ValueError(f"Expected one quantile per class, {probabilities.shape[1]}; got shape {quantile.shape}.")
        least, most = quantile.min(), quantile.max()
    if not least >= 0:
        raise ValueError(f"Expected a quantile of at least 0; got {least}.")
    if score is mass_before and probabilities.shape[1] > _SORT_WHOLE_ROW_UP_TO and most < _LARGEST_SURE_QUANTILE:
        return _sets_of_leading(probabilities, quantile, floor=float(1 - most) / 2 / probabilities.shape[1])
    return score(probabilities) <= quantile


def _sets_of_leading(
    probabilities: Probabilities, quantile: float | NDArray[np.float64], *, floor: float
) -> NDArray[np.bool_]:
    """
    The sets of `mass_before`, only classes of at least `floor` ranked, which are few of thousands.

    The floor is half of what the largest quantile leaves, shared among all classes: those below it have at most that
    half together, so what ranks before any of them is more than the quantile.
    """
    sets = np.zeros(probabilities.shape, dtype=np.bool_)
    for row, p in enumerate(probabilities):
        columns = np.flatnonzero(p >= floor)
        columns = columns[np.argsort(-p[columns], kind="stable")]
        inside = mass_before_rank(p[None, columns])[0] <= (
            quantile[columns] if isinstance(quantile, np.ndarray) else quantile
        )
        sets[row, columns[inside]] = True
    return sets


def _least_rank(coverage: float, total: int) -> int:
    """ceil(coverage * total) with the coverage as written: 0.95 of 20 is 19, however the product rounds."""
    rank = math.ceil(coverage * total)
    return rank - 1 if (rank - 1) / total >= coverage else rank + (rank / total < coverage)


SET_SCORES: Mapping[str, SetScore] = {"topp": mass_before, "lac": least_ambiguous}
