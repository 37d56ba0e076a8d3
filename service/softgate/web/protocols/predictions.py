"""The prediction objects of the native protocol, row by row: the same for a request's answer and for a replay."""

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from softgate.policy.classifier import Classifier, Shown
from softgate.policy.decision import in_order, target, targets
from softgate.types import Action, Predictions, Reason, View

_ACTIONS = [action.word for action in Action]
_REASONS = [reason.word for reason in Reason]


def prediction_objects(
    classifier: Classifier, predictions: Predictions, view: View, *, with_logits: bool = False
) -> Iterator[dict[str, Any]]:
    """Names looked up, numbers already computed. Raises InvalidInput as `Classifier.show` does."""
    shown = classifier.show(predictions, view)
    return (_row(row, classifier, shown, predictions, with_logits=with_logits) for row in range(len(predictions)))


def encode_lines(classifier: Classifier, predictions: Predictions, view: View) -> bytes:
    """A line of JSON for each row, of the very bytes that stand for it in an answer."""
    return msgspec.json.Encoder().encode_lines(prediction_objects(classifier, predictions, view))


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
    if decisions.held is not None and decisions.first is not None:
        held = in_order(decisions.held[row], predictions.scores.probabilities[row], classifier.routing)
        first = int(decisions.first[row])
        answer["label"] = labels[first] if held else None
        answer["confidence"] = float(scores.probabilities[row, first]) if held else None
        answer["labels"] = [labels[column] for column in held]
        answer["decision"]["targets"] = targets(held, classifier.routing)
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
