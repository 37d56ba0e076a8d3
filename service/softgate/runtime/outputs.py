"""
What a graph answers → logits of shape (n_rows, n_classes).

The card says what the output is; it is never guessed from its values or its shape. Classes that exclude each other
share a row's probability; under a sigmoid each label has a probability of its own. NaN and an infinity that cannot be
right stay what they are: no such row may look like an answer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softgate.errors import GraphInvalid
from softgate.runtime.plausibility import Columns
from softgate.types import TensorSpec

Output = NDArray[np.floating]
ToLogits = Callable[[Output], Output]

# An exact zero (a forest votes so) must stay finite, and T must still mean something.
LEAST_PROBABILITY = 1e-12


def as_they_are(output: Output) -> Output:
    """Raw scores stay as they are."""
    return output


def from_probabilities(output: Output) -> Output:
    """ln max(p, 1e-12): at T = 1 the softmax of it is p again."""
    p = output.astype(np.float64)
    return np.where(np.isinf(p), p, np.log(np.maximum(p, LEAST_PROBABILITY)))


def odds_of_probabilities(output: Output) -> Output:
    """ln(p / (1 - p)) with p kept 1e-12 from both ends: at T = 1 the sigmoid of it is p again."""
    p = np.clip(output.astype(np.float64), LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    return np.where(np.isinf(output), output, np.log(p) - np.log1p(-p))


def from_log_probabilities(output: Output) -> Output:
    """
    A logit shifted by its row's log-sum-exp, which no softmax sees.

    Where p underflowed to 0, the least that keeps the order: ln 1e-12, or the row's least finite value below it.
    """
    zero = np.isneginf(output)
    if not zero.any():
        return output
    least = np.where(zero, np.log(LEAST_PROBABILITY), output).min(axis=1, keepdims=True)
    return np.where(zero, np.minimum(least, np.log(LEAST_PROBABILITY)), output).astype(output.dtype)


def odds_of_log_probabilities(output: Output) -> Output:
    """ln p - ln(1 - p) with p kept 1e-12 from both ends."""
    least, most = np.log(LEAST_PROBABILITY), np.log1p(-LEAST_PROBABILITY)
    log_p = np.clip(output.astype(np.float64), least, most)
    return np.where(np.isposinf(output), output, log_p - np.log(-np.expm1(log_p)))


@dataclass(frozen=True, slots=True)
class Kind:
    of_classes: ToLogits
    """Columns are classes that exclude each other: a row of it becomes logits."""
    of_labels: ToLogits
    """Each column stands for itself: a value of it becomes log-odds."""
    has_energy: bool
    """Only raw scores carry an energy: the log-sum-exp of a log-softmax is zero for every row."""


# To add one: write the functions above and name them here. The key is the card's `output.kind`.
OUTPUTS: Mapping[str, Kind] = {
    "logits": Kind(as_they_are, as_they_are, has_energy=True),
    "probabilities": Kind(from_probabilities, odds_of_probabilities, has_energy=False),
    "log_probabilities": Kind(from_log_probabilities, odds_of_log_probabilities, has_energy=False),
}


class Head:
    """The output of a graph that carries its answer, and the way from there to logits."""

    def __init__(
        self,
        specs: Sequence[TensorSpec],
        *,
        kind: str,
        tensor: str | None,
        labels: Sequence[str],
        independent: bool,
    ) -> None:
        """
        `tensor` names the output, None where only one could be it; `independent`: labels that stand for themselves.

        Raises GraphInvalid.
        """
        self.spec = _find(specs, tensor)
        self._kind = OUTPUTS[kind]
        self._labels = labels
        self._independent = independent
        self._order: Sequence[Any] | None = None
        columns = dict(enumerate(self.spec.shape)).get(1, 1 if self.spec.shape else None)
        self._pads = len(labels) == 2 and not independent
        """One column stands for two classes that exclude each other."""
        fitting = {None, len(labels)} | ({1} if self._pads else set())
        if not self.spec.maps and columns not in fitting:
            wanted = f"{len(labels)} columns, one per line of labels.txt"
            raise GraphInvalid(f"The graph gives {self.spec}; wanted {wanted}.")
        self.one_logit = self._pads and not self.spec.maps and columns == 1
        # One logit has no rival that it was scored beside: its log-sum-exp says nothing about familiarity.
        several = not self._pads or self.spec.maps or columns == len(labels)
        self.has_energy = self._kind.has_energy and not independent and several

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the logits: of some kinds wider than what the graph gives."""
        given = np.float64 if self.spec.maps else self.spec.dtype
        return self.logits(np.full((1, 1 if self.one_logit else len(self._labels)), 0.5, given)).dtype

    def columns(self, values: Output) -> Columns:
        if self._independent:
            return Columns.LABELS
        return Columns.ONE if self._pads and values.shape[1] == 1 else Columns.CLASSES

    def values(self, output: Any) -> Output:
        """
        What the session gave for this output, shape (n_rows, n_columns).

        Raises GraphInvalid where that is neither one column per label nor one for two.
        """
        values = self._of_maps(output) if self.spec.maps else np.asarray(output)
        if values.ndim == 1:
            values = values[:, None]
        if values.ndim != 2 or values.shape[1] not in ({1, 2} if self._pads else {len(self._labels)}):
            raise GraphInvalid(
                f"The graph gave an output of shape {values.shape}; wanted {len(self._labels)} columns, "
                "one per line of labels.txt."
            )
        return values

    def logits(self, values: Output) -> Output:
        """
        Shape (n_rows, n_classes), float.

        One logit x of two classes is padded to (0, x), whose softmax is (1 - sigmoid(x), sigmoid(x)).
        """
        match self.columns(values):
            case Columns.ONE:
                odds = self._kind.of_labels(values)
                return np.concatenate([np.zeros_like(odds), odds], axis=1)
            case Columns.LABELS:
                return self._kind.of_labels(values)
            case Columns.CLASSES:
                return self._kind.of_classes(values)

    def _of_maps(self, maps: Sequence[Mapping[Any, float]]) -> Output:
        """A ZipMap's maps as columns, in the order of labels.txt."""
        if self._order is None:
            self._order = self._keys(maps[0])
        pick = itemgetter(*self._order) if len(self._order) > 1 else lambda row: (row[self._order[0]],)  # type: ignore[index]
        values = np.fromiter(chain.from_iterable(map(pick, maps)), np.float64, len(maps) * len(self._order))
        return values.reshape(len(maps), len(self._order))

    def _keys(self, example: Mapping[Any, float]) -> Sequence[Any]:
        """By name. Numbers that labels.txt gives other names to are in ascending order: the map holds no other."""
        names = {str(key): key for key in sorted(example)}
        if len(names) != len(self._labels):
            raise GraphInvalid(f"The graph names {len(names)} classes; labels.txt has {len(self._labels)} lines.")
        unknown = [label for label in self._labels if label not in names]
        renamed = self.spec.dtype.kind == "i" and len(unknown) == len(names)
        if unknown and not renamed:
            raise GraphInvalid(f"The graph names no class {unknown[0]}, which labels.txt does.")
        return list(names.values()) if renamed else [names[label] for label in self._labels]


def _find(specs: Sequence[TensorSpec], tensor: str | None) -> TensorSpec:
    candidates = [spec for spec in specs if tensor in (None, spec.name) and _may_carry(spec)]
    if len(candidates) != 1:
        wanted = f"floats in the output {tensor}" if tensor else "one output of floats, or output.tensor to choose one"
        raise GraphInvalid(f"The graph gives {', '.join(map(str, specs))}; wanted {wanted}.")
    return candidates[0]


def _may_carry(spec: TensorSpec) -> bool:
    """Floats per row, or of a shape not told; the label that exports give beside them is no answer to calibrate."""
    return spec.maps or (spec.dtype.kind == "f" and len(spec.shape) <= 2)
