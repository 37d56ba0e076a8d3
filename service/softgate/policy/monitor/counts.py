"""
What is counted about a model's answers, each batch in one go.

The arrays are views into a worker's row of the shared counts; what they mean for Prometheus is `web/metrics/`.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from hashlib import sha256
from threading import Lock
from typing import Any

import numpy as np

from softgate.numerics.histogram import Edges
from softgate.policy.monitor.axes import MEASURES, Axes
from softgate.policy.readout import Readout
from softgate.runtime.counts import Fields, Layout
from softgate.types import Action, Floats, Predictions, Reason

# 200 µs doubled up to 6.6 s: a small classifier answers at the low end, a queue in trouble shows at the high one.
SECONDS_EDGES: Edges = np.array([2e-4 * 2**power for power in range(16)])
BATCH_EDGES: Edges = np.array([4.0**power for power in range(5)])
STAGE_EDGES: Edges = SECONDS_EDGES[::2]
"""Of the parts of a request's time."""
HELD_EDGES: Edges = np.array([1.0, 2.0, 4.0, 8.0])

DETECTORS = ("confidence_falling", "confidence_rising", "out_of_scope_rising")

ENERGY = MEASURES.index("energy")


def fields(axes: Axes) -> Fields:
    """The counts of one model version."""
    stages = len(STAGE_EDGES) + 1
    return {
        "requests": 1,
        "rows": 1,
        "request_seconds": len(SECONDS_EDGES) + 1,
        "request_seconds_sum": 1,
        "failures": 1,
        "failures_seconds_sum": 1,
        "queue_rows": 1,
        "queue_seconds": stages,
        "queue_seconds_sum": 1,
        "graph_seconds": stages,
        "graph_seconds_sum": 1,
        "batch_rows": len(BATCH_EDGES) + 1,
        "batch_rows_sum": 1,
        "batch_at": 1,
        "decisions": len(Action) * len(Reason),
        "labels": len(axes.labels),
        "routes": len(axes.routes),
        "own_below": axes.own_thresholds.size,
        **{measure: len(axes.edges[measure]) + 1 for measure in MEASURES},
        "sums": len(MEASURES),
        "squares": len(MEASURES),
        "held_labels": len(axes.labels) if axes.multi_label else 0,
        "held": len(HELD_EDGES) + 1,
        "held_sum": 1,
        "acknowledged": len(DETECTORS),
    }


def meanings(axes: Axes) -> Mapping[str, str]:
    """What the cells of a field stand for, where their number does not tell."""
    labels, routes = _digest(axes.labels), _digest(axes.routes)
    edges = {measure: _digest(axes.edges[measure].tolist()) for measure in MEASURES}
    every = _digest(edges)
    return {
        "labels": labels,
        "held_labels": labels,
        "routes": routes,
        "own_below": _digest((routes, axes.own_thresholds.tolist(), axes.profiles)),
        **edges,
        "sums": every,
        "squares": every,
    }


def _digest(what: object) -> str:
    return sha256(repr(what).encode()).hexdigest()


