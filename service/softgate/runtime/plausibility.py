"""
Does what a graph answers fit what its card says of it?

Told from the answers to made-up rows alone, so that a model which would be served wrongly is refused or doubted before
its first request. Values are the output as the graph gives it, shape (n_rows, n_columns).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray

# Of a value from its range, and of a row's sum from 1 before it is called something else: a graph that computes in
# float16 rounds the sum of 150 classes by about 1e-3.
SLACK = 2e-3
# Of a row's sum from 1 to be called no accident, in a wider type.
ROUNDING = 1e-5


@dataclass(frozen=True, slots=True)
class Doubt:
    code: str
    sentence: str
    remedy: str
    certain: bool
    """The answers would be wrong, not only perhaps: such a model is not served."""

    def __str__(self) -> str:
        return f"{self.sentence} {self.remedy}"


class Looks(Enum):
    """What the values of an output could be, strictest first."""

    SHARES = auto()
    """Probabilities of classes that exclude each other: in [0, 1], each row adding up to 1."""
    LOG_SHARES = auto()
    """Their logarithms."""
    NEARLY_SHARES = auto()
    """As one or the other, but for roundings that allow no claim."""
    UNIT = auto()
    """In [0, 1] without adding up: probabilities of labels that stand for themselves, or of one class."""
    NEGATIVE = auto()
    """Logarithms of such, or scores that happen to be below 0."""
    SCORES = auto()


class Columns(Enum):
    """What the columns of an output stand for, by its card."""

    CLASSES = auto()
    """Classes that exclude each other."""
    ONE = auto()
    """One column for two classes that exclude each other."""
    LABELS = auto()
    """Labels that stand for themselves."""


def looks(values: NDArray[np.floating]) -> Looks:
    """What rows of values, none of them NaN, look like."""
    exact = values.astype(np.float64)
    several = exact.shape[1] > 1
    rounding = SLACK if values.dtype == np.float16 else ROUNDING
    if ((exact >= -SLACK) & (exact <= 1 + SLACK)).all():
        return _sums(exact, Looks.SHARES, rounding) if several else Looks.UNIT
    if (exact <= SLACK).all():
        found = _sums(np.exp(exact), Looks.LOG_SHARES, rounding) if several else Looks.NEGATIVE
        return Looks.NEGATIVE if found is Looks.UNIT else found
    return Looks.SCORES


def doubts(values: NDArray[np.floating], *, kind: str, columns: Columns) -> tuple[Doubt, ...]:
    """What of the card's `output.kind` and activation does not fit these values."""
    numbers = ~np.isnan(values).any(axis=1)
    # The logarithm of a probability that underflowed is minus infinity, and no mistake.
    finite = numbers if kind == "log_probabilities" else numbers & np.isfinite(values).all(axis=1)
    found: tuple[Doubt, ...] = ()
    n_bad = len(values) - int(finite.sum())
    if n_bad:
        sentence = f"{n_bad} of {len(values)} made-up rows gave a NaN or an infinity."
        remedy = "Look for NaN among the weights, or for a logarithm or a division in the graph; such rows fall back."
        found = (Doubt("non_finite", sentence, remedy, certain=False),)
    rows = values[finite]
    # Rows all alike say nothing: a graph may answer 0 to everything that is made up.
    if len(rows) < 2 or (rows == rows[0]).all():
        return found
    mistake = _MISTAKES.get((columns, kind, looks(rows)))
    return found if mistake is None else (*found, mistake)


def _sums(shares: NDArray[np.float64], exactly: Looks, rounding: float) -> Looks:
    off = float(np.abs(shares.sum(axis=1) - 1).max())
    if off <= rounding:
        return exactly
    return Looks.NEARLY_SHARES if off <= SLACK else Looks.UNIT


