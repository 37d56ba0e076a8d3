"""A board, its watch and the workers' monitors in one process, and a clock that the test sets."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphs import LABELS, flat, write_model
from references import write_referenced
from softgate.policy.catalogue import section
from softgate.policy.classifier import Classifier
from softgate.policy.monitor.axes import axes
from softgate.policy.monitor.board import Board, Watched
from softgate.policy.monitor.counts import Monitor, apart
from softgate.policy.monitor.report import report
from softgate.policy.monitor.told import Report, Window
from softgate.policy.monitor.watch import Event, Watch
from softgate.runtime.counts import Counts
from softgate.runtime.repository import Bundle, Model
from softgate.types import Predictions
from softgate.web.metrics.exposition import Exposition
from softgate.web.metrics.layout import layout

Logits = NDArray[np.floating]
UNIX_TIME = 1.7e9
"""Of the clock's 0."""


def logits(n_rows: int, *, scale: float = 4.0, seed: int = 0, n_labels: int = len(LABELS)) -> Logits:
    """The larger the scale, the higher the confidence."""
    return np.random.default_rng(seed).normal(scale=scale, size=(n_rows, n_labels))


def referenced(
    folder: Path,
    rows: Logits,
    *,
    truth: NDArray[Any] | None = None,
    card: str = "",
    name: str = "toy",
    activation: str = "softmax",
    labels: Sequence[str] = LABELS,
    routing: str = "",
    **parts: Any,
) -> Bundle:
    """A model that answers float64 as it is asked, with the reference of these rows; `card`: more tables of its."""
    graph = flat(np.float64, "batch", len(labels), gives=len(labels))
    write_model(folder, graph, name=name, activation=activation, labels=labels, routing=routing)
    with (folder / "classifier.toml").open("a") as file:
        file.write(card)
    return write_referenced(folder, rows, truth, **parts)


class Fleet:
    """The workers of one server."""

    def __init__(self, *bundles: Bundle, workers: int = 1) -> None:
        self.counts = Counts(layout(bundles), n_rows=workers + 1)
        self.board = Board(bundles, self.counts, now=0.0)
        self.watch = Watch(self.board)
        self.now = 0.0
        self._deciders = {bundle.name: decider(bundle) for bundle in bundles}

    def watched(self, model: str = "toy") -> Watched:
        return self.board.watched[model]

    def monitor(self, model: str = "toy", *, worker: int = 0) -> Monitor:
        watched = self.watched(model)
        return Monitor(self.counts.layout.view(self.counts.row(worker), section(watched.bundle)), watched.axes)

    def answer(self, rows: Logits, model: str = "toy", *, worker: int = 0) -> Predictions:
        """Rows of these logits are decided and counted."""
        predictions = self._deciders[model].replay(rows)
        self.monitor(model, worker=worker).predictions(predictions)
        return predictions

    def acknowledge(self, detector: str, *, worker: int = 0) -> None:
        self.monitor(worker=worker).acknowledge(detector)

    def step(self, seconds: float = 1.0) -> Sequence[Event]:
        self.now += seconds
        return self.watch.step(now=self.now, unix_time=UNIX_TIME + self.now)

    def report(self, model: str = "toy") -> Report:
        return report(self.board, model, now=self.now)

    def window(self, name: str = "1h", model: str = "toy") -> Window:
        return next(window for window in self.report(model).windows if window.window == name)

    def alarms(self) -> dict[str, bool]:
        return {state.detector: state.alarm for state in self.report().detectors}

    def scrape(self) -> str:
        return Exposition(self.board, lambda: self.now).render().decode()


def decider(bundle: Bundle) -> Classifier:
    """Decides rows of given logits; what it counts nobody sees."""
    model = Model(bundle, threads=1)
    return Classifier(model, apart(axes(bundle)), clock=time.monotonic, max_rows=10**9)
