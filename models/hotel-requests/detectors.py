"""
One detector per label: logistic regression on TF-IDF weights of character n-grams, tokens and pairs of tokens.

The n-grams of a token are known beforehand, so their weights are summed once,
here, into one row per token. What is left for the graph is to add the rows of
the tokens and of the pairs of a text, and to divide by the length of its
feature vector. To make that length a sum too, repeats of a feature count
each for themselves: |x|^2 = sum over occurrences of weight^2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags_array, hstack
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from wordpieces import spelling

# A pair is worth this many times a character n-gram of the same rarity.
PAIR_WEIGHT = 2.0
INVERSE_PENALTY = 100.0

Floats = NDArray[np.float64]
Pair = tuple[int, int]


@dataclass(frozen=True)
class Detectors:
    """logits = (token_rows[ids].sum() + pair_rows[pairs].sum()) / sqrt(squares of both, summed) + bias"""

    token_rows: Floats
    token_squares: Floats
    pairs: list[Pair]
    pair_rows: Floats
    pair_squares: Floats
    bias: Floats


def fit_detectors(rows: Sequence[list[int]], holds: NDArray[np.bool_], *, tokens: Sequence[str]) -> Detectors:
    """Fit one logistic regression per column of `holds`, then fold the weights of n-grams into their tokens."""
    spelt = CountVectorizer(analyzer=spelling).fit_transform(tokens)
    pair_counter = CountVectorizer(analyzer=pairs_of)
    pair_counts = pair_counter.fit_transform(rows)
    counts = hstack([_token_counts(rows, len(tokens)) @ spelt, pair_counts]).tocsr()
    n_ngrams, n_pairs = spelt.shape[1], pair_counts.shape[1]
    rarities = 1 + np.log((1 + len(rows)) / (1 + np.bincount(counts.indices, minlength=counts.shape[1])))
    weights = rarities * np.repeat([1.0, PAIR_WEIGHT], [n_ngrams, n_pairs])
    lengths = np.sqrt(np.maximum(counts @ weights**2, 1e-6))
    # Rare labels have ten rows: without balance the penalty would keep their detectors from ever firing.
    regression = LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced", solver="liblinear")
    directions = diags_array(1 / lengths) @ counts @ diags_array(weights)
    model = OneVsRestClassifier(regression).fit(csr_matrix(directions), holds.astype(int))
    coefficients = weights[:, None] * np.vstack([detector.coef_[0] for detector in model.estimators_]).T
    return Detectors(
        token_rows=spelt @ coefficients[:n_ngrams],
        token_squares=spelt @ weights[:n_ngrams] ** 2,
        pairs=sorted(pair_counter.vocabulary_, key=pair_counter.vocabulary_.__getitem__),
        pair_rows=coefficients[n_ngrams:],
        pair_squares=weights[n_ngrams:] ** 2,
        bias=np.concatenate([detector.intercept_ for detector in model.estimators_]),
    )


def pairs_of(row: Sequence[int]) -> list[Pair]:
    """Neighbours, with padding before the first token and behind the last."""
    return list(pairwise([0, *row, 0]))


def _token_counts(rows: Sequence[list[int]], n_tokens: int) -> csr_matrix:
    counts = np.array([np.bincount(np.array(row, np.int64), minlength=n_tokens) for row in rows])
    return csr_matrix(counts)
