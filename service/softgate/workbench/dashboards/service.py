"""Whether the servers are well: latency, queues, errors, memory."""

from collections.abc import Iterator

from softgate.workbench.dashboards.page import Dashboard, page
from softgate.workbench.dashboards.panels import ROWS, SHARE, Panel, Query, coloured, heading, lines, stacked
from softgate.workbench.dashboards.promql import (
    BY_MODEL,
    MODEL,
    increase,
    mean,
    of_model,
    of_server,
    per_second,
    quantile,
    total,
)

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def service() -> Dashboard:
    description = "Latency, errors and resources of the servers."
    return page("softgate-service", description, [*_answers(), *_latency(), *_batches(), *_processes()])


def _answers() -> Iterator[Panel]:
    yield heading(1, "Answers")
    requests = of_model("softgate_requests_total")
    yield lines(
        2,
        "Requests",
        "Prediction requests answered per second.",
        [Query(per_second(BY_MODEL, requests), MODEL)],
        size=(6, 8),
        unit="reqps",
    )
    yield stacked(
        3,
        "HTTP answers by status",
        "Answers of every kind per second, by HTTP status. Not split by model: an answer may concern none.",
        [Query(f"{per_second('status', of_server('softgate_http_responses_total'))} > 0", "{{status}}")],
        size=(6, 8),
        unit="reqps",
        overrides=[coloured("/^2/", "green"), coloured("/^4/", "yellow"), coloured("/^5/", "red")],
    )
    yield stacked(
        4,
        "Errors by code",
        "Requests that ended in an error per second, by the error's code. Empty when there is none.",
        [Query(f"{per_second('code', of_server('softgate_errors_total'))} > 0", "{{code}}")],
        size=(6, 8),
        unit="reqps",
    )
    shed = per_second("instance", of_server("softgate_errors_total", 'code="overloaded"'))
    yield lines(
        5,
        "Refused because the queue is full",
        "Share of prediction requests that were answered with 429, by server.",
        [Query(f"{shed} / ({shed} + {per_second('instance', requests)} > 0)", "{{instance}}")],
        size=(6, 8),
        unit=SHARE,
        reach=0.1,
    )


def _latency() -> Iterator[Panel]:
    yield heading(6, "Latency")
    yield _durations(
        7,
        "Request duration",
        "Time from a request to its answer. Estimated inside buckets that double: right to about a factor of 1.5.",
        "softgate_request_duration_seconds",
    )
    yield _durations(
        8,
        "Graph time",
        "Time of one run: inputs prepared, graph run. A run may serve several requests.",
        "softgate_graph_duration_seconds",
    )
    yield _durations(
        9,
        "Queue time",
        "Time a request waited for the graph. Growing while graph time does not: more requests than it can take.",
        "softgate_queue_duration_seconds",
    )


def _durations(number: int, title: str, description: str, histogram: str) -> Panel:
    queries = [Query(quantile(part, histogram), f"{MODEL} {name}") for name, part in QUANTILES.items()]
    return lines(number, title, description, queries, size=(8, 8), unit="s")


def _batches() -> Iterator[Panel]:
    yield heading(10, "Batches")
    yield lines(
        11,
        "Batch size",
        "Rows that shared one run of the graph: mean, and the size that nine in ten runs stay within.",
        [
            Query(mean("softgate_batch_rows"), f"{MODEL} mean"),
            # Interpolated from 0, but no run is of less than a row.
            Query(f"clamp_min({quantile(0.9, 'softgate_batch_rows')}, 1)", f"{MODEL} p90"),
        ],
        size=(12, 7),
        unit=ROWS,
    )
    yield lines(
        12,
        "Rows in the queue",
        "Rows that wait for the graph, over all workers, at the moment of the scrape.",
        [Query(total(BY_MODEL, of_model("softgate_queue_rows")), MODEL)],
        size=(12, 7),
        unit=ROWS,
        reach=10,
    )


def _processes() -> Iterator[Panel]:
    yield heading(13, "Processes")
    yield _of_server(14, "Memory", "Resident memory of all workers.", "softgate_resident_memory_bytes", unit="bytes")
    yield _of_server(
        15, "Threads", "Threads of all workers. A number that only grows is a leak.", "softgate_threads", unit="none"
    )
    yield _of_server(16, "Workers ready", "Workers that have loaded all models.", "softgate_workers_ready", unit="none")
    yield lines(
        17,
        "Worker starts",
        "Workers started, replacements of dead ones included. Anything after a server's own start is a crash.",
        [Query(total("instance", increase(of_server("softgate_worker_starts_total"))), "{{instance}}")],
        size=(6, 7),
        unit="none",
        reach=5,
    )
    yield lines(
        18,
        "Age of the monitor's last step",
        "It steps once a second. While it does not, no drift is seen.",
        [Query(f"time() - {of_server('softgate_monitor_updated_timestamp_seconds')}", "{{instance}}")],
        size=(8, 7),
        unit="s",
    )
    yield _failures(
        19,
        "State not saved",
        "Failed attempts to write the monitor's state; without it a restart forgets the evidence.",
        "softgate_monitor_state_write_failures_total",
    )
    yield _failures(
        20,
        "Log lines dropped",
        "Lines that no reader took in time, dropped so that answers need not wait.",
        "softgate_dropped_log_lines_total",
    )


def _of_server(number: int, title: str, description: str, gauge: str, *, unit: str) -> Panel:
    return lines(number, title, description, [Query(of_server(gauge), "{{instance}}")], size=(6, 7), unit=unit)


def _failures(number: int, title: str, description: str, counter: str) -> Panel:
    queries = [Query(total("instance", increase(of_server(counter))), "{{instance}}")]
    return lines(number, title, description, queries, size=(8, 7), unit="none", reach=5)
