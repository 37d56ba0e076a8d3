"""
Counts → Prometheus: one collector, which adds the workers' rows up when it is scraped.

Label values come only from loaded models and from lists that the code knows; nothing a client sends becomes one.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from softgate import __version__
from softgate.numerics.histogram import CONFIDENCE_EDGES, Edges
from softgate.policy.catalogue import section
from softgate.policy.monitor import BATCH_EDGES, HELD_EDGES, SECONDS_EDGES, fields
from softgate.runtime.counts import Counts, Fields, Layout
from softgate.runtime.repository import Bundle
from softgate.types import Action, Floats, Reason
from softgate.web import errors

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
WEB = "web"
STATUSES = (200, 307, 400, 404, 405, 413, 415, 429, 499, 500, 503)
OTHER = "other"
# The pairs that a decision can give; every one is exported from the start, at 0.
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


def layout(bundles: Sequence[Bundle]) -> Layout:
    """Where every count of these models, and of the web floor, stands in a worker's row."""
    return Layout({WEB: _web_fields(), **{section(bundle): fields(n_labels=len(bundle.labels)) for bundle in bundles}})


class WebCounts:
    """What is counted of HTTP itself. `counts` holds the arrays of the section WEB."""

    def __init__(self, counts: Mapping[str, Floats]) -> None:
        self._counts = counts
        self._status = {status: index for index, status in enumerate(STATUSES)}
        self._code = {code: index for index, code in enumerate(errors.codes())}
        self.dropped_log_lines = counts["dropped_log_lines"]

    def response(self, status: int) -> None:
        self._counts["responses"][self._status.get(status, len(STATUSES))] += 1

    def error(self, code: str) -> None:
        self._counts["errors"][self._code[code]] += 1

    def worker_started(self) -> None:
        self._counts["worker_starts"][0] += 1
        self._counts["ready"][0] = 0

    def ready(self) -> None:
        """All models of this worker are loaded."""
        self._counts["ready"][0] = 1

    @property
    def is_ready(self) -> bool:
        return bool(self._counts["ready"][0])


def web_counts(counts: Counts, *, worker: int) -> WebCounts:
    """A worker's own."""
    return WebCounts(counts.layout.view(counts.row(worker), WEB))


class Exposition:
    """The text that /metrics answers."""

    def __init__(self, bundles: Sequence[Bundle], counts: Counts) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Collector(bundles, counts))

    def render(self) -> bytes:
        """Takes milliseconds with thousands of series: not for the event loop."""
        return generate_latest(self._registry)


class _Collector(Collector):
    def __init__(self, bundles: Sequence[Bundle], counts: Counts) -> None:
        self._bundles = bundles
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        total = self._counts.total()
        yield from _web(self._counts.layout.view(total, WEB))
        views = [(bundle, self._counts.layout.view(total, section(bundle))) for bundle in self._bundles]
        yield from _models(self._bundles)
        for family in (_traffic, _queue, _batches, _answers):
            yield from family(views)


Views = Sequence[tuple[Bundle, Mapping[str, Floats]]]
MODEL = ("model", "version")


def _web_fields() -> Fields:
    return {
        "responses": len(STATUSES) + 1,
        "errors": len(errors.codes()),
        "worker_starts": 1,
        "ready": 1,
        "dropped_log_lines": 1,
    }


def _web(counts: Mapping[str, Floats]) -> Iterator[Metric]:
    build = InfoMetricFamily("softgate_build", "The version of softgate that answers.")
    build.add_metric([], {"version": __version__})
    yield build
    responses = CounterMetricFamily("softgate_http_responses", "Answers by HTTP status.", labels=["status"])
    for status, count in zip([*map(str, STATUSES), OTHER], counts["responses"].tolist(), strict=True):
        responses.add_metric([status], count)
    yield responses
    refused = CounterMetricFamily("softgate_errors", "Requests that ended in an error, by its code.", labels=["code"])
    for code, count in zip(errors.codes(), counts["errors"].tolist(), strict=True):
        refused.add_metric([code], count)
    yield refused
    yield CounterMetricFamily(
        "softgate_worker_starts", "Workers started, replacements of dead ones included.", counts["worker_starts"][0]
    )
    yield CounterMetricFamily(
        "softgate_dropped_log_lines", "Log lines that no reader took in time.", counts["dropped_log_lines"][0]
    )


