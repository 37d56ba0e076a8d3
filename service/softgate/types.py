"""
What flows between the floors. Frozen: a hop makes a new value, it does not edit.

Arrays have one row per input row: shape (n_rows,) or (n_rows, n_classes).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import chain
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A graph as it lies on disk."""

    content: bytes
    """Of model.onnx itself."""
    external: Mapping[str, bytes] = field(default_factory=dict)
    """Of the files beside it that hold its weights, by name."""

    @property
    def n_bytes(self) -> int:
        return len(self.content) + sum(map(len, self.external.values()))


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or an output of a graph; None in the shape is a size that may vary."""

    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int | None, ...]
    maps: bool = False
    """A ZipMap: not a tensor but a map from class name to number for each row; `dtype` is that of the names."""

    def __str__(self) -> str:
        if self.maps:
            return f"{self.name}, a map per row"
        sizes = ", ".join("any" if size is None else str(size) for size in self.shape)
        return f"{self.name} {'string' if self.dtype.kind == 'O' else self.dtype} [{sizes}]"


class Action(IntEnum):
    """What to do with a row; the lower-case name is the word in answers and metrics."""

    ROUTE = 0
    CLARIFY = 1
    FALLBACK = 2
    ABSTAIN = 3

    @property
    def word(self) -> str:
        return self.name.lower()


class Reason(IntEnum):
    """Why; the lower-case name is the word in answers and metrics."""

    CONFIDENT = 0
    AMBIGUOUS = 1
    BELOW_THRESHOLD = 2
    OUT_OF_SCOPE = 3
    NON_FINITE = 4
    UNCALIBRATED = 5
    NO_LABEL = 6
    OVERLOADED = 7
    MODEL_UNAVAILABLE = 8

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Rows:
    """
    What a client sent, checked against the card: an array whose first axis is the row, or one object per row.

    Several inputs of a graph are the fields of one structured array, so that rows of them join and part like any other.
    """

    values: Sequence[Any] | NDArray[np.generic]

    def __len__(self) -> int:
        return len(self.values)

    @staticmethod
    def join(parts: Sequence["Rows"]) -> "Rows":
        """The rows of all parts, in order; the parts must be of one kind and shape."""
        if len(parts) == 1:
            return parts[0]
        if isinstance(parts[0].values, np.ndarray):
            return Rows(np.concatenate([np.asarray(part.values) for part in parts]))
        return Rows(list(chain.from_iterable(part.values for part in parts)))


@dataclass(frozen=True, slots=True)
class Scores:
    """Numbers of a batch at one temperature; rows where `finite` is False hold no meaning."""

    logits: NDArray[np.floating]
    finite: NDArray[np.bool_]
    probabilities: Floats
    label: Indices
    confidence: Floats
    margin: Floats
    entropy: Floats
    energy: Floats | None
    """None where the graph gives no real logits."""
    order: Indices | None = None
    """Shape (n_rows, n_classes): classes, most probable first; None where there are too many to rank them unasked."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A route that a clarifying question may offer, with the labels of the prediction set that lead to it."""

    route: str
    confidence: float
    labels: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Decisions:
    """Decisions of a batch, one entry per row."""

    action: NDArray[np.int8]
    reason: NDArray[np.int8]
    route: Indices
    """The candidate: index of the most probable route."""
    confidence: Floats
    """Probability of the candidate."""
    threshold: Floats
    """NaN where neither the card nor the calibration has one."""
    sets: NDArray[np.bool_] | None
    """Prediction sets (n_rows, n_classes); None without a set quantile."""
    candidates: Mapping[int, tuple[Candidate, ...]]
    """For the rows that clarify, by row."""
    held: NDArray[np.bool_] | None = None
    """Labels that hold (n_rows, n_classes); None where classes exclude each other."""
    first: Indices | None = None
    """With `held`: the label that counts first of them; where none holds, the most probable."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """A batch, scored and decided."""

    scores: Scores
    decisions: Decisions

    def __len__(self) -> int:
        return len(self.scores.label)

    def part(self, start: int, stop: int) -> "Predictions":
        """Rows start to stop: how a merged batch is handed back to the requests it came from."""
        if start == 0 and stop == len(self):
            return self
        rows = slice(start, stop)
        s, d = self.scores, self.decisions
        return Predictions(
            Scores(
                logits=s.logits[rows],
                finite=s.finite[rows],
                probabilities=s.probabilities[rows],
                label=s.label[rows],
                confidence=s.confidence[rows],
                margin=s.margin[rows],
                entropy=s.entropy[rows],
                energy=None if s.energy is None else s.energy[rows],
                order=None if s.order is None else s.order[rows],
            ),
            Decisions(
                action=d.action[rows],
                reason=d.reason[rows],
                route=d.route[rows],
                confidence=d.confidence[rows],
                threshold=d.threshold[rows],
                sets=None if d.sets is None else d.sets[rows],
                candidates={row - start: value for row, value in d.candidates.items() if start <= row < stop},
                held=None if d.held is None else d.held[rows],
                first=None if d.first is None else d.first[rows],
            ),
        )


@dataclass(frozen=True, slots=True)
class View:
    """What a request asks to be shown; decisions and counts do not depend on it."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    select: Literal["argmax", "sample"] = "argmax"
    seed: int | None = None

    @property
    def shows_all(self) -> bool:
        """Whether it shows all labels as they are."""
        return self.cuts_only and self.top_k is None

    @property
    def cuts_only(self) -> bool:
        """Whether it shows leading labels of what is shown without it, or all of them."""
        return self.temperature is self.top_p is None and self.select == "argmax"
