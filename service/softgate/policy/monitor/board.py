"""What the watch keeps and every worker reads: windows of counts and the detectors' states, in shared memory."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from types import MappingProxyType

from softgate.policy.catalogue import Unloaded, section
from softgate.policy.monitor.axes import Axes, axes
from softgate.policy.monitor.detectors import Detector, State, detectors, states
from softgate.policy.monitor.windows import Windows
from softgate.runtime.counts import Counts, shared
from softgate.runtime.reference import Reference
from softgate.runtime.repository import Bundle
from softgate.types import Floats


@dataclass(frozen=True, slots=True)
class Watched:
    """One model version under watch."""

    bundle: Bundle
    section: str
    axes: Axes
    detectors: Sequence[Detector]
    states: State
    """One for each detector."""

    @property
    def reference(self) -> Reference | None:
        calibration = self.bundle.calibration
        return None if calibration is None else calibration.reference

    @property
    def calibration_id(self) -> str | None:
        calibration = self.bundle.calibration
        return None if calibration is None else calibration.id


class Board:
    """Made before the workers are forked; the watch alone writes."""

    def __init__(self, bundles: Sequence[Bundle], counts: Counts, *, now: float) -> None:
        self.bundles = bundles
        self.counts = counts
        self.windows = Windows(counts.room, now=now)
        self.watched: Mapping[str, Watched] = {bundle.name: watched(bundle) for bundle in bundles}
        """By model."""
        self.unloaded: Mapping[str, Unloaded] = {}
        """By name."""
        self._states = {_key(model): model.states for model in self.watched.values()}
        """Of all detectors there ever were: what comes back finds its own, so that no count of alarms goes back."""
        self._cells = shared((2,))

    def following(
        self, bundles: Sequence[Bundle], counts: Counts, *, unloaded: Mapping[str, Unloaded] = MappingProxyType({})
    ) -> "Board":
        """Of other bundles, over the same windows; detectors of a calibration that was there go on where they were."""
        following = copy(self)
        following.bundles, following.counts, following.unloaded = bundles, counts, unloaded
        fresh = [watched(bundle) for bundle in bundles]
        following.watched = {
            model.bundle.name: replace(model, states=self._states.get(_key(model), model.states)) for model in fresh
        }
        following._states = self._states | {_key(model): model.states for model in following.watched.values()}
        return following

    @property
    def updated_at(self) -> float:
        """Unix time of the last step."""
        return float(self._cells[0])

    @updated_at.setter
    def updated_at(self, unix_time: float) -> None:
        self._cells[0] = unix_time

    @property
    def write_failures(self) -> float:
        """How often the state could not be saved."""
        return float(self._cells[1])

    def count_write_failure(self) -> None:
        self._cells[1] += 1

    def view(self, total: Floats, watched: Watched) -> Mapping[str, Floats]:
        """The counts of one model, of a row or a window of all counts."""
        return self.counts.layout.view(total, watched.section)


def _key(watched: Watched) -> object:
    """What the states of its detectors are of."""
    return watched.section, *((detector.name, detector.budget) for detector in watched.detectors)


def watched(bundle: Bundle) -> Watched:
    """With detectors that have seen nothing."""
    own = detectors(bundle)
    return Watched(bundle, section(bundle), axes(bundle), own, states(len(own)))
