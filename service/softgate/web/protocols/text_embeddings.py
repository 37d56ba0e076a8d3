"""
Text Embeddings Inference: `POST /predict`, for the default model.

A list of texts is one row there, a text or a pair: several rows are a list of lists.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, TypeAlias

import msgspec
import orjson

from softgate import errors
from softgate.errors import MalformedBody
from softgate.policy.batch import Part
from softgate.policy.catalogue import Catalogue
from softgate.web.errors import Problem
from softgate.web.protocols.hugging_face import labelled
from softgate.web.protocols.native import decode
from softgate.web.protocols.predictions import logit_rankings, rankings
from softgate.web.protocols.protocol import Answer, Call, Request
from softgate.web.protocols.texts import check_takes_texts, row_of, status

PATH = "/predict"
# Its words for what went wrong, by ours; all else is a request that it calls invalid.
ERROR_TYPES: Mapping[str, str] = {
    errors.Overloaded.code: "overloaded",
    errors.DeadlineExceeded.code: "overloaded",
    errors.NotReady.code: "unhealthy",
}

Texts: TypeAlias = Annotated[list[str], msgspec.Meta(min_length=1, max_length=2)]


class TextEmbeddingsBody(msgspec.Struct):
    """The wire's request. How a text is cut is its tokenizer's matter, so `truncate` means nothing here."""

    inputs: str | Annotated[list[str | Texts], msgspec.Meta(min_length=1)]
    raw_scores: bool = False


_BODY = msgspec.json.Decoder(TextEmbeddingsBody)


class TextEmbeddings:
    """Decode and encode. It has no word for a decision, which is made and counted all the same."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def match(self, method: str, path: str) -> tuple[str, str | None] | None:
        return (self._catalogue.default, None) if (method, path) == ("POST", PATH) else None

    def owns(self, path: str) -> bool:
        return path == PATH

    def read(self, request: Request) -> Call:
        classifier = self._catalogue.find(request.model, request.version)
        check_takes_texts(classifier)
        classifier.admit(seconds_left=request.seconds_left)
        asked = decode(_BODY, request.body, at="the body")
        ranked = logit_rankings if asked.raw_scores else rankings
        rows, several = _rows(asked.inputs)

        def encode(part: Part) -> Answer:
            found = [labelled(row) for row in ranked(classifier, part)]
            return Answer(orjson.dumps(found if several else found[0]))

        return Call(classifier, classifier.check([row_of(*row, classifier) for row in rows]), encode)

    @staticmethod
    def refuse(problem: Problem, *, request_id: str) -> Answer:
        kind = ERROR_TYPES.get(problem.code, "backend" if problem.status == 500 else "validation")
        return Answer(orjson.dumps({"error": problem.detail, "error_type": kind}), status=status(problem))


def _rows(inputs: str | Sequence[str | Texts]) -> tuple[Sequence[tuple[str, str | None]], bool]:
    """Each row's text and the one it is paired with, and whether they were sent as a batch. Raises MalformedBody."""
    if isinstance(inputs, str):
        return [(inputs, None)], False
    texts = [text for text in inputs if isinstance(text, str)]
    pairs = [row for row in inputs if not isinstance(row, str)]
    if not texts:
        return [(row[0], row[1] if len(row) > 1 else None) for row in pairs], True
    if pairs or len(texts) > 2:
        raise MalformedBody(
            "In inputs: Expected a text, a pair [text, text], or a batch [[text], [text, text], ...]; "
            f"got a list with {len(texts)} texts and {len(pairs)} lists."
        )
    return [(texts[0], texts[1] if len(texts) > 1 else None)], False
