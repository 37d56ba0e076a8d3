"""
What a model tells for its rows, as tensors: one function for each output.

A row that the graph gave no finite logits for, or no answer at all, has the label "", confidence 0 and probabilities of
0: no number of it may look like an answer. Its decision says why, and a parameter of the answer which rows they are.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import orjson
from numpy.typing import NDArray

from softgate.errors import InvalidInput
from softgate.policy.batch import Part
from softgate.policy.classifier import FEW_ROWS, Classifier
from softgate.policy.readout import Readout
from softgate.policy.scoring import MOST_RANKED
from softgate.types import Floats, Indices, Scores, TensorSpec, View
from softgate.web.protocols.open_inference.datatypes import BYTES, word
from softgate.web.protocols.open_inference.tensors import Tensor, of_objects
from softgate.web.protocols.predictions import decision_object


class Wanted(NamedTuple):
    """An output that a client asks for."""

    name: str
    n_classes: int = 0
    """How many classes to tell instead, the best first; 0: the output itself."""


class Told(NamedTuple):
    tensors: Sequence[Tensor]
    """In the order in which they were asked for."""
    parameters: Mapping[str, str]
    """Of the answer as a whole; a list is JSON, for a parameter holds none."""


class Answered:
    """Rows that the graph has answered, as a client wants to see them."""

    def __init__(self, classifier: Classifier, part: Part, view: View) -> None:
        self.classifier = classifier
        self.rows = range(part.start, part.stop)
        """Of `readout`, which may hold those of other requests too."""
        self._part = part
        self._view = view

    @property
    def readout(self) -> Readout:
        return self._part.batch.readout

    @property
    def logits(self) -> NDArray[np.floating]:
        """As the graph gave them."""
        return self._part.logits

    @property
    def finite(self) -> NDArray[np.bool_]:
        return self._scores.finite

    @cached_property
    def order(self) -> Indices:
        """Shape (n_rows, n_shown): the classes to show, most probable first."""
        return self.classifier.show(self._part.predictions, self._view).order

    @cached_property
    def probabilities(self) -> Floats:
        found = self._scores.probabilities
        if self._view.top_k is not None:
            cut = np.zeros_like(found)
            np.put_along_axis(cut, self.order, np.take_along_axis(found, self.order, axis=1), axis=1)
            found = cut
        return found if self.finite.all() else np.where(self.finite[:, None], found, 0.0)

    @cached_property
    def labels(self) -> tuple[Indices, Floats, NDArray[np.bool_]]:
        """Of each row the column of its label, the label's probability, and whether there is one."""
        scores, decisions = self._scores, self._part.predictions.decisions
        if decisions.held is None or decisions.first is None:
            return scores.label, scores.confidence, scores.finite
        confidence = scores.probabilities[np.arange(len(decisions.first)), decisions.first]
        return decisions.first, confidence, np.logical_or.reduce(decisions.held, axis=1)

    @cached_property
    def _scores(self) -> Scores:
        predictions = self._part.predictions
        if self._view.temperature is None:
            return predictions.scores
        return self.classifier.show(predictions, self._view).scores


class ReadOut(Answered):
    """The same of a few rows that are Python values already, at the fitted temperature: arrays of them come dearer."""

    @cached_property
    def finite(self) -> NDArray[np.bool_]:
        return np.array([self.readout.finite[row] for row in self.rows])

    @cached_property
    def order(self) -> Indices:
        columns, shown = self.classifier.columns, self.readout.shown
        return np.array([[columns[label] for label in shown[row][: self._view.top_k]] for row in self.rows])

    @cached_property
    def probabilities(self) -> Floats:
        ranked = [self.readout.probabilities[row][: self._view.top_k] for row in self.rows]
        found = np.zeros((len(self.rows), len(self.classifier.labels)))
        found[np.arange(len(self.rows))[:, None], self.order] = ranked
        found[~self.finite] = 0.0
        return found

    @cached_property
    def labels(self) -> tuple[Indices, Floats, NDArray[np.bool_]]:
        readout, rows = self.readout, slice(self.rows.start, self.rows.stop)
        if readout.held is None or readout.first is None or readout.first_confidence is None:
            return np.array(readout.label[rows]), np.array(readout.confidence[rows]), self.finite
        there = np.array([len(held) > 0 for held in readout.held[rows]])
        return np.array(readout.first[rows]), np.array(readout.first_confidence[rows]), there


def answered(classifier: Classifier, part: Part, view: View) -> Answered:
    """The shorter way of the two."""
    is_few = part.stop - part.start <= FEW_ROWS and len(classifier.labels) <= MOST_RANKED
    short = is_few and part.batch.is_read_out and view.temperature is None
    return (ReadOut if short else Answered)(classifier, part, view)


