"""
The watch: once a second it takes a snapshot of all counts and lets the detectors bet on what is new.

It runs in one process. An alarm stays on until somebody acknowledges it; meanwhile the detector has started again, so
that the number of alarms tells whether the change lasts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from softgate.numerics.alarm import N_BETS, is_alarm, step
from softgate.policy.monitor.board import Board, Watched
from softgate.policy.monitor.counts import DETECTORS
from softgate.policy.monitor.detectors import Detector
from softgate.runtime.repository import Bundle
from softgate.types import Floats

RAISED, ACKNOWLEDGED = "drift_alarm", "drift_acknowledged"

_SAVED = ("rows", "alarms", "alarm", "raised_at", "latest_at")
# Beyond it a float skips integers. Evidence comes nowhere near: it starts again at its budget.
_LARGEST = 2.0**53


@dataclass(frozen=True, slots=True)
class Event:
    name: str
    fields: Mapping[str, Any]


class Watch:
    def __init__(self, board: Board) -> None:
        self._board = board
        self._seen = board.counts.total()

    def follow(self, board: Board) -> None:
        """Go on with a board that follows ours."""
        seen = np.zeros(board.counts.layout.width)
        seen[: self._seen.size] = self._seen
        self._board, self._seen = board, seen

    def step(self, *, now: float, unix_time: float) -> Sequence[Event]:
        """`now` is a monotonic clock's. Returns what somebody should be told."""
        board = self._board
        total = board.counts.total()
        board.windows.record(total, now=now)
        # A sum of scores may leave the range of numbers; rows, which are bet on, do not.
        with np.errstate(invalid="ignore"):
            new = total - self._seen
        self._seen = total
        events: list[Event] = []
        for watched in board.watched.values():
            counted, added = board.view(total, watched), board.view(new, watched)
            for place in range(len(watched.detectors)):
                events += self._advance(watched, place, counted, added, unix_time)
        board.updated_at = unix_time
        return events

    def saved(self) -> Mapping[str, Any]:
        """What a restart needs, as JSON takes it: a few numbers per detector."""
        return {
            saved_as(watched.bundle): {
                "calibration": watched.calibration_id,
                "detectors": {
                    detector.name: {
                        "evidence": watched.states[place]["evidence"].tolist(),
                        **{key: float(watched.states[place][key]) for key in _SAVED},
                    }
                    for place, detector in enumerate(watched.detectors)
                },
            }
            for watched in self._board.watched.values()
            if watched.detectors
        }

    def restore(self, saved: Mapping[str, Any]) -> Sequence[str]:
        """Go on from what `saved` gave. Returns the models that start afresh, with the reason."""
        fresh = []
        for name, watched in self._board.watched.items():
            if not watched.detectors:
                continue
            reason = _restored(watched, saved.get(saved_as(watched.bundle)))
            if reason is not None:
                fresh.append(f"{name}: {reason}")
        return fresh

    def _advance(
        self,
        watched: Watched,
        place: int,
        counted: Mapping[str, Floats],
        added: Mapping[str, Floats],
        unix_time: float,
    ) -> Iterator[Event]:
        detector, state = watched.detectors[place], watched.states[place : place + 1]
        acknowledged = counted["acknowledged"][DETECTORS.index(detector.name)]
        if acknowledged > state["acknowledged"][0]:
            # Without an alarm there is nothing to take note of, and its evidence stays.
            if state["alarm"][0]:
                yield Event(ACKNOWLEDGED, _about(watched, detector, state))
                state["alarm"] = 0.0
                _start_again(state)
            # Last: whoever sent it waits for this.
            state["acknowledged"] = acknowledged
        counts = np.rint(detector.counts(added, watched.axes)).astype(np.intp)
        n_rows = counts.sum()
        if n_rows <= 0:
            return
        evidence = step(state["evidence"][0], counts, detector.values, mean_bound=detector.mean_bound)
        state["evidence"], state["rows"] = evidence, state["rows"] + n_rows
        if not is_alarm(evidence, budget=detector.budget):
            return
        state["alarms"] += 1
        state["latest_at"] = unix_time
        if not state["alarm"][0]:
            # The time first: a reader between the two sees an alarm later, not one without a time.
            state["raised_at"] = unix_time
            state["alarm"] = 1.0
            yield Event(RAISED, _about(watched, detector, state))
        _start_again(state)


def saved_as(bundle: Bundle) -> str:
    """What a model version is called where its detectors are saved."""
    return f"model/{bundle.name}/{bundle.version}"


def _start_again(state: Any) -> None:
    state["evidence"], state["rows"] = 0.0, 0.0


def _about(watched: Watched, detector: Detector, state: Any) -> Mapping[str, Any]:
    return {
        "model": watched.bundle.name,
        "version": watched.bundle.version,
        "calibration": watched.calibration_id,
        "detector": detector.name,
        "rows": int(state["rows"][0]),
        "evidence": float(state["evidence"][0].mean()),
        "budget": detector.budget,
        "alarms": int(state["alarms"][0]),
    }


def _restored(watched: Watched, saved: Any) -> str | None:
    """Why the saved state is of no use here; None: it is in force."""
    if saved is None:
        return "there is no saved state"
    try:
        if saved["calibration"] != watched.calibration_id:
            return "the saved state is of another calibration"
        found = [saved["detectors"][detector.name] for detector in watched.detectors]
        evidence = np.array([state["evidence"] for state in found], dtype=np.float64)
        others = np.array([[state[key] for key in _SAVED] for state in found], dtype=np.float64)
    except (KeyError, TypeError, ValueError, OverflowError):
        return "the saved state has another form"
    if evidence.shape != (len(found), N_BETS) or not _sane(evidence) or not _sane(others):
        return "the saved state has another form"
    watched.states["evidence"] = evidence
    for place, key in enumerate(_SAVED):
        watched.states[key] = others[:, place]
    return None


def _sane(numbers: Floats) -> bool:
    return bool(((numbers >= 0) & (numbers <= _LARGEST)).all())
