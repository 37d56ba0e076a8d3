"""
What another library trained and exported: the graph, rows for it and what that library itself answers to them.

The rows are as a client sends them: a list of numbers, a map from column to value, a sentence, nested lists of numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Activation = Literal["softmax", "sigmoid"]


@dataclass(frozen=True)
class Export:
    """`probabilities` are of shape (n_rows, n_labels), columns as `labels`; one that is not multi-label sums to 1."""

    model: bytes
    rows: Sequence[Any]
    probabilities: Floats
    labels: tuple[str, ...]
    output: str = "probabilities"
    """The output to read; the others are of no use."""
    activation: Activation | None = None
    """What the exporter's user has to say: the graph ends in scores. None: it gives probabilities."""
    multi_label: bool = False
    labels_in_graph: bool = False
    """Whether the graph names its classes. Where it does not, its user has to."""
    tokenizer: bytes | None = None
    """The tokenizer.json of a graph that takes token ids."""
    beside: Mapping[str, bytes] = field(default_factory=dict)
    """Files that the graph refers to, by name."""
    needs_locale: bool = False
    """Whether the graph as exported loads only where the locale en_US is installed, as it is in no slim image."""


def of_scores(scores: NDArray[Any], *, activation: Activation, multi_label: bool = False) -> Floats:
    """The probabilities that scores stand for. One per row, (n,) or (n, 1), is that of the second of two labels."""
    values = scores.astype(np.float64)
    if activation == "softmax":
        powers = np.exp(values - values.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))
    positive = 1 / (1 + np.exp(-values))
    return positive if multi_label else of_second(positive)


def of_second(positive: Floats) -> Floats:
    """Both columns of a binary classifier from the one of its second label."""
    column = positive.reshape(-1)
    return np.stack([1 - column, column], axis=1)
