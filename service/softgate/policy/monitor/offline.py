"""The monitor over rows at hand: what would have alarmed, and when."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softgate.numerics.alarm import walk
from softgate.numerics.histogram import CONFIDENCE_EDGES
from softgate.policy.monitor.board import watched
from softgate.policy.monitor.counts import apart
from softgate.policy.monitor.detectors import BROKEN, OUT_OF_SCOPE, REJECTED, Detector
from softgate.policy.monitor.report import describe, window
from softgate.policy.monitor.told import Report
from softgate.runtime.repository import Bundle
from softgate.types import Predictions, Reason

WINDOW = "all"


@dataclass(frozen=True, slots=True)
class Raised:
    """An alarm of one detector, after which it started again."""

    detector: str
    row: int
    """Counted from 1."""
    since: int
    """Rows that the detector had seen since it started."""


class Offline:
    """Looks after every row, so it alarms no later than a server does, which looks once a second."""

    def __init__(self, bundle: Bundle) -> None:
        self.raised: list[Raised] = []
        self._watched = watched(bundle)
        self._monitor = apart(self._watched.axes)
        self._rows = 0
        self._started = [0] * len(self._watched.detectors)
        """Row after which each detector started."""

    def add(self, predictions: Predictions) -> None:
        """The next rows, in the order in which they came."""
        self._monitor.predictions(predictions)
        found: list[Raised] = []
        for place in range(len(self._watched.detectors)):
            found += self._advance(place, predictions)
        self.raised += sorted(found, key=lambda raised: raised.row)
        self._rows += len(predictions)

    def report(self) -> Report:
        """All rows as one window, and how the detectors stand at the end."""
        all_rows = window(self._watched, self._monitor.counts, name=WINDOW, seconds=0.0, since=0.0)
        return describe(self._watched, [all_rows], updated_at=0.0)

    def _advance(self, place: int, predictions: Predictions) -> Sequence[Raised]:
        detector, state = self._watched.detectors[place], self._watched.states[place : place + 1]
        rows, bins = _seen(detector, predictions)
        walked = walk(
            state["evidence"][0], bins, detector.values, mean_bound=detector.mean_bound, budget=detector.budget
        )
        found = []
        for alarm in walked.alarms:
            row = self._rows + int(rows[alarm]) + 1
            found.append(Raised(detector.name, row, row - self._started[place]))
            self._started[place] = row
        seen = len(rows) - (walked.alarms[-1] + 1 if walked.alarms else -int(state["rows"][0]))
        state["evidence"], state["rows"] = walked.evidence, seen
        state["alarms"] += len(walked.alarms)
        state["alarm"] = float(state["alarms"][0] > 0)
        return found


def _seen(detector: Detector, predictions: Predictions) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows that the detector bets on, and the bin of each."""
    if detector.name == OUT_OF_SCOPE:
        decisions = predictions.decisions
        pairs = decisions.action.astype(np.intp) * len(Reason) + decisions.reason
        rows = np.flatnonzero(pairs != BROKEN)
        return rows, (pairs[rows] == REJECTED).astype(np.intp)
    rows = np.flatnonzero(predictions.scores.finite)
    return rows, np.searchsorted(CONFIDENCE_EDGES, predictions.scores.confidence[rows])
