"""What a server answers, as frozen values. Their names are the API's; null is None."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import msgspec

from softgate import errors
from softgate.errors import ForeignAnswer, SoftgateError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A route to offer where the decision is to ask back."""

    target: str
    confidence: float
    labels: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Decision:
    """Where to send the row, and why."""

    action: Literal["route", "clarify", "fallback", "abstain"]
    target: str | None
    confidence: float | None
    threshold: float | None
    reason: str
    candidates: tuple[Candidate, ...] = ()
    targets: tuple[str, ...] | None = None
    """None but of a model whose labels may hold at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One row's. Its scores are None where the graph gave a NaN or an infinity, or no answer at all."""

    label: str | None
    confidence: float | None
    probabilities: Mapping[str, float]
    """The most probable label first."""
    margin: float | None
    entropy: float | None
    energy: float | None
    prediction_set: tuple[str, ...] | None
    decision: Decision
    labels: tuple[str, ...] | None = None
    """None but of a model whose labels may hold at once."""
    logits: tuple[float | None, ...] | None = None
    """Where they were asked for."""
    model: str = ""
    version: str = ""
    calibration: str | None = None
    """Which one gave these numbers."""
    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model that is served."""

    name: str
    version: str
    ready: bool
    input: str
    activation: str
    n_labels: int
    calibration: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whoever sent it."""

    url: str
    status: int
    content_type: str
    retry_after: str | None
    body: bytes


def predictions(answer: Answer, *, n_rows: int) -> Sequence[Prediction]:
    """One for each row. Raises SoftgateError."""
    told = _decoded(answer, _Predictions)
    if len(told.predictions) != n_rows:
        raise _foreign(answer, f"it holds {len(told.predictions)} predictions for {n_rows} rows")
    return [
        replace(one, model=told.model, version=told.version, calibration=told.calibration, id=told.id)
        for one in told.predictions
    ]


def models(answer: Answer) -> Sequence[Model]:
    """Raises SoftgateError."""
    return _decoded(answer, _Models).models


def is_ready(answer: Answer) -> bool:
    """Raises SoftgateError where neither yes nor no is said."""
    return answer.status != 503 and _decoded(answer, _Health).status == "ok"


class _Predictions(msgspec.Struct):
    model: str
    version: str
    calibration: str | None
    predictions: list[Prediction]
    id: str | None = None


class _Models(msgspec.Struct):
    models: list[Model]


class _Health(msgspec.Struct):
    status: str


class _Problem(msgspec.Struct):
    code: str
    detail: str
    request_id: str | None = None


_KINDS: Mapping[str, type[SoftgateError]] = {
    kind.code: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, SoftgateError)
}


def _decoded(answer: Answer, form: type[T]) -> T:
    if answer.status != 200:
        raise _refusal(answer)
    try:
        return msgspec.json.decode(answer.body, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise _foreign(answer, str(exc).rstrip(".")) from exc


def _refusal(answer: Answer) -> SoftgateError:
    """The server's own error, of the class that has its code; of one that is not known here, the base class."""
    try:
        problem = msgspec.json.decode(answer.body, type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        redirect = ", a redirect, which is not followed" if 300 <= answer.status < 400 else ""
        return _foreign(answer, f"got status {answer.status} and {answer.content_type or 'no type'}{redirect}")
    error = _KINDS.get(problem.code, SoftgateError)(problem.detail)
    error.code, error.status, error.request_id = problem.code, answer.status, problem.request_id
    error.add_note(f"{answer.url}: status {answer.status}, {problem.code}, request_id {problem.request_id}.")
    return error


def _foreign(answer: Answer, why: str) -> ForeignAnswer:
    error = ForeignAnswer(f"{answer.url}: expected a softgate server's answer; {why}.")
    error.status = answer.status
    return error
