"""Over which edges and categories a model's rows are counted: fixed by card and calibration before the first row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from softgate.numerics.histogram import CONFIDENCE_EDGES, Edges
from softgate.policy.decision import Routing, routing
from softgate.runtime.reference import Reference
from softgate.runtime.repository import Bundle
from softgate.types import Floats

MEASURES = ("label_confidence", "route_confidence", "margin", "entropy", "energy")
"""The scores of a row, in the order of their sums."""

N_ENTROPY_BINS = 20


@dataclass(frozen=True, slots=True)
class Axes:
    edges: Mapping[str, Edges]
    """
    By measure, every edge that anybody asks for, so that each histogram is a sum of these bins.

    Energy has none where there is no reference for it, and is not counted.
    """
    labels: Sequence[str]
    routes: Sequence[str]
    multi_label: bool
    thresholds: Mapping[str, float]
    """By profile, the one for all routes; profiles without one are left out."""
    own_thresholds: Floats
    """Shape (n_profiles, n_routes) where routes have thresholds of their own, else (0, 0)."""
    profiles: Sequence[str]


def axes(bundle: Bundle) -> Axes:
    card, calibration = bundle.card, bundle.calibration
    laid_out = routing(card.routing, calibration, bundle.labels, multi_label=card.multi_label)
    fitted = {} if calibration is None else calibration.thresholds
    stated = card.routing.threshold
    thresholds = {name: stated if stated is not None else fitted.get(name) for name in laid_out.profiles}
    for_all = {name: value for name, value in thresholds.items() if value is not None}
    return Axes(
        edges=_edges(bundle, None if calibration is None else calibration.reference, list(for_all.values())),
        labels=bundle.labels,
        routes=laid_out.routes,
        multi_label=card.multi_label,
        thresholds=for_all,
        own_thresholds=_own(laid_out, multi_label=card.multi_label),
        profiles=list(laid_out.profiles),
    )


def below(threshold: float) -> float:
    """The edge at or below which lie just the numbers below the threshold."""
    return float(np.nextafter(threshold, -np.inf))


def _edges(bundle: Bundle, reference: Reference | None, thresholds: Sequence[float]) -> Mapping[str, Edges]:
    told = {} if reference is None else {name: held.upper_edges for name, held in reference.histograms.items()}
    nothing: Edges = np.empty(0)
    highest = float(np.log(max(2, len(bundle.labels))))
    every = {
        "label_confidence": (CONFIDENCE_EDGES, told.get("label_confidence_deciles", nothing)),
        "route_confidence": (CONFIDENCE_EDGES, np.array([below(threshold) for threshold in thresholds])),
        "margin": (CONFIDENCE_EDGES,),
        "entropy": (np.linspace(0.0, highest, N_ENTROPY_BINS + 1)[1:],),
        "energy": (),
    }
    return {name: np.unique(np.concatenate([*parts, told.get(name, nothing)])) for name, parts in every.items()}


def _own(laid_out: Routing, *, multi_label: bool) -> Floats:
    """Of labels that may hold together the thresholds are the labels' own, and below them there is no one route."""
    thresholds = laid_out.thresholds
    # A profile without any has NaN for all of them alike.
    alike = np.array_equal(thresholds, np.broadcast_to(thresholds[:, :1], thresholds.shape), equal_nan=True)
    return np.empty((0, 0)) if multi_label or alike else thresholds
