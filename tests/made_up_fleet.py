"""Rows that nobody sent, and the series that replicas would export had they answered them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from promtool import Series, series
from softgate.numerics.histogram import CONFIDENCE_EDGES, count_in_bins

MODEL = {"model": "tickets", "version": "3", "calibration": "0123456789ab"}
ROUTES = ("banking", "cards", "human", "weather")
REASONS = (
    ("route", "confident"),
    ("clarify", "ambiguous"),
    ("fallback", "below_threshold"),
    ("fallback", "non_finite"),
)
MINUTES = 60
Values = NDArray[np.float64]


class Rows(NamedTuple):
    confidence: Values
    route: NDArray[np.intp]
    below: NDArray[np.bool_]
    decision: NDArray[np.intp]

    def only(self, chosen: Any) -> "Rows":
        return Rows(self.confidence[chosen], self.route[chosen], self.below[chosen], self.decision[chosen])


def rows(n: int, *, a: float, b: float, routes: Sequence[float], seed: int) -> Rows:
    random = np.random.default_rng(seed)
    confidence = random.beta(a, b, n)
    decision = random.choice(len(REASONS), n, p=[0.6, 0.15, 0.2, 0.05])
    return Rows(confidence, random.choice(len(routes), n, p=routes), confidence < 0.7, decision)


REFERENCE = rows(3000, a=9, b=1.5, routes=[0.5, 0.3, 0.2, 0.0], seed=1)
LIVE = rows(2400, a=5, b=2, routes=[0.3, 0.3, 0.2, 0.2], seed=2)
DECILES = np.append(np.quantile(REFERENCE.confidence, np.arange(1, 10) / 10), 1.0)


def counters(of: Rows) -> Mapping[str, float]:
    """What a server has counted after these rows, by series without its instance."""
    buckets = np.cumsum(count_in_bins(of.confidence, CONFIDENCE_EDGES))
    bounds = [*map(repr, CONFIDENCE_EDGES.tolist()), "+Inf"]
    found: dict[str, float] = {
        series("softgate_confidence_ratio_count", **MODEL): float(len(of.confidence)),
        series("softgate_confidence_ratio_sum", **MODEL): float(of.confidence.sum()),
        series("softgate_confidence_squares_total", **MODEL): float(of.confidence @ of.confidence),
        series("softgate_rows_below_threshold_total", **MODEL, profile="default"): float(of.below.sum()),
    }
    for le, count in zip(bounds, buckets.tolist(), strict=True):
        found[series("softgate_confidence_ratio_bucket", **MODEL, le=le)] = float(count)
    for edge, count in zip(DECILES.tolist(), count_in_bins(of.confidence, DECILES).tolist(), strict=False):
        found[series("softgate_confidence_bin_predictions_total", **MODEL, bin=f"{edge:g}")] = float(count)
    for route, count in zip(ROUTES, np.bincount(of.route, minlength=len(ROUTES)).tolist(), strict=True):
        found[series("softgate_predicted_routes_total", **MODEL, route=route)] = float(count)
    for (action, reason), count in zip(REASONS, np.bincount(of.decision, minlength=4).tolist(), strict=True):
        found[series("softgate_decisions_total", **MODEL, action=action, reason=reason)] = float(count)
    return found


def gauges(of: Rows) -> Mapping[str, float]:
    """What every server says of the reference."""
    counted, m = counters(of), len(of.confidence)
    found = {
        series("softgate_reference_confidence_ratio_count", **MODEL): float(m),
        series("softgate_reference_confidence_ratio_sum", **MODEL): float(of.confidence.sum()),
        series("softgate_reference_confidence_deviation_ratio", **MODEL): float(of.confidence.std()),
    }
    for name, value in counted.items():
        if name.startswith("softgate_confidence_ratio_bucket"):
            found[name.replace("softgate_", "softgate_reference_")] = value
        if name.startswith("softgate_confidence_bin"):
            renamed = name.replace("softgate_confidence_bin_predictions_total", "softgate_confidence_reference_ratio")
            found[renamed] = (value + 0.5) / (m + 0.5 * len(DECILES))
        if name.startswith("softgate_predicted_routes"):
            renamed = name.replace("softgate_predicted_routes_total", "softgate_route_reference_ratio")
            found[renamed] = (value + 0.5) / (m + 0.5 * len(ROUTES))
    return found


def fleet(live: Rows, *, replicas: int, restart_at: int | None = None) -> Series:
    """
    Two minutes of silence, then rows in turn to each replica.

    The first replica restarts right after a scrape, and the next finds its counters at 0: one that has already caught
    up with what it had before would not be known for a restart.
    """
    n = len(live.confidence)
    minute = np.sort(np.random.default_rng(3).integers(2, MINUTES + 1, n))
    if restart_at is not None:
        minute[minute == restart_at + 1] += 1
    given: dict[str, str] = {}
    for replica in range(replicas):
        own = np.arange(n) % replicas == replica
        steps = []
        for now in range(MINUTES + 1):
            since = restart_at if replica == 0 and restart_at is not None and now > restart_at else -1
            seen = own & (minute <= now) & (minute > since)
            steps.append(counters(live.only(seen)))
        for name in steps[0]:
            given[at(name, replica)] = " ".join(repr(step[name]) for step in steps)
        given |= {at(name, replica): f"{value!r}x{MINUTES}" for name, value in gauges(REFERENCE).items()}
    return given


def at(name: str, replica: int) -> str:
    return f'{name[:-1]}, instance="{replica}", job="softgate"}}'
