"""
What a client asks for, whatever the wire: tensors for a classifier, and outputs in return.

A wire makes `Sent` tensors and `Parameters` of what it reads, and writes what is `Told`; all in between is here and in
`outputs`, so that two wires cannot part.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
from numpy.typing import NDArray

from softgate.errors import (
    BodyTooLarge,
    InvalidInput,
    MalformedBody,
    ShapeMismatch,
    TooManyRows,
    UnknownModel,
    UnsupportedExtension,
)
from softgate.numerics.temperature import TEMPERATURE_RANGE
from softgate.policy.batch import Part
from softgate.policy.catalogue import Catalogue
from softgate.policy.classifier import Classifier
from softgate.policy.readout import Readout
from softgate.runtime.card import MODEL_NAME
from softgate.types import Rows, TensorSpec, View
from softgate.web import errors
from softgate.web.errors import Problem
from softgate.web.protocols.open_inference.answers import Unanswered, answered
from softgate.web.protocols.open_inference.datatypes import DATATYPES, word
from softgate.web.protocols.open_inference.outputs import DECISION, Told, Wanted, told
from softgate.web.protocols.protocol import Answer, Call

Form = TypeVar("Form")
MICROSECOND = 1e-6


class Sent(NamedTuple):
    """A tensor of a request, not yet decoded."""

    name: str
    datatype: str
    shape: Sequence[int]
    decode: Callable[[], NDArray[Any]]
    """Its elements, flat; called once the three above are those of the model. Raises InvalidInput."""


class Parameters(msgspec.Struct):
    """Those of a request that mean something here; whatever else a client sends is for other servers."""

    top_k: Annotated[int, msgspec.Meta(ge=1)] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=TEMPERATURE_RANGE[0], le=TEMPERATURE_RANGE[1])] | None = None
    profile: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    timeout: Annotated[int, msgspec.Meta(ge=0)] = 0
    """In microseconds; 0: the server's own."""
    binary_data_output: bool = False


class OutputParameters(msgspec.Struct):
    classification: Annotated[int, msgspec.Meta(ge=0)] = 0
    """How many classes to tell; 0: the output itself."""
    binary_data: bool | None = None
    shared_memory_region: str | None = None


class Inference(NamedTuple):
    """A request, read from its wire and checked."""

    rows: Rows
    wanted: Sequence[Wanted]
    parameters: Parameters

    def call(self, classifier: Classifier, encode: Callable[[Told], Answer], *, started: float) -> Call:
        """`encode` writes what is told; `started`: the clock's value when the request arrived."""
        parameters = self.parameters
        tells_decisions = any(each.name == DECISION for each in self.wanted)
        view = View(parameters.temperature, parameters.top_k)

        def answer(part: Part) -> Answer:
            return encode(told(answered(classifier, part, view), self.wanted))

        def fall_back(readout: Readout) -> Answer:
            return encode(told(Unanswered(classifier, readout), self.wanted))

        return Call(
            classifier,
            self.rows,
            answer,
            profile=parameters.profile,
            # Whoever asks for numbers alone would take those of no answer for an answer.
            fall_back=fall_back if classifier.degrades and tells_decisions else None,
            expires_at=started + parameters.timeout * MICROSECOND if parameters.timeout else math.inf,
        )


def parameters(values: Mapping[str, object]) -> Parameters:
    """Of a wire that has them as a map already. Raises MalformedBody."""
    return _converted(values, Parameters)


def output_parameters(values: Mapping[str, object]) -> OutputParameters:
    """The same of an output."""
    return _converted(values, OutputParameters)


def _converted(values: Mapping[str, object], form: type[Form]) -> Form:
    try:
        return msgspec.convert(values, form)
    except msgspec.ValidationError as exc:
        raise MalformedBody(f"In the parameters: {exc}.") from exc


def find(catalogue: Catalogue, name: str, version: str | None = None) -> Classifier:
    """Raises UnknownModel, which begins as clients expect it, and NotReady."""
    try:
        return catalogue.find(name, version)
    except UnknownModel as exc:
        raise unknown(exc, name) from exc


def unknown(exc: UnknownModel, name: str) -> UnknownModel:
    """The same error in the words that clients look for; repeats a name only where it could be one."""
    named = f": '{name}'" if MODEL_NAME.fullmatch(name) else ""
    return type(exc)(f"Request for unknown model{named} is not served. {exc}")


def no_shared_memory() -> UnsupportedExtension:
    return UnsupportedExtension("Expected tensors in the request and in its answer; there is no shared memory.")


def status(problem: Problem) -> int:
    """Over HTTP: a batch too big is a body too big."""
    return errors.STATUS[BodyTooLarge] if problem.code == TooManyRows.code else problem.status


def rows(sent: Sequence[Sent], classifier: Classifier) -> Rows:
    """Raises InvalidInput."""
    specs = classifier.model.input.tensors
    by_name = {each.name: (place, each) for place, each in enumerate(sent)}
    if len(by_name) != len(sent) or by_name.keys() != {spec.name for spec in specs}:
        names = ", ".join(spec.name for spec in specs)
        raise InvalidInput(f"Expected one tensor for each of the inputs {names}; got {len(sent)} tensors.")
    ordered = [by_name[spec.name] for spec in specs]
    for spec, (place, tensor) in zip(specs, ordered, strict=True):
        _check(tensor, spec, at=f"inputs[{place}]")
    n_rows = {tensor.shape[0] for _, tensor in ordered}
    if len(n_rows) != 1:
        raise ShapeMismatch("Expected as many rows in each input; they differ.")
    classifier.check_number(*n_rows)
    return classifier.check_tensors(
        [tensor.decode().reshape(_shape(tensor, spec)) for spec, (_, tensor) in zip(specs, ordered, strict=True)]
    )


def _check(tensor: Sent, spec: TensorSpec, *, at: str) -> None:
    datatype = word(spec.dtype)
    if tensor.datatype != datatype:
        got = tensor.datatype if tensor.datatype in DATATYPES else "something else"
        raise InvalidInput(f"In {at}: Expected the datatype {datatype} for {spec.name}; got {got}.")
    shape = _shape(tensor, spec)
    fits = len(shape) == len(spec.shape) and all(
        wanted in (None, size) for wanted, size in zip(spec.shape[1:], shape[1:], strict=True)
    )
    if not fits:
        sizes = ", ".join(str(-1 if size is None else size) for size in (None, *spec.shape[1:]))
        got = str(list(shape)) if len(shape) == len(spec.shape) else f"{len(shape)} axes"
        raise ShapeMismatch(f"In {at}: Expected the shape [{sizes}] for {spec.name}; got {got}.")


def _shape(tensor: Sent, spec: TensorSpec) -> Sequence[int]:
    """A text or an image may stand in a column of its own."""
    alone = spec.dtype.kind == "O" and len(spec.shape) == 1 and tuple(tensor.shape[1:]) == (1,)
    return tensor.shape[:1] if alone else tensor.shape
