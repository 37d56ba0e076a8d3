"""What a drift report is made of. Frozen; the API answers it as it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Statistic:
    """A distance or a shift between the reference and a window."""

    value: float
    floor: float
    """What it, or its size, is on average if nothing has changed, at these sample sizes."""
    z: float | None
    """Of a shift: in standard errors."""
    p_value: float | None
    """Chance of as much if nothing has changed; null where it is not known."""
    significant: bool | None
    """Whether that chance is below 1 in 1000."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One score of the window's rows."""

    mean: float | None
    """Null, as the next: a score was beyond what a sum holds."""
    standard_deviation: float | None
    upper_edges: Sequence[float]
    counts: Sequence[int]
    """One more than there are edges: the last lies above them."""
    statistics: Mapping[str, Statistic]
    """Against the reference; empty where there is none."""


@dataclass(frozen=True, slots=True)
class Mix:
    """Labels or routes of the window's rows against those of the reference."""

    chi_squared: Statistic | None
    vanished: Sequence[str]
    exploded: Sequence[str]


@dataclass(frozen=True, slots=True)
class Mover:
    """A label whose share has changed."""

    label: str
    reference: float
    share: float
    z: float
    p_value: float
    """Chance of as large a change of any of the labels if nothing has changed."""
    significant: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """A plain rule: a mean or a share beside its bound."""

    rule: str
    value: float
    bound: float
    broken: bool


@dataclass(frozen=True, slots=True)
class Estimate:
    """Accuracy, estimated without labels."""

    value: float
    valid: bool
    why_not: str | None
    """What speaks against it."""


@dataclass(frozen=True, slots=True)
class Window:
    window: str
    seconds: float
    """That it spans: fewer than its name says where the server is younger."""
    rows: int
    """Of which finite ones are measured."""
    finite_rows: int
    decisions: Mapping[str, int]
    """By action and reason."""
    measures: Mapping[str, Measure]
    labels: Mix
    routes: Mix
    movers: Sequence[Mover]
    """The labels whose share has changed most, the least likely by chance first."""
    rules: Sequence[Rule]
    estimated_accuracy: Mapping[str, Estimate]


@dataclass(frozen=True, slots=True)
class DetectorState:
    detector: str
    alarm: bool
    """Raised, and not yet acknowledged."""
    raised_at: float | None
    """Unix time of the alarm that is on."""
    alarms: int
    """Raised so far: after each the detector starts again, so they go on while the change lasts."""
    evidence: float
    """As a share of what raises the alarm."""
    rows: int
    """Since it started."""
    budget: float
    """A false alarm comes at most once in so many rows, on average."""


@dataclass(frozen=True, slots=True)
class Told:
    """The reference in short."""

    rows: int
    mean_confidence: float
    standard_deviation: float
    upper_edges: Sequence[float]
    counts: Sequence[int]


@dataclass(frozen=True, slots=True)
class Report:
    model: str
    version: str
    calibration: str | None
    reference: Told | None
    """Null: there is nothing to compare with. Run softgate calibrate."""
    alarm: bool
    alarm_every: int
    """Rows per false alarm of all detectors together, on average, at least."""
    detectors: Sequence[DetectorState]
    windows: Sequence[Window]
    updated_at: float
    """Unix time of the monitor's last step."""
