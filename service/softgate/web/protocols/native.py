"""
The native protocol: `POST /v1/models/{model}/predict`.

What is documented of it stands in `web/schema/`; a test holds the two together.
"""

import re
import secrets
from collections.abc import Sequence
from functools import cache, partial
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import orjson

from softgate.errors import MalformedBody
from softgate.policy.batch import Part
from softgate.policy.catalogue import Catalogue
from softgate.policy.classifier import EVERYTHING, Classifier
from softgate.policy.readout import Readout
from softgate.runtime.inputs import Input
from softgate.types import View
from softgate.web import errors
from softgate.web.errors import Problem
from softgate.web.protocols.predict_body import PredictBody, RowBody, RowsBody
from softgate.web.protocols.predictions import fallback_objects, prediction_objects
from softgate.web.protocols.protocol import Answer, Call, Request

PATH = re.compile(r"/v1/models/([^/]+)(?:/versions/([^/]+))?/predict")


class Native:
    """Decode and encode."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def match(self, method: str, path: str) -> tuple[str, str | None] | None:
        found = PATH.fullmatch(path) if method == "POST" else None
        return None if found is None else (found[1], found[2])

    def owns(self, path: str) -> bool:
        return PATH.fullmatch(path) is not None

    def read(self, request: Request) -> Call:
        classifier = self._catalogue.find(request.model, request.version)
        if not classifier.degrades:
            # A fallback is for rows: those have to be read first.
            classifier.admit(seconds_left=request.seconds_left)
        asked, values = _asked(request, classifier)
        view = view_of(asked)
        return Call(
            classifier,
            classifier.check(values),
            partial(_encode_answer, classifier, view, identity=asked.id, with_logits=asked.logits),
            profile=asked.profile,
            view=None if asked.logits else view,
            fall_back=partial(_encode_fallback, classifier, asked) if classifier.degrades else None,
        )

    def refuse(self, problem: Problem, *, request_id: str) -> Answer:
        body = errors.encode(problem, request_id=request_id)
        return Answer(body, errors.PROBLEM_JSON.encode(), problem.status)


_BODY = msgspec.json.Decoder(PredictBody)
_NUMBERS = list[float]
_ROW, _ROWS = msgspec.json.Decoder(RowBody), msgspec.json.Decoder(RowsBody)
_FIELDS = PredictBody.__struct_fields__
QUERY_FIELDS = tuple(name for name in _FIELDS if name != "inputs")
IMAGE = b"image/"


def _asked(request: Request, classifier: Classifier) -> tuple[PredictBody, Sequence[Any]]:
    """
    What is asked for, and the rows.

    Beside a body that is an image, the rest stands in the query string. Beside JSON that string means nothing.
    """
    if not request.content_type.lower().startswith(IMAGE):
        return read_body(request.body, classifier.model.input)
    if classifier.model.bundle.card.input.kind != "image":
        raise MalformedBody(f"Expected a body of JSON, for {classifier.name} takes no images; got one as Content-Type.")
    return decode_query(request.query), [request.body]


def read_body(body: bytes, way: Input) -> tuple[PredictBody, Sequence[Any]]:
    """What is asked for, and the rows, as the model's input takes them. Raises MalformedBody."""
    read = _numbers(body) if way.row == _NUMBERS else None
    return read_in_two_passes(body, way) if read is None else read


def read_in_two_passes(body: bytes, way: Input) -> tuple[PredictBody, Sequence[Any]]:
    """The same of rows of any kind: first what is beside them, then the rows."""
    asked = decode(_BODY, body, at="the body")
    return asked, decode_inputs(bytes(asked.inputs), way)


def _numbers(body: bytes) -> tuple[PredictBody, Sequence[Any]] | None:
    """
    The same of rows of numbers, in one pass over the body where a look at the first bracket tells if there are several.

    None for any other body, and for one that is refused: the long way says why.
    """
    several = body.startswith(b"[", body.find(b"[") + 1)
    try:
        asked = (_ROWS if several else _ROW).decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    rows: Any = asked.inputs
    if not rows:
        return None
    return asked, rows if several else [rows]