def _models(bundles: Sequence[Bundle]) -> Iterator[Metric]:
    labels = [*MODEL, "sha256", "calibration", "activation"]
    info = GaugeMetricFamily(
        "softgate_model_info", "The models served, with what they were verified by.", labels=labels
    )
    temperature = GaugeMetricFamily(
        "softgate_temperature", "What logits are divided by; 1 without a calibration.", labels=MODEL
    )
    for bundle in bundles:
        calibration = bundle.calibration
        identity = "" if calibration is None else calibration.id
        info.add_metric([*_names(bundle), bundle.model_sha256, identity, bundle.card.activation], 1)
        for names, value in _temperatures(bundle):
            temperature.add_sample(temperature.name, names, value)
    yield info
    yield temperature


def _temperatures(bundle: Bundle) -> Iterator[tuple[dict[str, str], float]]:
    """Of the model, or of each label where each has its own."""
    names = dict(zip(MODEL, _names(bundle), strict=True))
    fitted = 1.0 if bundle.calibration is None else bundle.calibration.temperature
    if not isinstance(fitted, tuple):
        yield names, fitted
        return
    for label, value in zip(bundle.labels, fitted, strict=True):
        yield {**names, "label": label}, value


def _traffic(views: Views) -> Iterator[Metric]:
    requests = CounterMetricFamily("softgate_requests", "Prediction requests answered.", labels=MODEL)
    rows = CounterMetricFamily("softgate_rows", "Rows answered.", labels=MODEL)
    for bundle, counts in views:
        requests.add_metric(_names(bundle), counts["requests"][0])
        rows.add_metric(_names(bundle), counts["rows"][0])
    yield requests
    yield rows
    yield _histogram(
        views,
        "request_seconds",
        SECONDS_EDGES,
        "softgate_request_duration_seconds",
        "Time from a request to its answer.",
    )


def _queue(views: Views) -> Iterator[Metric]:
    depth = GaugeMetricFamily("softgate_queue_rows", "Rows that wait for the graph.", labels=MODEL)
    for bundle, counts in views:
        depth.add_metric(_names(bundle), counts["queue_rows"][0])
    yield depth
    yield _histogram(
        views, "queue_seconds", SECONDS_EDGES, "softgate_queue_duration_seconds", "Time a request waited for the graph."
    )


def _batches(views: Views) -> Iterator[Metric]:
    yield _histogram(
        views,
        "graph_seconds",
        SECONDS_EDGES,
        "softgate_graph_duration_seconds",
        "Time of one run: inputs prepared, graph run.",
    )
    yield _histogram(views, "batch_rows", BATCH_EDGES, "softgate_batch_rows", "Rows that shared one run of the graph.")


def _answers(views: Views) -> Iterator[Metric]:
    decisions = CounterMetricFamily(
        "softgate_decisions", "Decisions by action and reason.", labels=[*MODEL, "action", "reason"]
    )
    predicted = CounterMetricFamily("softgate_predicted_labels", "Predicted labels.", labels=[*MODEL, "label"])
    for bundle, counts in views:
        table = counts["decisions"].reshape(len(Action), len(Reason))
        for action, reason in DECISIONS:
            decisions.add_metric([*_names(bundle), action.word, reason.word], table[action, reason])
        for label, count in zip(bundle.labels, counts["labels"].tolist(), strict=True):
            predicted.add_metric([*_names(bundle), label], count)
    yield decisions
    yield predicted
    yield _histogram(
        views, "confidence", CONFIDENCE_EDGES, "softgate_confidence_ratio", "Probability of the most probable label."
    )
    several = [(bundle, counts) for bundle, counts in views if bundle.card.multi_label]
    yield _histogram(several, "held", HELD_EDGES, "softgate_held_labels", "Labels that hold, per row.")


def _histogram(views: Views, field: str, edges: Edges, name: str, documentation: str) -> Metric:
    family = HistogramMetricFamily(name, documentation, labels=MODEL)
    bounds = [*(repr(edge) for edge in edges.tolist()), "+Inf"]
    for bundle, counts in views:
        cumulated = np.cumsum(counts[field]).tolist()
        buckets = list(zip(bounds, cumulated, strict=True))
        family.add_metric(_names(bundle), buckets, float(counts[f"{field}_sum"][0]))
    return family


def _names(bundle: Bundle) -> list[str]:
    return [bundle.name, bundle.version]
