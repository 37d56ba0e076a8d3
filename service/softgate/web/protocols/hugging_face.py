"""
Hugging Face's text classification: `POST /models/{model}`, or `POST /` for the default model.

A client that is given an address posts to that address as it stands. It takes the first element of the answer for its
one text, so a text alone is answered as a list of one.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import orjson

from softgate.errors import InvalidInput
from softgate.policy.catalogue import Catalogue
from softgate.policy.classifier import Classifier
from softgate.types import View
from softgate.web.errors import Problem
from softgate.web.protocols.native import decode, decode_inputs, decode_rows
from softgate.web.protocols.predictions import Ranking, logit_rankings, rankings
from softgate.web.protocols.protocol import Answer, Call, Request
from softgate.web.protocols.texts import row_of, status

ROOT = "/"
PATH = re.compile(r"/models/([^/]+)")
FAMILY = re.compile(r"/|/models(?:/.*)?")
# What is shown as the graph gives it.
NONE = "none"


class Parameters(msgspec.Struct):
    """Others are for the tokenizer, which the model brings with it, and mean nothing here."""

    top_k: Annotated[int, msgspec.Meta(ge=1)] | None = None
    function_to_apply: str | None = None


class HuggingFaceBody(msgspec.Struct):
    """The wire's request."""

    inputs: msgspec.Raw
    parameters: Parameters | None = None


class Texts(msgspec.Struct, forbid_unknown_fields=True):
    """A row by name."""

    text: str
    text_pair: str | None = None


_BODY = msgspec.json.Decoder(HuggingFaceBody)


class HuggingFace:
    """Decode and encode. It has no word for a decision, which is made and counted all the same."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def match(self, method: str, path: str) -> tuple[str, str | None] | None:
        if method != "POST":
            return None
        if path == ROOT:
            return self._catalogue.default, None
        found = PATH.fullmatch(path)
        return None if found is None else (found[1], None)

    def owns(self, path: str) -> bool:
        return FAMILY.fullmatch(path) is not None

    def read(self, request: Request) -> Call:
        classifier = self._catalogue.find(request.model, request.version)
        classifier.admit(seconds_left=request.seconds_left)
        asked = decode(_BODY, request.body, at="the body")
        parameters = asked.parameters or Parameters()
        ranked = logit_rankings if _wants_logits(parameters, classifier) else rankings
        view = View(top_k=parameters.top_k)
        return Call(
            classifier,
            classifier.check(_rows(bytes(asked.inputs), classifier)),
            lambda part: Answer(orjson.dumps([labelled(row) for row in ranked(classifier, part, view)])),
            view=view if ranked is rankings else None,
        )

    @staticmethod
    def refuse(problem: Problem, *, request_id: str) -> Answer:
        return Answer(orjson.dumps({"error": problem.detail}), status=status(problem))


def labelled(ranking: Ranking) -> orjson.Fragment:
    """As JSON already, so that there are no more objects at once than those of one row."""
    return orjson.Fragment(orjson.dumps([{"label": label, "score": score} for label, score in ranking]))


def _wants_logits(parameters: Parameters, classifier: Classifier) -> bool:
    """Raises InvalidInput for a function that the probabilities are not calibrated for."""
    activation = classifier.model.bundle.card.activation
    if parameters.function_to_apply not in (None, NONE, activation):
        raise InvalidInput(
            f"Expected {activation} or {NONE} as function_to_apply: {classifier.name} is calibrated for no other."
        )
    return parameters.function_to_apply == NONE


def _rows(content: bytes, classifier: Classifier) -> Sequence[Any]:
    """Raises MalformedBody and InvalidInput."""
    way = classifier.model.input
    if classifier.model.bundle.card.input.kind != "text":
        return decode_inputs(content, way)
    rows = decode_rows(content, way.row | Texts, depth=way.depth, known=Texts.__struct_fields__)
    return [row_of(row.text, row.text_pair, classifier) if isinstance(row, Texts) else row for row in rows]
