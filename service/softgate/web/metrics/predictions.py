"""Families of what the models answer: decisions, labels, routes, confidence."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from softgate.numerics.histogram import CONFIDENCE_EDGES, Counts, coarsen
from softgate.policy.monitor.axes import MEASURES
from softgate.policy.monitor.board import Watched
from softgate.policy.monitor.counts import HELD_EDGES
from softgate.policy.monitor.report import rows_below
from softgate.types import Action, Floats, Reason
from softgate.web.metrics.service import Scrape, names
from softgate.web.metrics.text import Family, Labels, Part, each, histogram, one

OTHER = "__other__"
# A series per label costs Prometheus memory for as long as it keeps the data.
MAX_NAMED = 1000

CONFIDENCE = MEASURES.index("label_confidence")

# The pairs that a decision can give, of a card that is not degraded; every one is exported from the start, at 0.
DECISIONS = (
    (Action.ROUTE, Reason.CONFIDENT),
    (Action.ROUTE, Reason.UNCALIBRATED),
    (Action.CLARIFY, Reason.AMBIGUOUS),
    (Action.ABSTAIN, Reason.OUT_OF_SCOPE),
    (Action.FALLBACK, Reason.BELOW_THRESHOLD),
    (Action.FALLBACK, Reason.NON_FINITE),
    (Action.FALLBACK, Reason.UNCALIBRATED),
    (Action.FALLBACK, Reason.NO_LABEL),
)
DEGRADED = ((Action.FALLBACK, Reason.OVERLOADED), (Action.FALLBACK, Reason.MODEL_UNAVAILABLE))


def families(watched: Sequence[Watched]) -> Sequence[Family[Scrape]]:
    several = [model for model in watched if model.axes.multi_label]
    own = [model for model in watched if model.axes.own_thresholds.size]
    thresholds, below = "softgate_threshold_ratio", "softgate_rows_below_threshold_total"
    return [
        Family(
            "softgate_model_info",
            "gauge",
            "The models served, with what they were verified by.",
            [
                one(
                    {**names(model), "sha256": model.bundle.model_sha256, "activation": model.bundle.card.activation},
                    lambda _: 1.0,
                )
                for model in watched
            ],
        ),
        Family(
            "softgate_temperature",
            "gauge",
            "What logits are divided by; 1 without a calibration.",
            [_temperatures(model) for model in watched],
        ),
        Family(
            thresholds,
            "gauge",
            "Least confidence at which a row is routed.",
            [
                each(names(model), "profile", model.axes.thresholds, _constant(list(model.axes.thresholds.values())))
                for model in watched
            ],
        ),
        Family(
            "softgate_decisions_total", "counter", "Decisions by action and reason.", list(map(_decisions, watched))
        ),
        Family("softgate_predicted_labels_total", "counter", "Predicted labels.", list(map(_labels, watched))),
        Family(
            "softgate_predicted_routes_total",
            "counter",
            "Most probable routes, whatever was decided.",
            list(map(_routes, watched)),
        ),
        Family(
            below,
            "counter",
            "Rows whose route confidence lies below the profile's threshold.",
            list(map(_below, watched)),
        ),
        Family(
            "softgate_route_rows_below_threshold_total",
            "counter",
            "Rows below the threshold of their own route.",
            [part for model in own for part in _below_own(model)],
        ),
        Family(
            "softgate_confidence_ratio",
            "histogram",
            "Probability of the most probable label.",
            list(map(_confidence, watched)),
        ),
        Family(
            "softgate_confidence_squares_total",
            "counter",
            "Squares of that probability: for its variance.",
            [one(names(model), _square(model)) for model in watched],
        ),
        Family("softgate_held_labels", "histogram", "Labels that hold, per row.", list(map(_held, several))),
    ]


def named(reference: Sequence[int] | Floats | Counts, n_labels: int) -> Sequence[int] | None:
    """Of too many labels, those with a series of their own, the commonest of the reference; None: all have one."""
    if n_labels <= MAX_NAMED:
        return None
    ranked = np.argsort(-np.asarray(reference), kind="stable") if len(reference) == n_labels else np.arange(n_labels)
    found: Sequence[int] = np.sort(ranked[: MAX_NAMED - 1]).tolist()
    return found


def per_name(
    labels: Labels, key: str, all_names: Sequence[str], kept: Sequence[int] | None, counts: Callable[[Scrape], Floats]
) -> Part[Scrape]:
    """A series for each name, or for those kept and one for all others."""
    if kept is None:
        return each(labels, key, all_names, counts)
    # A name may be anything printable, and a series must not come twice.
    places = [place for place in kept if all_names[place] != OTHER]

    def values(scrape: Scrape) -> Sequence[float]:
        found = counts(scrape)
        own = found[places]
        return [*own.tolist(), float(found.sum() - own.sum())]

    return each(labels, key, [*(all_names[place] for place in places), OTHER], values)


def constant_of(model: Watched, field: str) -> Sequence[int] | Floats:
    calibration = model.bundle.calibration
    if calibration is None or calibration.reference is None:
        return []
    found: Floats = getattr(calibration.reference, field)
    return found


def _constant(values: Sequence[float]) -> Callable[[Scrape], Sequence[float]]:
    return lambda _: values


def _temperatures(model: Watched) -> Part[Scrape]:
    """Of the model, or of each label where each has its own and a series."""
    calibration, labels = model.bundle.calibration, model.bundle.labels
    fitted = 1.0 if calibration is None else calibration.temperature
    if not isinstance(fitted, tuple):
        return one(names(model), lambda _: fitted)
    kept = named(constant_of(model, "labels"), len(labels))
    places = range(len(labels)) if kept is None else kept
    own = [fitted[place] for place in places]
    return each(names(model), "label", [labels[place] for place in places], _constant(own))


def _decisions(model: Watched) -> Part[Scrape]:
    name = model.bundle.name
    pairs = (*DECISIONS, *DEGRADED) if model.bundle.card.routing.degraded else DECISIONS
    cells = np.array([int(action) * len(Reason) + int(reason) for action, reason in pairs])
    series = [("", {**names(model), "action": action.word, "reason": reason.word}) for action, reason in pairs]
    return Part(series, lambda scrape: scrape.models[name]["decisions"][cells])


def _labels(model: Watched) -> Part[Scrape]:
    name, field = model.bundle.name, "held_labels" if model.axes.multi_label else "labels"
    kept = named(constant_of(model, "labels"), len(model.axes.labels))
    return per_name(names(model), "label", model.axes.labels, kept, lambda scrape: scrape.models[name][field])


def _routes(model: Watched) -> Part[Scrape]:
    name = model.bundle.name
    kept = named(constant_of(model, "routes"), len(model.axes.routes))
    return per_name(names(model), "route", model.axes.routes, kept, lambda scrape: scrape.models[name]["routes"])


def _below(model: Watched) -> Part[Scrape]:
    name = model.bundle.name
    return each(
        names(model), "profile", model.axes.thresholds, lambda scrape: rows_below(model, scrape.models[name]).values()
    )


def _below_own(model: Watched) -> Iterator[Part[Scrape]]:
    """One for each profile."""
    routes = model.axes.routes
    kept = named(constant_of(model, "routes"), len(routes))

    def counts(row: int) -> Callable[[Scrape], Floats]:
        part, name = slice(row * len(routes), (row + 1) * len(routes)), model.bundle.name
        return lambda scrape: scrape.models[name]["own_below"][part]

    for row, profile in enumerate(model.axes.profiles):
        yield per_name({**names(model), "profile": profile}, "route", routes, kept, counts(row))


def _confidence(model: Watched) -> Part[Scrape]:
    edges, name = model.axes.edges["label_confidence"], model.bundle.name
    return histogram(
        names(model),
        CONFIDENCE_EDGES,
        lambda scrape: coarsen(scrape.models[name]["label_confidence"], edges, CONFIDENCE_EDGES),
        lambda scrape: float(scrape.models[name]["sums"][CONFIDENCE]),
    )


def _square(model: Watched) -> Callable[[Scrape], float]:
    name = model.bundle.name
    return lambda scrape: float(scrape.models[name]["squares"][CONFIDENCE])


def _held(model: Watched) -> Part[Scrape]:
    def held(scrape: Scrape) -> Mapping[str, Floats]:
        return scrape.models[model.bundle.name]

    return histogram(
        names(model), HELD_EDGES, lambda scrape: held(scrape)["held"], lambda scrape: float(held(scrape)["held_sum"][0])
    )
