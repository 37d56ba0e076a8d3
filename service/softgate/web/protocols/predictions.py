"""The prediction objects of the native protocol, row by row: the same for a request's answer and for a replay."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import orjson

from softgate.numerics.selection import top_k
from softgate.policy.batch import Part
from softgate.policy.classifier import EVERYTHING, Classifier
from softgate.policy.decision import target, targets
from softgate.policy.one_row import OneRow
from softgate.policy.readout import Readout
from softgate.types import Action, Floats, Indices, Reason, View

Ranking: TypeAlias = Sequence[tuple[str, float]]
_ACTIONS = [action.word for action in Action]
_REASONS = [reason.word for reason in Reason]
# Of rows with these the graph has told nothing.
_UNTOLD = {int(reason) for reason in (Reason.NON_FINITE, Reason.OVERLOADED, Reason.MODEL_UNAVAILABLE)}


def prediction_objects(
    classifier: Classifier, part: Part, view: View, *, with_logits: bool = False
) -> Sequence[dict[str, Any]]:
    """Names looked up, numbers already computed. Raises InvalidInput as `Classifier.show` does."""
    readout, rows, most = _shown(classifier, part, view)
    found = [_row(row, classifier, readout, most) for row in rows]
    if with_logits:
        for answer, logits in zip(found, part.predictions.scores.logits.tolist(), strict=True):
            answer["logits"] = logits
    return found


def fallback_objects(
    classifier: Classifier, readout: Readout, *, with_logits: bool = False
) -> Sequence[dict[str, Any]]:
    """The same for rows that the graph has not answered."""
    more = {"logits": None} if with_logits else {}
    return [_row(row, classifier, readout, None) | more for row in range(len(readout.finite))]


def rankings(classifier: Classifier, part: Part, view: View = EVERYTHING) -> Iterator[Ranking]:
    """
    For each row its labels with their probabilities, most probable first; none where it is not finite.

    One row after the other: those of a thousand rows and ten thousand labels would take gigabytes at once.
    """
    readout, rows, most = _shown(classifier, part, view)
    return _rankings(rows, classifier, readout, most)


def logit_rankings(classifier: Classifier, part: Part, view: View = EVERYTHING) -> Iterator[Ranking]:
    """The same by logit, largest first; a bias may have probabilities in another order."""
    scores = part.predictions.scores
    logits = np.where(scores.finite[:, None], scores.logits, 0)
    order = top_k(logits, logits.shape[1] if view.top_k is None else view.top_k)
    return _logit_rankings(classifier.labels, order, logits, scores.finite.tolist())


def encode_lines(classifier: Classifier, part: Part, view: View, *, with_logits: bool = False) -> Sequence[bytes]:
    """A line of JSON for each row, of the very bytes that stand for it in an answer."""
    return [encode_line(answer) for answer in prediction_objects(classifier, part, view, with_logits=with_logits)]


def encode_line(answer: object) -> bytes:
    """One line of JSON Lines."""
    return orjson.dumps(answer, option=orjson.OPT_APPEND_NEWLINE)


def _shown(classifier: Classifier, part: Part, view: View) -> tuple[Readout, range, int | None]:
    """The rows to show, and how many labels of each; None: all that there are. Raises as `Classifier.show` does."""
    if view is EVERYTHING or classifier.shares_ranking(view):
        return part.batch.readout, range(part.start, part.stop), view.top_k
    if part.batch.leading is not None and OneRow.is_enough_for(view):
        return part.batch.leading, range(1), view.top_k
    return classifier.read_out(part.predictions, view), range(part.stop - part.start), None


def _rankings(rows: range, classifier: Classifier, readout: Readout, most: int | None) -> Iterator[Ranking]:
    for row in rows:
        yield _ranking(row, classifier, readout, most)


def _ranking(row: int, classifier: Classifier, readout: Readout, most: int | None) -> Ranking:
    if not readout.finite[row]:
        return []
    shown, probabilities = readout.shown[row][:most], readout.probabilities[row][:most]
    if isinstance(shown, np.ndarray) and isinstance(probabilities, np.ndarray):
        shown, probabilities = [classifier.labels[column] for column in shown.tolist()], probabilities.tolist()
    return list(zip(shown, probabilities, strict=True))


def _logit_rankings(labels: Sequence[str], order: Indices, logits: Floats, finite: Sequence[bool]) -> Iterator[Ranking]:
    for row, is_finite in enumerate(finite):
        if not is_finite:
            yield []
            continue
        names = [labels[column] for column in order[row].tolist()]
        yield list(zip(names, logits[row, order[row]].tolist(), strict=True))


def _row(row: int, classifier: Classifier, readout: Readout, most: int | None) -> dict[str, Any]:
    """`most`: how many labels to show; None: all that there are."""
    if not readout.finite[row]:
        answer: dict[str, Any] = {
            "label": None,
            "confidence": None,
            "probabilities": {},
            "margin": None,
            "entropy": None,
            "energy": None,
            "prediction_set": None,
            "decision": decision_object(row, classifier, readout),
        }
    else:
        shown, probabilities = readout.shown[row], readout.probabilities[row]
        if most is not None:
            shown, probabilities = shown[:most], probabilities[:most]
        answer = {
            "label": classifier.labels[readout.label[row]],
            "confidence": readout.confidence[row],
            "probabilities": _by_label(classifier, shown, probabilities),
            "margin": readout.margin[row],
            "entropy": readout.entropy[row],
            "energy": None if readout.energy is None else readout.energy[row],
            "prediction_set": None if readout.sets is None else readout.sets[row],
            "decision": decision_object(row, classifier, readout),
        }
    if readout.held is not None and readout.first is not None and readout.first_confidence is not None:
        held = readout.held[row]
        answer["label"] = classifier.labels[readout.first[row]] if held else None
        answer["confidence"] = readout.first_confidence[row] if held else None
        answer["labels"] = [classifier.labels[column] for column in held]
    return answer


def _by_label(classifier: Classifier, shown: Sequence[str] | Indices, probabilities: Sequence[float] | Floats) -> Any:
    if classifier.keys is None or not isinstance(shown, np.ndarray):
        return dict(zip(shown, probabilities, strict=True))
    numbers = orjson.dumps(probabilities, option=orjson.OPT_SERIALIZE_NUMPY)
    return orjson.Fragment(classifier.keys.object(shown, numbers))


def decision_object(row: int, classifier: Classifier, readout: Readout) -> dict[str, Any]:
    """The same in every protocol that tells it."""
    action, threshold = readout.action[row], readout.threshold[row]
    decision: dict[str, Any] = {
        "action": _ACTIONS[action],
        "target": target(classifier.routing, action, readout.route[row]),
        "confidence": readout.route_confidence[row] if readout.reason[row] not in _UNTOLD else None,
        "threshold": threshold if threshold == threshold else None,  # noqa: PLR0124 - NaN stands for none
        "reason": _REASONS[readout.reason[row]],
    }
    if row in readout.candidates:
        decision["candidates"] = [
            {"target": candidate.route, "confidence": candidate.confidence, "labels": dict(candidate.labels)}
            for candidate in readout.candidates[row]
        ]
    if readout.held is not None:
        decision["targets"] = targets(readout.held[row], classifier.routing)
    return decision
