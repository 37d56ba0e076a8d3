"""The alarm's detectors: what each bets on, and its state in shared memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softgate.numerics.alarm import N_BETS, falling, mean_upper_bound, rising, share_upper_bound
from softgate.numerics.histogram import CONFIDENCE_EDGES, coarsen
from softgate.policy.monitor.axes import Axes
from softgate.policy.monitor.counts import DETECTORS
from softgate.runtime.counts import shared
from softgate.runtime.repository import Bundle
from softgate.types import Action, Floats, Reason

FALLING, RISING, OUT_OF_SCOPE = DETECTORS
REJECTED = int(Action.ABSTAIN) * len(Reason) + int(Reason.OUT_OF_SCOPE)
BROKEN = int(Action.FALLBACK) * len(Reason) + int(Reason.NON_FINITE)
UNANSWERED = [int(Action.FALLBACK) * len(Reason) + int(why) for why in (Reason.OVERLOADED, Reason.MODEL_UNAVAILABLE)]

STATE = np.dtype(
    [
        ("evidence", np.float64, N_BETS),
        ("rows", np.float64),
        ("alarms", np.float64),
        ("alarm", np.float64),
        ("raised_at", np.float64),
        ("latest_at", np.float64),
        ("acknowledged", np.float64),
    ]
)
"""Of one detector: evidence and rows since it started, alarms so far, whether one is on, since when, the latest."""

State = NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Detector:
    name: str
    values: Floats
    """The x of each bin: what is bet to have become larger."""
    mean_bound: float
    """The mean of x is at most this, as long as traffic is like the reference."""
    reference_mean: float
    budget: float
    """Evidence that raises the alarm: it takes so many rows on average, if it is false."""

    def counts(self, view: Mapping[str, Floats], axes: Axes) -> NDArray[np.float64]:
        """Rows by bin, from the counts of a model."""
        if self.name == OUT_OF_SCOPE:
            decisions = view["decisions"]
            rejected = decisions[REJECTED]
            return np.array([n_answered(decisions) - decisions[BROKEN] - rejected, rejected])
        return coarsen(view["label_confidence"], axes.edges["label_confidence"], CONFIDENCE_EDGES)


def n_answered(decisions: Floats) -> float:
    """Rows that the graph has answered, of the counts of decisions; the others tell nothing of it."""
    return float(decisions.sum() - decisions[UNANSWERED].sum())


def detectors(bundle: Bundle) -> Sequence[Detector]:
    """
    Those that run for a model: none without a reference.

    Confidence may lie anywhere between that of all the reference's rows and that of its rows in scope: no alarm as long
    as the share of out-of-scope rows is between none and what the calibration saw.
    """
    calibration = bundle.calibration
    if calibration is None or calibration.reference is None:
        return []
    reference = calibration.reference
    whole = reference.histograms["label_confidence"]
    if not np.array_equal(whole.upper_edges, CONFIDENCE_EDGES):
        return []
    against: dict[str, tuple[Floats, NDArray[Any]]] = {FALLING: (falling(CONFIDENCE_EDGES), whole.counts)}
    if reference.in_scope_confidence is not None:
        against[RISING] = rising(CONFIDENCE_EDGES), reference.in_scope_confidence
    bounds = {name: mean_upper_bound(counts, values) for name, (values, counts) in against.items()}
    if calibration.gate is not None:
        rejected = reference.decided(Action.ABSTAIN, Reason.OUT_OF_SCOPE)
        against[OUT_OF_SCOPE] = (np.array([0.0, 1.0]), np.array([reference.rows - rejected, rejected]))
        bounds[OUT_OF_SCOPE] = share_upper_bound(rejected, reference.rows)
    budget = float(bundle.card.monitoring.alarm_every * len(against))
    return [
        Detector(name, values, bounds[name], float(counts @ values / counts.sum()), budget)
        for name, (values, counts) in against.items()
    ]


def states(n_detectors: int) -> State:
    """Shape (n_detectors,), of nothing seen, in memory that forked processes share."""
    cells = shared((max(1, n_detectors), STATE.itemsize // 8))
    found: State = cells.reshape(-1).view(STATE)[:n_detectors]
    return found
