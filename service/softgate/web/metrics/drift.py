"""Families of drift: the reference, live traffic over its bins, the alarm, the plain rules, estimated accuracy."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from softgate.numerics.categories import exploded, smoothed_shares, vanished
from softgate.numerics.histogram import Edges, coarsen
from softgate.policy.monitor.board import Watched
from softgate.policy.monitor.estimate import estimators
from softgate.policy.monitor.report import DECILES, rule_bounds
from softgate.policy.monitor.told import DetectorState
from softgate.runtime.reference import Reference
from softgate.types import Floats
from softgate.web.metrics.predictions import named, per_name
from softgate.web.metrics.service import Scrape, names
from softgate.web.metrics.text import Family, Kind, Part, each, histogram, one

Referenced = tuple[Watched, Reference]


def families(watched: Sequence[Watched]) -> Sequence[Family[Scrape]]:
    """Models without a calibration have but the bounds of the plain rules."""
    known = [(model, reference) for model in watched if (reference := model.reference) is not None]
    return [
        _family(
            "softgate_reference_confidence_ratio",
            "histogram",
            "Confidence of the calibration's rows.",
            known,
            _reference_confidence,
        ),
        _family("softgate_reference_confidence_deviation_ratio", "gauge", "Its standard deviation.", known, _deviation),
        _family(
            "softgate_confidence_reference_ratio",
            "gauge",
            "Share of each bin among the calibration's rows.",
            known,
            _reference_bins,
        ),
        _family(
            "softgate_confidence_bin_predictions_total",
            "counter",
            "Rows by confidence, over the reference's bins.",
            known,
            _bins,
        ),
        _family(
            "softgate_route_reference_ratio",
            "gauge",
            "Share of each route among the calibration's rows.",
            known,
            _reference_routes,
        ),
        Family("softgate_rule_bound_ratio", "gauge", "Bound of a plain rule.", list(map(_bounds, watched))),
        _family(
            "softgate_drifted_labels", "gauge", "Labels that vanished or exploded over the last hour.", known, _drifted
        ),
        Family(
            "softgate_drift_alarm",
            "gauge",
            "1 from an alarm until it is acknowledged.",
            [_detectors(model, lambda state: float(state.alarm)) for model in watched],
        ),
        Family(
            "softgate_drift_alarms_total",
            "counter",
            "Alarms raised; after each the detector starts again.",
            [_detectors(model, lambda state: float(state.alarms)) for model in watched],
        ),
        Family(
            "softgate_drift_evidence_ratio",
            "gauge",
            "Evidence as a share of what raises the alarm.",
            [_detectors(model, lambda state: state.evidence) for model in watched],
        ),
        Family(
            "softgate_estimated_accuracy_ratio",
            "gauge",
            "Accuracy over the last hour, estimated without labels.",
            [_estimates(model, valid=False) for model in watched],
        ),
        Family(
            "softgate_estimated_accuracy_valid",
            "gauge",
            "0 while something speaks against the estimate.",
            [_estimates(model, valid=True) for model in watched],
        ),
    ]


def _family(
    name: str, kind: Kind, text: str, known: Sequence[Referenced], part: Callable[[Watched, Reference], Part[Scrape]]
) -> Family[Scrape]:
    return Family(name, kind, text, [part(model, reference) for model, reference in known])


def _reference_confidence(model: Watched, reference: Reference) -> Part[Scrape]:
    held = reference.histograms["label_confidence"]
    counts, total = held.counts.astype(np.float64), held.mean * float(held.counts.sum())
    return histogram(names(model), held.upper_edges, lambda _: counts, lambda _: total)


def _deviation(model: Watched, reference: Reference) -> Part[Scrape]:
    value = reference.histograms["label_confidence"].standard_deviation
    return one(names(model), lambda _: value)


def _reference_bins(model: Watched, reference: Reference) -> Part[Scrape]:
    held = reference.histograms.get(DECILES)
    if held is None:
        return Part([], lambda _: ())
    shares = smoothed_shares(held.counts)
    return each(names(model), "bin", bin_names(held.upper_edges), lambda _: shares)


def _bins(model: Watched, reference: Reference) -> Part[Scrape]:
    held = reference.histograms.get(DECILES)
    if held is None:
        return Part([], lambda _: ())
    name, fine, coarse = model.bundle.name, model.axes.edges["label_confidence"], held.upper_edges
    return each(
        names(model),
        "bin",
        bin_names(coarse),
        lambda scrape: coarsen(scrape.models[name]["label_confidence"], fine, coarse),
    )


def bin_names(edges: Edges) -> Sequence[str]:
    """Upper edges, with as many digits as tell them apart; that of the last bin is 1."""
    bounds = edges.tolist()
    for digits in range(4, 17):
        short = [f"{bound:.{digits}g}" for bound in bounds] + ["1"]
        if len(set(short)) == len(short):
            return short
    return [*map(repr, bounds), "1+"]


def _reference_routes(model: Watched, reference: Reference) -> Part[Scrape]:
    if len(reference.routes) != len(model.axes.routes):
        return Part([], lambda _: ())
    shares: Floats = smoothed_shares(reference.routes)
    kept = named(reference.routes, len(model.axes.routes))
    return per_name(names(model), "route", model.axes.routes, kept, lambda _: shares)


def _bounds(model: Watched) -> Part[Scrape]:
    bounds = rule_bounds(model)
    return each(names(model), "rule", bounds, lambda _: bounds.values())


def _drifted(model: Watched, reference: Reference) -> Part[Scrape]:
    name, known = model.bundle.name, reference.labels

    def values(scrape: Scrape) -> Sequence[float]:
        counts = scrape.hour[name]["labels"]
        if len(known) != len(counts):
            return 0.0, 0.0
        return float(vanished(known, counts).sum()), float(exploded(known, counts).sum())

    return each(names(model), "kind", ("vanished", "exploded"), values)


def _detectors(model: Watched, value: Callable[[DetectorState], float]) -> Part[Scrape]:
    return each(
        names(model),
        "detector",
        [detector.name for detector in model.detectors],
        lambda scrape: map(value, scrape.detectors[model.bundle.name]),
    )


def _estimates(model: Watched, *, valid: bool) -> Part[Scrape]:
    own, name = estimators(model), model.bundle.name

    def values(scrape: Scrape) -> Sequence[float]:
        found = scrape.estimates[name]
        return [float(found[one].valid if valid else found[one].value) if one in found else missing for one in own]

    missing = 0.0 if valid else math.nan
    return each(names(model), "estimator", own, values)
