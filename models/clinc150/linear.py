"""
A linear member: TF-IDF over character n-grams, tokens and pairs of tokens, with one-vs-rest margins.

The n-grams of a token are known beforehand, so their weights are summed once,
here, into one row per token. What is left for the graph is to add the rows of
the tokens and of the pairs of a text, and to divide by the length of its
feature vector. To make that length a sum too, repeats of a feature count
each for themselves: |x|^2 = sum over occurrences of weight^2.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.svm import LinearSVC
from vocabulary import character_ngrams

MINIMUM_DOCUMENTS = 2
# Tokens and pairs are worth this many times a character n-gram of the same rarity.
TOKEN_WEIGHT = 2.0

Pair = tuple[int, int]
Feature = str | int | Pair


@dataclass(frozen=True)
class Linear:
    """margins = (token_rows[ids].sum() + pair_rows[pairs].sum()) / sqrt(squares of both, summed) + bias"""

    token_rows: NDArray[np.float64]
    token_squares: NDArray[np.float64]
    pairs: list[Pair]
    pair_rows: NDArray[np.float64]
    pair_squares: NDArray[np.float64]
    bias: NDArray[np.float64]


def fit_linear(rows: Sequence[list[int]], classes: NDArray[np.int64], *, tokens: Sequence[str], seed: int) -> Linear:
    """Fit the margins, then fold the weights of the character n-grams into their tokens."""
    spelling = [Counter(character_ngrams(token)) for token in tokens]
    documents = [_features(row, spelling) for row in rows]
    weights = _rarities(documents)
    columns = {feature: column for column, feature in enumerate(weights)}
    model = LinearSVC(random_state=seed).fit(_matrix(documents, weights, columns), classes)
    coefficients = np.vstack([model.coef_[:, columns[feature]] * weight for feature, weight in weights.items()])

    def folded(features: Counter[Feature]) -> NDArray[np.float64]:
        known = [(count, columns[feature]) for feature, count in features.items() if feature in columns]
        return sum((count * coefficients[column] for count, column in known), np.zeros(coefficients.shape[1]))

    def square(features: Counter[Feature]) -> float:
        return sum(count * weights.get(feature, 0.0) ** 2 for feature, count in features.items())

    per_token = [_features([index], spelling) for index in range(len(tokens))]
    pairs = [feature for feature in weights if isinstance(feature, tuple)]
    return Linear(
        token_rows=np.array([folded(features) for features in per_token]),
        token_squares=np.array([square(features) for features in per_token]),
        pairs=pairs,
        pair_rows=np.array([coefficients[columns[pair]] for pair in pairs]),
        pair_squares=np.array([weights[pair] ** 2 for pair in pairs]),
        bias=model.intercept_,
    )


def _features(row: list[int], spelling: Sequence[Counter[str]]) -> Counter[Feature]:
    counts: Counter[Feature] = Counter(row)
    counts.update(pairwise(row))
    for token in row:
        counts.update(spelling[token])
    return counts


def _rarities(documents: Sequence[Counter[Feature]]) -> dict[Feature, float]:
    """Weight per feature: inverse document frequency, smoothed as scikit-learn does it; rare features are left out."""
    frequencies = Counter(feature for document in documents for feature in document)
    kept = sorted((feature for feature, count in frequencies.items() if count >= MINIMUM_DOCUMENTS), key=repr)
    return {
        feature: (1 + math.log((1 + len(documents)) / (1 + frequencies[feature])))
        * (1.0 if isinstance(feature, str) else TOKEN_WEIGHT)
        for feature in kept
    }


def _matrix(
    documents: Sequence[Counter[Feature]], weights: dict[Feature, float], columns: dict[Feature, int]
) -> csr_matrix:
    values: list[float] = []
    places: list[tuple[int, int]] = []
    for index, document in enumerate(documents):
        known = {feature: count for feature, count in document.items() if feature in weights}
        length = math.sqrt(sum(count * weights[feature] ** 2 for feature, count in known.items()))
        places += [(index, columns[feature]) for feature in known]
        values += [count * weights[feature] / length for feature, count in known.items()]
    return csr_matrix((values, np.array(places).T), shape=(len(documents), len(columns)))