_PROBABILITIES = 'Say output.kind = "probabilities".'
_DOUBLE_SOFTMAX = Doubt(
    "double_softmax",
    "The output holds probabilities already; a softmax of them would be a softmax twice.",
    _PROBABILITIES,
    certain=True,
)
_LOG_SOFTMAX = Doubt(
    "log_softmax_as_logits",
    "The output holds log-probabilities: their energy is 0 for every row and says nothing of what is familiar.",
    'Say output.kind = "log_probabilities".',
    certain=True,
)
_SIGMOID_AS_LOGITS = Doubt(
    "sigmoid_as_logits",
    "Every value of the output lies between 0 and 1, as those of a sigmoid do.",
    'If the graph ends in one, say output.kind = "probabilities", and activation = "sigmoid" for labels that may hold '
    "at once.",
    certain=False,
)
_SIGMOID_AS_SOFTMAX = Doubt(
    "sigmoid_as_softmax",
    "The probabilities of a row do not add up to 1: each label stands for itself.",
    'Say activation = "sigmoid".',
    certain=True,
)
_SOFTMAX_AS_SIGMOID = Doubt(
    "softmax_as_sigmoid",
    "The probabilities of a row add up to 1: the graph ends in a softmax, and its labels exclude each other.",
    'Say activation = "softmax".',
    certain=True,
)
_PERHAPS_SOFTMAX = Doubt(
    "softmax_as_sigmoid",
    "The probabilities of every made-up row add up to 1, as those of a softmax do.",
    'If labels exclude each other, say activation = "softmax".',
    certain=False,
)
_DOUBLE_SIGMOID = Doubt(
    "double_sigmoid",
    "Every value of the output lies between 0 and 1: a sigmoid of them may be a sigmoid twice.",
    f"If the graph ends in one: {_PROBABILITIES}",
    certain=False,
)
_NOT_PROBABILITIES = Doubt(
    "not_probabilities",
    "The output does not hold probabilities: some values lie outside 0 to 1.",
    'Say output.kind = "logits" for raw scores.',
    certain=True,
)
_NOT_LOG_PROBABILITIES = Doubt(
    "not_log_probabilities",
    "The output does not hold log-probabilities: their exponentials are no probabilities.",
    'Say output.kind = "logits" for raw scores, "probabilities" for values from 0 to 1.',
    certain=True,
)
_MISTAKES: Mapping[tuple[Columns, str, Looks], Doubt] = {
    (Columns.CLASSES, "logits", Looks.SHARES): _DOUBLE_SOFTMAX,
    (Columns.CLASSES, "logits", Looks.LOG_SHARES): _LOG_SOFTMAX,
    (Columns.CLASSES, "logits", Looks.NEARLY_SHARES): _SIGMOID_AS_LOGITS,
    (Columns.CLASSES, "logits", Looks.UNIT): _SIGMOID_AS_LOGITS,
    (Columns.CLASSES, "probabilities", Looks.UNIT): _SIGMOID_AS_SOFTMAX,
    (Columns.CLASSES, "probabilities", Looks.LOG_SHARES): _NOT_PROBABILITIES,
    (Columns.CLASSES, "probabilities", Looks.NEGATIVE): _NOT_PROBABILITIES,
    (Columns.CLASSES, "probabilities", Looks.SCORES): _NOT_PROBABILITIES,
    (Columns.CLASSES, "log_probabilities", Looks.SHARES): _NOT_LOG_PROBABILITIES,
    (Columns.CLASSES, "log_probabilities", Looks.UNIT): _NOT_LOG_PROBABILITIES,
    (Columns.CLASSES, "log_probabilities", Looks.NEGATIVE): _NOT_LOG_PROBABILITIES,
    (Columns.CLASSES, "log_probabilities", Looks.SCORES): _NOT_LOG_PROBABILITIES,
    (Columns.ONE, "logits", Looks.UNIT): _SIGMOID_AS_LOGITS,
    (Columns.ONE, "probabilities", Looks.NEGATIVE): _NOT_PROBABILITIES,
    (Columns.ONE, "probabilities", Looks.SCORES): _NOT_PROBABILITIES,
    (Columns.ONE, "log_probabilities", Looks.UNIT): _NOT_LOG_PROBABILITIES,
    (Columns.ONE, "log_probabilities", Looks.SCORES): _NOT_LOG_PROBABILITIES,
    (Columns.LABELS, "logits", Looks.SHARES): _SOFTMAX_AS_SIGMOID,
    (Columns.LABELS, "logits", Looks.LOG_SHARES): _SOFTMAX_AS_SIGMOID,
    (Columns.LABELS, "logits", Looks.NEARLY_SHARES): _DOUBLE_SIGMOID,
    (Columns.LABELS, "logits", Looks.UNIT): _DOUBLE_SIGMOID,
    (Columns.LABELS, "probabilities", Looks.SHARES): _PERHAPS_SOFTMAX,
    (Columns.LABELS, "probabilities", Looks.LOG_SHARES): _NOT_PROBABILITIES,
    (Columns.LABELS, "probabilities", Looks.NEGATIVE): _NOT_PROBABILITIES,
    (Columns.LABELS, "probabilities", Looks.SCORES): _NOT_PROBABILITIES,
    (Columns.LABELS, "log_probabilities", Looks.SHARES): _NOT_LOG_PROBABILITIES,
    (Columns.LABELS, "log_probabilities", Looks.LOG_SHARES): _PERHAPS_SOFTMAX,
    (Columns.LABELS, "log_probabilities", Looks.UNIT): _NOT_LOG_PROBABILITIES,
    (Columns.LABELS, "log_probabilities", Looks.SCORES): _NOT_LOG_PROBABILITIES,
}
