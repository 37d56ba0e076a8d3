"""
What is counted about a model's answers, each in one vectorised addition per batch.

The arrays are views into a worker's row of the shared counts; what they mean for Prometheus is `web/metrics.py`.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from softgate.numerics.histogram import CONFIDENCE_EDGES, Edges, count_in_bins
from softgate.runtime.counts import Fields
from softgate.types import Action, Floats, Predictions, Reason

# 100 µs doubled up to 13 s: a small classifier answers at the low end, a queue in trouble shows at the high one.
SECONDS_EDGES: Edges = np.array([1e-4 * 2**power for power in range(18)])
BATCH_EDGES: Edges = np.array([2.0**power for power in range(11)])
HELD_EDGES: Edges = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0])


def fields(*, n_labels: int) -> Fields:
    """The counts of one model version."""
    seconds = len(SECONDS_EDGES) + 1
    return {
        "requests": 1,
        "rows": 1,
        "request_seconds": seconds,
        "request_seconds_sum": 1,
        "queue_rows": 1,
        "queue_seconds": seconds,
        "queue_seconds_sum": 1,
        "graph_seconds": seconds,
        "graph_seconds_sum": 1,
        "batch_rows": len(BATCH_EDGES) + 1,
        "batch_rows_sum": 1,
        "decisions": len(Action) * len(Reason),
        "labels": n_labels,
        "confidence": len(CONFIDENCE_EDGES) + 1,
        "confidence_sum": 1,
        "held": len(HELD_EDGES) + 1,
        "held_sum": 1,
    }


class Monitor:
    """Adds to the counts of one model. `counts` holds the arrays that `fields` names."""

    def __init__(self, counts: Mapping[str, Floats]) -> None:
        self.counts = counts
        # The one gauge among the counts: what a dead predecessor had queued is gone with it.
        counts["queue_rows"][0] = 0.0

    def request(self, *, rows: int, seconds: float) -> None:
        """One request was answered, from its first byte's arrival to its answer."""
        self.counts["requests"][0] += 1
        self.counts["rows"][0] += rows
        self._observe("request_seconds", seconds)

    def batch(self, *, rows: int, graph_seconds: float, queue_seconds: Sequence[float]) -> None:
        """One run of the graph, input preparation included, and how long each of its requests had waited for it."""
        counts = self.counts
        counts["batch_rows"][np.searchsorted(BATCH_EDGES, rows)] += 1
        counts["batch_rows_sum"][0] += rows
        self._observe("graph_seconds", graph_seconds)
        for seconds in queue_seconds:
            self._observe("queue_seconds", seconds)

    def predictions(self, predictions: Predictions) -> None:
        """Labels and confidence of the finite rows, decisions of all; of several labels, each that holds."""
        counts, scores, decisions = self.counts, predictions.scores, predictions.decisions
        pairs = decisions.action.astype(np.intp) * len(Reason) + decisions.reason
        counts["decisions"] += np.bincount(pairs, minlength=len(counts["decisions"]))
        label, confidence = scores.label, scores.confidence
        if not scores.finite.all():
            label, confidence = label[scores.finite], confidence[scores.finite]
        if decisions.held is None:
            counts["labels"] += np.bincount(label, minlength=len(counts["labels"]))
        else:
            counts["labels"] += decisions.held.sum(axis=0)
            held = decisions.held[scores.finite].sum(axis=1)
            counts["held"] += np.bincount(np.searchsorted(HELD_EDGES, held), minlength=len(counts["held"]))
            counts["held_sum"][0] += held.sum()
        counts["confidence"] += count_in_bins(confidence, CONFIDENCE_EDGES)
        counts["confidence_sum"][0] += confidence.sum()

    def _observe(self, histogram: str, seconds: float) -> None:
        self.counts[histogram][np.searchsorted(SECONDS_EDGES, seconds)] += 1
        self.counts[f"{histogram}_sum"][0] += seconds
