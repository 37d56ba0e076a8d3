"""`POST /v1/models/{model}/rank`: candidates as rows, answered the best first."""

import re
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
import orjson

from softgate.errors import InvalidInput, MalformedBody
from softgate.policy.catalogue import Catalogue
from softgate.policy.classifier import Classifier
from softgate.policy.ranking import Ranking, against_each_other, by_label, by_own_label
from softgate.types import Predictions
from softgate.web import errors
from softgate.web.errors import Problem
from softgate.web.protocols.native import decode, decode_inputs
from softgate.web.protocols.protocol import Answer, Call, Request

PATH = re.compile(r"/v1/models/([^/]+)(?:/versions/([^/]+))?/rank")


class RankBody(msgspec.Struct, forbid_unknown_fields=True):
    """The wire's request."""

    inputs: msgspec.Raw
    query: str | None = None
    label: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    id: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    top_k: Annotated[int, msgspec.Meta(ge=1)] | None = None


_BODY = msgspec.json.Decoder(RankBody)


class Rank:
    """Decode, rank, encode. Candidates are no traffic to be routed, so no decision of theirs is counted."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def match(self, method: str, path: str) -> tuple[str, str | None] | None:
        found = PATH.fullmatch(path) if method == "POST" else None
        return None if found is None else (found[1], found[2])

    def owns(self, path: str) -> bool:
        return PATH.fullmatch(path) is not None

    def read(self, request: Request) -> Call:
        classifier = self._catalogue.find(request.model, request.version)
        classifier.admit(seconds_left=request.seconds_left)
        asked = decode(_BODY, request.body, at="the body", known=RankBody.__struct_fields__)
        column = _column(asked.label, classifier)
        return Call(
            classifier,
            classifier.check(_candidates(asked, classifier)),
            lambda part: Answer(encode(classifier, rank(classifier, part.predictions, column), asked)),
            counted=False,
        )

    def refuse(self, problem: Problem, *, request_id: str) -> Answer:
        body = errors.encode(problem, request_id=request_id)
        return Answer(body, errors.PROBLEM_JSON.encode(), problem.status)


def rank(classifier: Classifier, predictions: Predictions, column: int | None) -> Ranking:
    if column is None:
        temperature = classifier.temperature
        assert isinstance(temperature, float), "The two classes of one logit exclude each other and share a T."
        # A bias would move all candidates alike, and so none of the probabilities.
        return against_each_other(predictions.scores, temperature=temperature)
    by = by_label if predictions.decisions.held is None else by_own_label
    return by(predictions.scores, column)


def encode(classifier: Classifier, ranking: Ranking, asked: RankBody) -> bytes:
    """The answer's JSON."""
    order = ranking.order[: asked.top_k].tolist()
    probability = ranking.probability.tolist()
    return orjson.dumps(
        {
            "id": asked.id,
            "model": classifier.name,
            "version": classifier.version,
            "calibration": classifier.calibration_id,
            "label": asked.label,
            "ranking": [
                {"index": row, "probability": None if np.isnan(probability[row]) else probability[row]} for row in order
            ],
        }
    )


def _column(label: str | None, classifier: Classifier) -> int | None:
    """The label's column; None where a one-logit graph's candidates compete. Raises InvalidInput."""
    if label is None:
        if not classifier.model.one_logit:
            raise InvalidInput(
                f"Expected a label to rank by: {classifier.name} tells {len(classifier.labels)} apart. "
                "Only candidates of a one-logit graph are ranked without one."
            )
        return None
    if label not in classifier.labels:
        raise InvalidInput(f"Expected a label of {classifier.name}; GET /v1/models/{classifier.name} lists them.")
    return classifier.labels.index(label)


def _candidates(asked: RankBody, classifier: Classifier) -> Sequence[Any]:
    way = classifier.model.input
    candidates = decode_inputs(bytes(asked.inputs), way)
    if asked.query is None:
        return candidates
    if not way.pairs:
        raise MalformedBody(f"Expected no query: {classifier.name} takes no pairs of texts.")
    if not all(isinstance(candidate, str) for candidate in candidates):
        raise MalformedBody("Expected a text for each candidate: beside a query, pairs are made of them.")
    return [(asked.query, candidate) for candidate in candidates]