def decode_query(query: bytes) -> PredictBody:
    """The fields of a request but its inputs, as `top_k=3&logits=true`. Raises MalformedBody."""
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=len(QUERY_FIELDS))
    except ValueError as exc:
        raise MalformedBody(f"In the query: Expected at most {len(QUERY_FIELDS)} fields.") from exc
    values = dict(pairs)
    if not values.keys() <= set(QUERY_FIELDS):
        raise MalformedBody(f"In the query: Expected no field but {', '.join(QUERY_FIELDS)}.")
    try:
        # Not strict: every value in a query is text.
        return msgspec.convert({**values, "inputs": msgspec.Raw()}, PredictBody, strict=False)
    except msgspec.ValidationError as exc:
        raise MalformedBody(f"In the query: {_without_echo(str(exc))}.") from exc


_START = re.compile(rb"[ \t\r\n\[]*")


def decode_inputs(content: bytes, way: Input) -> Sequence[Any]:
    """The rows of the JSON in `content`, one or several, as the model's input takes them. Raises MalformedBody."""
    return decode_rows(content, way.row, depth=way.depth)


def decode_rows(content: bytes, row: Any, *, depth: int, known: Sequence[str] = _FIELDS) -> Sequence[Any]:
    """The same of rows of the type `row` that open with `depth` brackets; `known` as `decode` takes it."""
    several = _holds_several(content, depth)
    values = decode(_decoder(row, several), content, at="inputs", known=known)
    return values if several else [values]


def _holds_several(content: bytes, depth: int) -> bool:
    """
    Whether `content` is a list of rows.

    A row opens with `depth` brackets, or is an object: with one more bracket around it there are several. `[]` is no
    row at all, whatever was meant.
    """
    start = _START.match(content)
    assert start is not None, "It matches nothing at all, too."
    opening = start[0].count(b"[")
    return opening > depth or (opening > 0 and content[start.end() : start.end() + 1] in (b"]", b"{"))


def decode_row(content: bytes, row: Any) -> Any:
    """The one row of a line of JSON, of the type `row`. Raises MalformedBody."""
    if not content.strip():
        raise MalformedBody("In the line: Expected a row; got a blank line.")
    return decode(_decoder(row, several=False), content, at="the line")


@cache
def _decoder(row: Any, several: bool) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(list[row] if several else row)


def decode(decoder: msgspec.json.Decoder[Any], content: bytes, *, at: str, known: Sequence[str] = _FIELDS) -> Any:
    """
    Raises MalformedBody, which says what was got and wanted and where, and repeats nothing of the content.

    `known`: the fields that an object may have.
    """
    try:
        return decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise MalformedBody(f"In {at}: {_without_echo(str(exc), known)}.") from exc


def _without_echo(message: str, known: Sequence[str] = _FIELDS) -> str:
    """msgspec repeats two things of a body: a field's unknown name and a word that is not among those wanted."""
    wanted = f"Expected no field but {', '.join(known)}"
    message = re.sub(r"Object contains unknown field `.*?`( - at .*)?$", wanted, message, flags=re.S)
    return re.sub(r"Invalid enum value .*?( - at `\$\.\w+`)?$", r"Expected `argmax` or `sample`\1", message, flags=re.S)


def encode(
    classifier: Classifier, part: Part, view: View, *, identity: str | None = None, with_logits: bool = False
) -> bytes:
    """The answer's JSON: names looked up, numbers already computed. Raises InvalidInput as `Classifier.show` does."""
    return _encoded(classifier, prediction_objects(classifier, part, view, with_logits=with_logits), identity)


def _encode_answer(
    classifier: Classifier, view: View, part: Part, *, identity: str | None, with_logits: bool
) -> Answer:
    return Answer(encode(classifier, part, view, identity=identity, with_logits=with_logits))


def _encode_fallback(classifier: Classifier, asked: PredictBody, readout: Readout) -> Answer:
    return Answer(_encoded(classifier, fallback_objects(classifier, readout, with_logits=asked.logits), asked.id))


def _encoded(classifier: Classifier, predictions: Sequence[dict[str, Any]], identity: str | None) -> bytes:
    return orjson.dumps(
        {
            "id": identity,
            "model": classifier.name,
            "version": classifier.version,
            "calibration": classifier.calibration_id,
            "predictions": predictions,
        }
    )


def view_of(asked: PredictBody) -> View:
    """Where a draw is asked for without a seed, with one of its own."""
    if asked.top_p is asked.temperature is None and asked.select == "argmax":
        return EVERYTHING if asked.top_k is None else View(top_k=asked.top_k)
    unrepeatable = asked.select == "sample" and asked.seed is None
    seed = secrets.randbits(63) if unrepeatable else asked.seed
    return View(asked.temperature, asked.top_k, asked.top_p, asked.select, seed)
