"""
Rasa: `POST /model/parse`, for the default model.

What is no decision to route becomes the intent by which Rasa's own classifier falls back, first in the ranking, so
that its one- and two-stage fallbacks go on as they are. Its confidence is that of the most probable label.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import orjson

from softgate import __version__
from softgate.policy.batch import Part
from softgate.policy.catalogue import Catalogue
from softgate.policy.classifier import Classifier
from softgate.policy.readout import Readout
from softgate.types import Action, View
from softgate.web.errors import Problem
from softgate.web.protocols.native import decode
from softgate.web.protocols.predictions import Ranking, fallback_objects, prediction_objects, rankings
from softgate.web.protocols.protocol import Answer, Call, Request
from softgate.web.protocols.texts import check_takes_texts

PATH = "/model/parse"
FALLBACK = "nlu_fallback"
# So many intents are ranked, as Rasa's own classifiers do unless told otherwise.
MOST_INTENTS = 10
# The ranking has a form of its own here, so a prediction need not show one.
_LEAST = View(top_k=1)


class RasaBody(msgspec.Struct):
    """The wire's request."""

    text: str
    message_id: Annotated[str, msgspec.Meta(max_length=1024)] | None = None


_BODY = msgspec.json.Decoder(RasaBody)


class Rasa:
    """Decode and encode."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def match(self, method: str, path: str) -> tuple[str, str | None] | None:
        return (self._catalogue.default, None) if (method, path) == ("POST", PATH) else None

    def owns(self, path: str) -> bool:
        return path == PATH

    def read(self, request: Request) -> Call:
        classifier = self._catalogue.find(request.model, request.version)
        check_takes_texts(classifier)
        if not classifier.degrades:
            # A fallback is for a text: that has to be read first.
            classifier.admit(seconds_left=request.seconds_left)
        asked = decode(_BODY, request.body, at="the body")

        def encode(part: Part) -> Answer:
            (row,) = prediction_objects(classifier, part, _LEAST)
            (ranking,) = rankings(classifier, part)
            return _answer(asked, classifier, row, ranking)

        def fall_back(readout: Readout) -> Answer:
            (row,) = fallback_objects(classifier, readout)
            return _answer(asked, classifier, row, [])

        rows = classifier.check([asked.text])
        return Call(classifier, rows, encode, fall_back=fall_back if classifier.degrades else None)

    @staticmethod
    def refuse(problem: Problem, *, request_id: str) -> Answer:
        told = {
            "version": __version__,
            "status": "failure",
            "message": problem.detail,
            "reason": problem.code,
            "details": {"request_id": request_id},
            "help": None,
            "code": problem.status,
        }
        return Answer(orjson.dumps(told), status=problem.status)


def _answer(asked: RasaBody, classifier: Classifier, row: Mapping[str, Any], ranking: Ranking) -> Answer:
    intents = [_intent(*entry) for entry in ranking[:MOST_INTENTS]]
    if row["decision"]["action"] == Action.ROUTE.word:
        intent = _intent(*_acted_on(row, ranking, classifier))
    else:
        intent = _intent(FALLBACK, ranking[0][1] if ranking else 0.0)
        intents = [intent, *intents]
    told = {
        "text": asked.text,
        "intent": intent,
        "entities": [],
        "intent_ranking": intents,
        "softgate": {
            "model": classifier.name,
            "version": classifier.version,
            "calibration": classifier.calibration_id,
            "decision": row["decision"],
        },
    }
    if asked.message_id is not None:
        told["message_id"] = asked.message_id
    return Answer(orjson.dumps(told))


def _acted_on(row: Mapping[str, Any], ranking: Ranking, classifier: Classifier) -> tuple[str, float]:
    """The label of the route decided for: several that share one may together be above the most probable label."""
    if "labels" in row:
        return row["label"], row["confidence"]
    routes, target = classifier.model.bundle.card.routing.routes, row["decision"]["target"]
    return next((label, confidence) for label, confidence in ranking if routes.get(label, label) == target)


def _intent(name: str, confidence: float) -> dict[str, Any]:
    return {"name": name, "confidence": confidence}
