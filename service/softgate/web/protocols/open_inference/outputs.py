"""
What a model tells for its rows, as tensors: one function for each output.

A row that the graph gave no finite logits for, or no answer at all, has the label "", confidence 0 and probabilities of
0: no number of it may look like an answer. Its decision says why, and a parameter of the answer which rows they are.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from softgate.errors import InvalidInput
from softgate.policy.classifier import Classifier
from softgate.types import Floats, TensorSpec
from softgate.web.protocols.open_inference.answers import Answers
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
