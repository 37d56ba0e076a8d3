"""
The native protocol: `POST /v1/models/{model}/predict`.

What is documented of it stands in `web/schema.py`; a test holds the two together.
"""

import re
import secrets
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from softgate.errors import MalformedBody
from softgate.numerics.temperature import TEMPERATURE_RANGE
from softgate.policy.catalogue import Catalogue
from softgate.policy.classifier import Classifier, Shown
from softgate.policy.decision import target
from softgate.types import Action, Predictions, Reason, View
from softgate.web import errors
from softgate.web.errors import Problem
from softgate.web.protocols.protocol import Answer

PATH = re.compile(r"/v1/models/([^/]+)(?:/versions/([^/]+))?/predict")
_ACTIONS = [action.word for action in Action]
_REASONS = [reason.word for reason in Reason]


class PredictBody(msgspec.Struct, forbid_unknown_fields=True):
    """The wire's request."""

    inputs: msgspec.Raw
    id: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    top_k: Annotated[int, msgspec.Meta(ge=1)] | None = None
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    logits: bool = False
    temperature: Annotated[float, msgspec.Meta(ge=TEMPERATURE_RANGE[0], le=TEMPERATURE_RANGE[1])] | None = None
    select: Literal["argmax", "sample"] = "argmax"
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None = None
    profile: Annotated[str, msgspec.Meta(max_length=128)] | None = None


class Native:
    """Decode, predict, encode."""

    def __init__(self, catalogue: Catalogue, clock: Callable[[], float]) -> None:
        self._catalogue = catalogue
        self._clock = clock

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith("/predict") and PATH.fullmatch(path) is not None

    async def handle(self, path: str, body: bytes, *, started: float) -> Answer:
        match = PATH.fullmatch(path)
        assert match is not None, "Only a path that matched is handled."
        classifier = self._catalogue.find(match[1], match[2])
        request = decode(_BODY, body, at="the body")
        rows = classifier.check(decode_inputs(bytes(request.inputs), classifier.model.input.element))
        predictions = await classifier.predict(rows, profile=request.profile)
        answer = encode(classifier, predictions, _view(request), identity=request.id, with_logits=request.logits)
        classifier.monitor.request(rows=len(rows), seconds=self._clock() - started)
        return Answer(answer)

    def refuse(self, problem: Problem, *, request_id: str) -> Answer:
        body = errors.encode(problem, request_id=request_id)
        return Answer(body, errors.PROBLEM_JSON.encode(), problem.status)


_BODY = msgspec.json.Decoder(PredictBody)
_ONE: dict[type, msgspec.json.Decoder[Any]] = {
    str: msgspec.json.Decoder(str),
    float: msgspec.json.Decoder(list[float]),
    int: msgspec.json.Decoder(list[int]),
}
_MANY: dict[type, msgspec.json.Decoder[Any]] = {
    str: msgspec.json.Decoder(list[str]),
    float: msgspec.json.Decoder(list[list[float]]),
    int: msgspec.json.Decoder(list[list[int]]),
}


def decode_inputs(content: bytes, element: type) -> Sequence[object]:
    """Rows of the JSON in `content`: one row is a string or a list of numbers, several are a list of those."""
    # Numbers: a list whose first item is not a list is one row; `[]` is no row at all, whatever was meant.
    first, opening = (content, b"[") if element is str else (content[1:].lstrip(), (b"[", b"]"))
    several = first.startswith(opening)
    decoder = (_MANY if several else _ONE)[element]
    values = decode(decoder, content, at="inputs")
    return values if several else [values]


def decode(decoder: msgspec.json.Decoder[Any], content: bytes, *, at: str) -> Any:
    """Raises MalformedBody, which says what was got and wanted and where, and repeats nothing of the content."""
    try:
        return decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise MalformedBody(f"In {at}: {_without_echo(str(exc))}.") from exc


def _without_echo(message: str) -> str:
    """msgspec repeats two things of a body: a field's unknown name and a word that is not among those wanted."""
    known = ", ".join(PredictBody.__struct_fields__)
    message = re.sub(
        r"Object contains unknown field `.*?`( - at .*)?$", rf"Expected no field but {known}", message, flags=re.S
    )
    return re.sub(r"Invalid enum value .*?( - at `\$\.\w+`)?$", r"Expected `argmax` or `sample`\1", message, flags=re.S)


def encode(
    classifier: Classifier,
    predictions: Predictions,
    view: View,
    *,
    identity: str | None = None,
    with_logits: bool = False,
) -> bytes:
    """The answer's JSON: names looked up, numbers already computed."""
    shown = classifier.show(predictions, view)
    rows = [_row(row, classifier, shown, predictions, with_logits=with_logits) for row in range(len(predictions))]
    return msgspec.json.encode(
        {
            "id": identity,
            "model": classifier.name,
            "version": classifier.version,
            "calibration": classifier.calibration_id,
            "predictions": rows,
        }
    )


def _view(request: PredictBody) -> View:
    unrepeatable = request.select == "sample" and request.seed is None
    seed = secrets.randbits(63) if unrepeatable else request.seed
    return View(request.temperature, request.top_k, request.top_p, request.select, seed)


def _row(
    row: int, classifier: Classifier, shown: Shown, predictions: Predictions, *, with_logits: bool
) -> dict[str, Any]:
    scores, labels, decisions = shown.scores, classifier.labels, predictions.decisions
    finite = bool(scores.finite[row])
    answer: dict[str, Any] = {
        "label": None,
        "confidence": None,
        "probabilities": {},
        "margin": None,
        "entropy": None,
        "energy": None,
        "prediction_set": None,
        "decision": _decision(row, classifier, predictions),
    }
    if finite:
        columns = shown.order[row, : shown.keep[row]]
        probabilities = scores.probabilities[row]
        answer["label"] = labels[scores.label[row]]
        answer["confidence"] = float(scores.confidence[row])
        answer["probabilities"] = dict(
            zip([labels[column] for column in columns.tolist()], probabilities[columns].tolist(), strict=True)
        )
        answer["margin"] = float(scores.margin[row])
        answer["entropy"] = float(scores.entropy[row])
        if scores.energy is not None:
            answer["energy"] = float(scores.energy[row])
        if decisions.sets is not None:
            members = np.flatnonzero(decisions.sets[row])
            ranked = members[np.argsort(-probabilities[members], kind="stable")]
            answer["prediction_set"] = [labels[column] for column in ranked.tolist()]
    if with_logits:
        answer["logits"] = scores.logits[row].tolist()
    return answer


def _decision(row: int, classifier: Classifier, predictions: Predictions) -> dict[str, Any]:
    # Not the scores as shown: another temperature may overflow where the fitted one did not.
    finite, decisions = predictions.scores.finite[row], predictions.decisions
    action, route = int(decisions.action[row]), int(decisions.route[row])
    threshold = float(decisions.threshold[row])
    decision: dict[str, Any] = {
        "action": _ACTIONS[action],
        "target": target(classifier.routing, action, route),
        "confidence": float(decisions.confidence[row]) if finite else None,
        "threshold": threshold if threshold == threshold else None,  # noqa: PLR0124 - NaN stands for none
        "reason": _REASONS[decisions.reason[row]],
    }
    if row in decisions.candidates:
        decision["candidates"] = [
            {"target": candidate.route, "confidence": candidate.confidence, "labels": dict(candidate.labels)}
            for candidate in decisions.candidates[row]
        ]
    return decision
