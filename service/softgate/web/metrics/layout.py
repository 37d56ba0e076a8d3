"""Where the counts stand in a worker's row, and what is counted of HTTP itself."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from softgate.policy.catalogue import section
from softgate.policy.monitor.axes import axes
from softgate.policy.monitor.counts import fields, meanings
from softgate.runtime.counts import Counts, Fields, Layout
from softgate.runtime.repository import Bundle
from softgate.types import Floats
from softgate.web import errors

WEB = "web"
STATUSES = (200, 307, 400, 401, 403, 404, 405, 408, 409, 413, 415, 429, 431, 499, 500, 501, 503, 504, 505)

OUTCOMES = ("ok", "failed", "rolled_back")
"""Of reloads."""


def layout(bundles: Sequence[Bundle], *, follows: Layout | None = None) -> Layout:
    """Where every count of these models, and of the web floor, stands in a worker's row."""
    known = {section(bundle): axes(bundle) for bundle in bundles}
    sections = {WEB: _web_fields(), **{name: fields(own) for name, own in known.items()}}
    return Layout(sections, meanings={name: meanings(own) for name, own in known.items()}, follows=follows)


class WebCounts:
    """What is counted of HTTP itself. `counts` holds the arrays of the section WEB."""

    def __init__(self, counts: Mapping[str, Floats]) -> None:
        self._counts = counts
        # Counted with every answer, so without numpy's cost per cell.
        self._responses: Any = memoryview(counts["responses"])  # type: ignore[arg-type]
        self._status = {status: index for index, status in enumerate(STATUSES)}
        self._code = {code: index for index, code in enumerate(errors.codes())}
        self.dropped_log_lines = counts["dropped_log_lines"]
        self.tokens_failures = counts["tokens_failures"]

    def response(self, status: int) -> None:
        self._responses[self._status.get(status, len(STATUSES))] += 1

    def error(self, code: str) -> None:
        self._counts["errors"][self._code[code]] += 1

    def worker_started(self) -> None:
        self._counts["worker_starts"][0] += 1
        self._counts["process"][0] = os.getpid()
        self._counts["ready"][0] = 0
        self._counts["connections"][0] = 0
        self._counts["calls_taken"][0] = 0
        self._counts["beats"][0] = 0
        self._counts["left"][0] = 0

    def ready(self) -> None:
        """All models of this worker are loaded."""
        self._counts["ready"][0] = 1

    def leave(self) -> None:
        """This worker is about to end, and is to be sent nothing new."""
        self._counts["ready"][0] = 0

    def left(self) -> None:
        """This worker takes no connection any more, not even one that waits already."""
        self._counts["left"][0] = 1

    @property
    def has_left(self) -> bool:
        return bool(self._counts["left"][0])

    def vacate(self) -> None:
        """The row is for a worker that is not admitted yet; its parent says so."""
        self.ended()
        self._counts["admitted"][0] = 0

    def admit(self) -> None:
        """This worker, once ready, may take connections; its parent says so."""
        self._counts["admitted"][0] = 1

    @property
    def is_admitted(self) -> bool:
        return bool(self._counts["admitted"][0])

    def take_calls(self, *, takes: bool) -> None:
        """This worker takes calls over gRPC from now on, or none any more."""
        self._counts["calls_taken"][0] = takes

    @property
    def takes_calls(self) -> bool:
        return bool(self._counts["calls_taken"][0])

    def reloaded(self, outcome: str) -> None:
        self._counts["reloads"][OUTCOMES.index(outcome)] += 1

    @property
    def is_ready(self) -> bool:
        return bool(self._counts["ready"][0])

    def ended(self) -> None:
        """There is no such process any more; its parent says so."""
        for name in ("process", "ready", "connections", "calls_taken"):
            self._counts[name][0] = 0

    def beat(self) -> None:
        """The event loop turns."""
        self._counts["beats"][0] += 1

    @property
    def beats(self) -> float:
        """Of this process so far; 0 before its loop turns."""
        return float(self._counts["beats"][0])

    def connected(self, n_open: int) -> None:
        self._counts["connections"][0] = n_open

    @property
    def n_connections(self) -> float:
        """Open ones."""
        return float(self._counts["connections"][0])

    @property
    def process(self) -> int:
        """Id of the worker's process; 0 before there is one."""
        return int(self._counts["process"][0])


def web_counts(counts: Counts, *, worker: int) -> WebCounts:
    """A worker's own."""
    return WebCounts(counts.layout.view(counts.row(worker), WEB))


def _web_fields() -> Fields:
    return {
        "responses": len(STATUSES) + 1,
        "errors": len(errors.codes()),
        "worker_starts": 1,
        "process": 1,
        "ready": 1,
        "connections": 1,
        "calls_taken": 1,
        "beats": 1,
        "admitted": 1,
        "left": 1,
        "reloads": len(OUTCOMES),
        "dropped_log_lines": 1,
        "tokens_failures": 1,
    }
