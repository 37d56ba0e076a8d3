"""Families of the service itself: answers, errors, workers, latency, batches."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from softgate import __version__
from softgate.numerics.histogram import Edges
from softgate.policy.monitor.board import Board, Watched
from softgate.policy.monitor.counts import BATCH_EDGES, SECONDS_EDGES, STAGE_EDGES
from softgate.policy.monitor.told import DetectorState, Estimate
from softgate.runtime.compiled import is_compiled
from softgate.runtime.counts import Counts
from softgate.types import Floats
from softgate.web import errors
from softgate.web.metrics.layout import OUTCOMES, STATUSES, web_counts
from softgate.web.metrics.text import Family, Kind, Labels, each, histogram, one

OTHER = "other"


@dataclass(frozen=True, slots=True)
class Process:
    """What the kernel says of the workers together."""

    ready: int
    resident_bytes: int
    threads: int


@dataclass(frozen=True, slots=True)
class Scrape:
    """The counts of all workers at one moment."""

    web: Mapping[str, Floats]
    models: Mapping[str, Mapping[str, Floats]]
    """By model."""
    hour: Mapping[str, Mapping[str, Floats]]
    """The same of the last hour alone."""
    estimates: Mapping[str, Mapping[str, Estimate]]
    """By model and estimator: the accuracy of that hour."""
    detectors: Mapping[str, Sequence[DetectorState]]
    """By model."""
    process: Process


def names(watched: Watched) -> Labels:
    """The labels of every series of a model."""
    calibration = watched.bundle.calibration
    identity = "" if calibration is None else calibration.id
    return {"model": watched.bundle.name, "version": watched.bundle.version, "calibration": identity}


def processes(counts: Counts) -> Process:
    ready = resident = threads = 0
    for row in range(counts.n_rows):
        worker = web_counts(counts, worker=row)
        status = _status(worker.process)
        ready += bool(status) and worker.is_ready
        resident += status.get("VmRSS", 0) * 1024
        threads += status.get("Threads", 0)
    return Process(ready, resident, threads)


def families(board: Board) -> Sequence[Family[Scrape]]:
    """Those without a model."""
    codes = errors.codes()
    return [
        Family(
            "softgate_build_info",
            "gauge",
            "The version of softgate that answers, and whether its hot path is compiled.",
            [one({"version": __version__, "compiled": "yes" if is_compiled() else "no"}, lambda _: 1.0)],
        ),
        Family(
            "softgate_http_responses_total",
            "counter",
            "Answers by HTTP status.",
            [each({}, "status", [*map(str, STATUSES), OTHER], lambda scrape: scrape.web["responses"])],
        ),
        Family(
            "softgate_errors_total",
            "counter",
            "Requests that ended in an error, by its code.",
            [each({}, "code", codes, lambda scrape: scrape.web["errors"])],
        ),
        _plain(
            "softgate_worker_starts_total",
            "counter",
            "Workers started, replacements of dead ones included.",
            lambda scrape: float(scrape.web["worker_starts"][0]),
        ),
        Family(
            "softgate_reloads_total",
            "counter",
            "Reloads of the models, by how they ended.",
            [each({}, "outcome", OUTCOMES, lambda scrape: scrape.web["reloads"])],
        ),
        _plain(
            "softgate_dropped_log_lines_total",
            "counter",
            "Log lines that no reader took in time.",
            lambda scrape: float(scrape.web["dropped_log_lines"][0]),
        ),
        _plain(
            "softgate_tokens_file_failures_total",
            "counter",
            "Times that a worker could not read a changed tokens file, and kept the tokens that it had.",
            lambda scrape: float(scrape.web["tokens_failures"][0]),
        ),
        _plain("softgate_workers_ready", "gauge", "Workers that answer.", lambda scrape: scrape.process.ready),
        _plain(
            "softgate_resident_memory_bytes",
            "gauge",
            "Memory that the workers hold; what they share counts for each.",
            lambda scrape: scrape.process.resident_bytes,
        ),
        _plain("softgate_threads", "gauge", "Threads of the workers.", lambda scrape: scrape.process.threads),
        _plain(
            "softgate_monitor_updated_timestamp_seconds",
            "gauge",
            "When the monitor last took its step.",
            lambda _: board.updated_at,
        ),
        _plain(
            "softgate_monitor_state_write_failures_total",
            "counter",
            "Times that the monitor's state was not saved.",
            lambda _: board.write_failures,
        ),
    ]


def model_families(watched: Sequence[Watched]) -> Sequence[Family[Scrape]]:
    """Traffic and time of each model."""
    seconds = "softgate_{}_duration_seconds".format
    return [
        _cell(watched, "requests", "softgate_requests_total", "counter", "Prediction requests answered."),
        _cell(watched, "rows", "softgate_rows_total", "counter", "Rows answered."),
        _cell(watched, "queue_rows", "softgate_queue_rows", "gauge", "Rows that wait for the graph."),
        _histogram(watched, "request_seconds", SECONDS_EDGES, seconds("request"), "Time from a request to its answer."),
        _histogram(watched, "queue_seconds", STAGE_EDGES, seconds("queue"), "Time a request waited for the graph."),
        _histogram(
            watched, "graph_seconds", STAGE_EDGES, seconds("graph"), "Time of one run: inputs prepared, graph run."
        ),
        _histogram(watched, "batch_rows", BATCH_EDGES, "softgate_batch_rows", "Rows that shared one run of the graph."),
    ]


def _plain(name: str, kind: Kind, text: str, value: Callable[[Scrape], float]) -> Family[Scrape]:
    return Family(name, kind, text, [one({}, value)])


def _cell(watched: Sequence[Watched], field: str, name: str, kind: Kind, text: str) -> Family[Scrape]:
    def value(model: str) -> Callable[[Scrape], float]:
        return lambda scrape: float(scrape.models[model][field][0])

    return Family(name, kind, text, [one(names(each), value(each.bundle.name)) for each in watched])


def _histogram(watched: Sequence[Watched], field: str, edges: Edges, name: str, text: str) -> Family[Scrape]:
    parts = [histogram(names(each), edges, *_read(each.bundle.name, field)) for each in watched]
    return Family(name, "histogram", text, parts)


def _read(model: str, field: str) -> tuple[Callable[[Scrape], Floats], Callable[[Scrape], float]]:
    return (
        lambda scrape: scrape.models[model][field],
        lambda scrape: float(scrape.models[model][f"{field}_sum"][0]),
    )


def _status(process: int) -> Mapping[str, int]:
    """Numbers of /proc; nothing for a process that is gone."""
    if not process:
        return {}
    try:
        text = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return {}
    fields = (line.split() for line in text.splitlines())
    return {name.rstrip(":"): int(value) for name, value, *_ in (f for f in fields if len(f) > 1) if value.isdecimal()}