class Monitor:
    """Adds to the counts of one model. `counts` holds the arrays that `fields` names."""

    def __init__(self, counts: Mapping[str, Floats], axes: Axes) -> None:
        self.counts = counts
        self.axes = axes
        # The one gauge among the counts: what a dead predecessor had queued is gone with it.
        counts["queue_rows"][0] = 0.0
        # Without numpy's cost per cell, which is what a single row is made of.
        self._cells: Mapping[str, Any] = {name: memoryview(cells) for name, cells in counts.items()}  # type: ignore[arg-type]
        self._edges = [axes.edges[measure].tolist() for measure in MEASURES]
        self._bins = [self._cells[measure] for measure in MEASURES]
        self._own = axes.own_thresholds
        self._own_rows = self._own.tolist() if self._own.size else []
        self._least_energy, self._most_energy = _reach(axes.edges["energy"])
        # Runs side by side count on threads of their own, and `+=` is no single step.
        self._lock = Lock()

    def request(self, *, rows: int, seconds: float) -> None:
        """One request was answered, from its first byte's arrival to its answer."""
        cells = self._cells
        cells["requests"][0] += 1
        cells["rows"][0] += rows
        cells["request_seconds"][bisect_left(_SECONDS, seconds)] += 1
        cells["request_seconds_sum"][0] += seconds

    def failure(self, *, seconds: float) -> None:
        """One request got no predictions, though there was nothing wrong with how it was written."""
        self._cells["failures"][0] += 1
        self._cells["failures_seconds_sum"][0] += seconds

    def batch(self, *, rows: int, graph_seconds: float, queue_seconds: Sequence[float], ended: float) -> None:
        """
        One run of the graph, input preparation included, and how long each of its requests had waited for it.

        `ended`: by a clock that all workers share.
        """
        with self._lock:
            cells = self._cells
            cells["batch_rows"][bisect_left(_BATCH, rows)] += 1
            cells["batch_rows_sum"][0] += rows
            cells["graph_seconds"][bisect_left(_STAGE, graph_seconds)] += 1
            cells["graph_seconds_sum"][0] += graph_seconds
            cells["batch_at"][0] = ended
            waits = cells["queue_seconds"]
            for seconds in queue_seconds:
                waits[bisect_left(_STAGE, seconds)] += 1
            cells["queue_seconds_sum"][0] += sum(queue_seconds)

    def predictions(self, predictions: Predictions) -> None:
        """Scores, labels and routes of the finite rows, decisions of all; of several labels, each that holds."""
        with self._lock:
            scores, decisions, counts = predictions.scores, predictions.decisions, self.counts
            pairs = decisions.action.astype(np.intp) * _N_REASONS + decisions.reason
            np.add.at(counts["decisions"], pairs, 1.0)
            finite = slice(None) if np.logical_and.reduce(scores.finite) else scores.finite
            np.add.at(counts["labels"], scores.label[finite], 1.0)
            np.add.at(counts["routes"], decisions.route[finite], 1.0)
            for place, values in enumerate(_measured(predictions)):
                if values is not None:
                    own, measure = values[finite], MEASURES[place]
                    if place == ENERGY:
                        own = own.clip(self._least_energy, self._most_energy)
                    np.add.at(counts[measure], np.searchsorted(self.axes.edges[measure], own), 1.0)
                    counts["sums"][place] += np.add.reduce(own)
                    counts["squares"][place] += np.vecdot(own, own)
            if decisions.held is not None:
                held = decisions.held
                counts["held_labels"] += held.sum(axis=0)
                n_held = held[scores.finite].sum(axis=1)
                counts["held"] += np.bincount(np.searchsorted(HELD_EDGES, n_held), minlength=len(counts["held"]))
                counts["held_sum"][0] += n_held.sum()
            if self._own.size:
                self._below_own(predictions)

    def readout(self, readout: Readout) -> None:
        """The same, row by row."""
        with self._lock:
            cells = self._cells
            measured = (readout.confidence, readout.route_confidence, readout.margin, readout.entropy, readout.energy)
            sums, squares, edges, bins = cells["sums"], cells["squares"], self._edges, self._bins
            for row, finite in enumerate(readout.finite):
                cells["decisions"][readout.action[row] * _N_REASONS + readout.reason[row]] += 1
                if not finite:
                    continue
                route = readout.route[row]
                cells["labels"][readout.label[row]] += 1
                cells["routes"][route] += 1
                for place, values in enumerate(measured):
                    if values is not None:
                        value = values[row]
                        if place == ENERGY:
                            value = min(max(value, self._least_energy), self._most_energy)
                        bins[place][bisect_left(edges[place], value)] += 1
                        sums[place] += value
                        squares[place] += value * value
                if readout.held is not None:
                    held = readout.held[row]
                    for label in held:
                        cells["held_labels"][label] += 1
                    cells["held"][bisect_left(_HELD, len(held))] += 1
                    cells["held_sum"][0] += len(held)
                for profile, own in enumerate(self._own_rows):
                    if readout.route_confidence[row] < own[route]:
                        self.counts["own_below"][profile * self._own.shape[1] + route] += 1

    def acknowledge(self, detector: str) -> None:
        """Somebody has seen the alarm; the watch takes note at its next step."""
        self.counts["acknowledged"][DETECTORS.index(detector)] += 1

    def _below_own(self, predictions: Predictions) -> None:
        """Rows below the threshold of their own route, by profile and route."""
        finite, decisions = predictions.scores.finite, predictions.decisions
        route = decisions.route[finite]
        profile, row = np.nonzero(decisions.confidence[finite] < self._own[:, route])
        np.add.at(self.counts["own_below"], profile * self._own.shape[1] + route[row], 1.0)


def apart(axes: Axes) -> Monitor:
    """A monitor whose counts nobody else sees."""
    layout = Layout({"model": fields(axes)})
    return Monitor(layout.view(np.zeros(layout.width), "model"), axes)


def _measured(predictions: Predictions) -> Sequence[Floats | None]:
    """In the order of MEASURES."""
    scores = predictions.scores
    return scores.confidence, predictions.decisions.confidence, scores.margin, scores.entropy, scores.energy


def _reach(edges: Edges) -> tuple[float, float]:
    """How far out an energy counts: one that a float just holds would be all that their sum tells, for good."""
    if not len(edges):
        return 0.0, 0.0
    low, high = float(edges[0]), float(edges[-1])
    reach = max(high - low, 1.0) * 10
    return low - reach, high + reach


_N_REASONS = len(Reason)
_SECONDS, _STAGE, _BATCH, _HELD = (edges.tolist() for edges in (SECONDS_EDGES, STAGE_EDGES, BATCH_EDGES, HELD_EDGES))