class Unanswered:
    """Rows that the graph has not answered: whatever is asked for, they say to fall back."""

    def __init__(self, classifier: Classifier, readout: Readout) -> None:
        n_rows, n_classes = len(readout.finite), len(classifier.labels)
        self.classifier = classifier
        self.readout = readout
        self.rows = range(n_rows)
        self.logits = np.zeros((n_rows, n_classes), classifier.model.logits_dtype)
        self.probabilities = np.zeros((n_rows, n_classes))
        self.order = np.tile(np.arange(n_classes), (n_rows, 1))
        self.finite = np.zeros(n_rows, dtype=np.bool_)
        self.labels = self.order[:, 0], self.probabilities[:, 0], self.finite


Answers: TypeAlias = Answered | Unanswered


def logits(answers: Answers) -> NDArray[np.floating]:
    return answers.logits


def probabilities(answers: Answers) -> Floats:
    """In the order of the labels; 0 for those that `top_k` leaves out, and the others as they were."""
    return answers.probabilities


def label(answers: Answers) -> NDArray[np.object_]:
    columns, _, there = answers.labels
    return np.where(there, answers.classifier.names[columns], "")


def confidence(answers: Answers) -> Floats:
    _, found, there = answers.labels
    return np.where(there, found, 0.0)


def decision(answers: Answers) -> NDArray[np.object_]:
    """The decision of the native protocol, as JSON."""
    classifier, readout = answers.classifier, answers.readout
    return of_objects(orjson.dumps(decision_object(row, classifier, readout)).decode() for row in answers.rows)


def prediction_set(answers: Answers) -> NDArray[np.object_]:
    """A list of labels as JSON, most probable first; `null` where the row has no set."""
    sets, finite = answers.readout.sets, answers.readout.finite
    return of_objects(
        "null" if sets is None or not finite[row] else orjson.dumps(sets[row]).decode() for row in answers.rows
    )


@dataclass(frozen=True, slots=True)
class Output:
    tell: Callable[[Answers], NDArray[Any]]
    dtype: np.dtype[Any] | None
    """None: that of the model's logits."""
    by_class: bool
    """Whether a row of it has an element for each class."""


DECISION = "decision"
_TEXTS, _NUMBERS = np.dtype(object), np.dtype(np.float64)
# To add one: write its function above and name it here.
OUTPUTS: Mapping[str, Output] = {
    "logits": Output(logits, None, by_class=True),
    "probabilities": Output(probabilities, _NUMBERS, by_class=True),
    "label": Output(label, _TEXTS, by_class=False),
    "confidence": Output(confidence, _NUMBERS, by_class=False),
    DECISION: Output(decision, _TEXTS, by_class=False),
    "prediction_set": Output(prediction_set, _TEXTS, by_class=False),
}


def specs(classifier: Classifier) -> Sequence[TensorSpec]:
    """What a model's metadata tell of its outputs."""
    return [
        TensorSpec(
            name,
            output.dtype or classifier.model.logits_dtype,
            (None, len(classifier.labels)) if output.by_class else (None,),
        )
        for name, output in OUTPUTS.items()
    ]


def wanted(asked: Iterable[Wanted]) -> Sequence[Wanted]:
    """What a client asks for, or everything where it names nothing. Raises InvalidInput."""
    found = list(asked) or [Wanted(name) for name in OUTPUTS]
    for place, (name, n_classes) in enumerate(found):
        output = OUTPUTS.get(name)
        if output is None:
            raise InvalidInput(f"In outputs[{place}]: Expected one of {', '.join(OUTPUTS)}.")
        if n_classes and not output.by_class:
            datatype = BYTES if output.dtype == _TEXTS else "FP64"
            raise InvalidInput(
                f"In outputs[{place}]: Expected logits or probabilities; "
                f"class result not available for output due to unsupported type '{datatype}'"
            )
    if len({name for name, _ in found}) != len(found):
        raise InvalidInput("Expected each output once; got one of them again.")
    return found


def told(answers: Answers, asked: Sequence[Wanted]) -> Told:
    """The outputs asked for."""
    parameters = {}
    if answers.classifier.calibration_id is not None:
        parameters["calibration"] = answers.classifier.calibration_id
    if not answers.finite.all():
        parameters["non_finite_rows"] = orjson.dumps(np.flatnonzero(~answers.finite).tolist()).decode()
    return Told([_tensor(answers, name, n_classes) for name, n_classes in asked], parameters)


def _tensor(answers: Answers, name: str, n_classes: int) -> Tensor:
    values = OUTPUTS[name].tell(answers)
    if n_classes:
        values = _classes(values, answers, n_classes)
    return Tensor(name, word(values.dtype), values)


def _classes(values: NDArray[np.floating], answers: Answers, n_classes: int) -> NDArray[np.object_]:
    """Of each row the best, as "value:index:label"."""
    order = answers.order if values is answers.probabilities else np.argsort(-values, axis=1, kind="stable")
    columns = order[:, :n_classes]
    best = np.take_along_axis(values, columns, axis=1)
    labels = answers.classifier.labels
    pairs = zip(best.ravel().tolist(), columns.ravel().tolist(), strict=True)
    return of_objects(f"{value:f}:{column}:{labels[column]}" for value, column in pairs).reshape(columns.shape)
