"""
The same server without what softgate adds: a softmax at T = 1, and nothing else.

    python tests/bench/plain_softmax.py serve FOLDER --port 0

What stays: the edge, the queue and its batches, the graph, ids, JSON in and out. What is left out: the calibrated
temperature, ranking, margin, entropy, energy, prediction sets, the decision, every count and the watch over them, and
the validation of a request beyond its being JSON of the right form. An answer is padded to about the size of a whole
one, so that both send as much.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from softgate.cli import app
from softgate.policy.classifier import Classifier
from softgate.policy.monitor.counts import Monitor
from softgate.runtime.jobs import Job
from softgate.types import Rows
from softgate.web.protocols.native import Native
from softgate.web.protocols.protocol import Answer, Call, Request
from softgate.web.watcher import Watcher

# Of margin, entropy, energy, prediction set and decision.
PADDING = "x" * 330


class Body(msgspec.Struct):
    inputs: list[list[float]]
    id: str | None = None


_BODY = msgspec.json.Decoder(Body)


def read(self: Native, request: Request) -> Call:
    asked = _BODY.decode(request.body)
    classifier = self._catalogue.find(request.model, request.version)
    rows = Rows(np.array(asked.inputs, dtype=np.float32))
    return Call(classifier, rows, lambda logits: Answer(encode(classifier, logits, asked.id)))


def run(self: Classifier, jobs: Sequence[Job[Any, Any]]) -> Sequence[NDArray[np.floating]]:
    """The logits of each job."""
    logits = self.model.logits(Rows.join([job.payload.rows for job in jobs]))
    parts, start = [], 0
    for job in jobs:
        parts.append(logits[start : start + job.n_rows])
        start += job.n_rows
    return parts


def encode(classifier: Classifier, logits: Any, identity: str | None) -> bytes:
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    rows = (e / e.sum(axis=1, keepdims=True)).tolist()
    labels = classifier.labels
    predictions = [
        {
            "label": labels[row.index(max(row))],
            "confidence": max(row),
            "probabilities": dict(zip(labels, row, strict=True)),
            "padding": PADDING,
        }
        for row in rows
    ]
    answer = {"id": identity, "model": classifier.name, "version": classifier.version, "predictions": predictions}
    return orjson.dumps(answer)


def replace(owner: type, **ways: Any) -> None:
    for name, way in ways.items():
        assert hasattr(owner, name), f"{owner.__name__} has no {name} any more: this variant would change nothing."
        setattr(owner, name, way)


def nothing(*_: object, **__: object) -> None:
    pass


if __name__ == "__main__":
    replace(Native, read=read)
    replace(Classifier, _answer=run)
    replace(Monitor, predictions=nothing, readout=nothing, batch=nothing, request=nothing)
    replace(Watcher, start=nothing)
    app()
