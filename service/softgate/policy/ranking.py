"""Candidates in order: by the probability of a label, or, of one-logit graphs, by a softmax over the candidates."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softgate.numerics.activations import softmax
from softgate.types import Floats, Indices, Scores


@dataclass(frozen=True, slots=True)
class Ranking:
    order: Indices
    """Shape (n_rows,): the candidates, the best first, those that are not finite last."""
    probability: Floats
    """Shape (n_rows,), by candidate; NaN where its row is not finite."""


def by_label(scores: Scores, column: int) -> Ranking:
    """Each candidate's probability of one label; candidates do not compete, so these need not add up to 1."""
    probability = np.where(scores.finite, scores.probabilities[:, column], np.nan)
    return _ranked(probability, _lead(scores.logits, column))


def by_own_label(scores: Scores, column: int) -> Ranking:
    """The same of a label that stands for itself: where two probabilities round to 1, its logit alone tells."""
    probability = np.where(scores.finite, scores.probabilities[:, column], np.nan)
    return _ranked(probability, scores.logits[:, column])


def _lead(logits: NDArray[np.floating], column: int) -> Floats:
    """Of a label's logit over the largest other: what tells apart two probabilities that round to 1."""
    others = np.delete(logits, column, axis=1).astype(np.float64)
    rival = others.max(axis=1) if others.shape[1] else 0.0
    with np.errstate(invalid="ignore"):
        lead: Floats = logits[:, column] - rival
    return lead


def against_each_other(scores: Scores, *, temperature: float) -> Ranking:
    """
    Softmax at T over the candidates' logits: the probability that each is the one, if just one of them is.

    p[i] = exp(x[i] / T) / sum_j exp(x[j] / T), x the logit of the second of two classes

    Logits have shape (n_rows, 2), the one logit x of a row standing beside a zero.
    """
    x = scores.logits[:, 1].astype(np.float64) - scores.logits[:, 0]
    probability = np.full(len(x), np.nan)
    if scores.finite.any():
        probability[scores.finite] = softmax((x[scores.finite] / temperature)[None])[0]
    return _ranked(probability, x)


def _ranked(probability: Floats, logits: NDArray[np.floating]) -> Ranking:
    # Two probabilities that round to 1 are still told apart; of equals the earlier comes first.
    unknown = np.isnan(probability)
    order = np.lexsort((-np.where(unknown, 0, logits), -np.where(unknown, 0, probability), unknown))
    return Ranking(order, probability)
