"""What a report is about: a calibration and its evidence, any part of which may be absent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from softgate.runtime.calibration import DEFAULT_PROFILE

Part = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Subject:
    model: str
    version: str
    calibration: str
    """How answers name it: 12 hex digits."""
    temperature: float | Sequence[float]
    """One for all classes, or one per label."""
    gate: float | None
    thresholds: Mapping[str, float]
    n_labels: int
    evidence: Part
    inputs: Mapping[int, str] = field(default_factory=dict)
    """What stands in the rows of the mistakes, by row: only where asked for."""

    def part(self, *path: str) -> Part:
        """A table of the evidence, empty where it is absent."""
        values: Any = self.evidence
        for name in path:
            values = (values or {}).get(name)
        return values or {}

    @property
    def multi_label(self) -> bool:
        """Whether several labels may hold at once: then a pair of a row and a label is what a probability is about."""
        return bool(self.part("data").get("multi_label"))

    @property
    def judged(self) -> str:
        """What a probability is right or wrong about."""
        return "pair" if self.multi_label else "row"

    @property
    def outcome(self) -> tuple[str, str]:
        """What a model tells apart, one and many."""
        return ("label", "labels") if self.multi_label else ("class", "classes")

    @property
    def promise(self) -> Part:
        """Of the default profile."""
        return self.part("promises", DEFAULT_PROFILE)

    @property
    def profiles(self) -> Sequence[str]:
        """Those with a threshold or a promise, the default first."""
        names = {*self.thresholds, *self.part("promises")}
        return sorted(names, key=lambda name: (name != DEFAULT_PROFILE, name))
