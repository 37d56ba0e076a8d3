"""What is counted of a model, in the protocol's words: the counts of all workers, since the server started."""

from softgate.policy.monitor.board import Board, Watched
from softgate.types import Floats
from softgate.web.schema.open_inference import Duration, InferenceStatistics, ModelStatistics

NANOSECONDS = 1e9
MILLISECONDS = 1e3


def statistics(board: Board, model: Watched, total: Floats, *, now: float, unix_time: float) -> ModelStatistics:
    """`total`: of all counts; `now`: of the clock that the workers count by."""
    counts = board.view(total, model)
    runs = counts["batch_rows"].sum()
    return ModelStatistics(
        name=model.bundle.name,
        version=model.bundle.version,
        last_inference=_when(board.counts.largest(model.section, "batch_at"), now=now, unix_time=unix_time),
        inference_count=int(counts["rows"][0]),
        execution_count=int(runs),
        inference_stats=InferenceStatistics(
            success=_duration(counts["requests"][0], counts["request_seconds_sum"][0]),
            fail=_duration(counts["failures"][0], counts["failures_seconds_sum"][0]),
            queue=_duration(counts["queue_seconds"].sum(), counts["queue_seconds_sum"][0]),
            compute_input=_duration(0, 0),
            compute_infer=_duration(runs, counts["graph_seconds_sum"][0]),
            compute_output=_duration(0, 0),
        ),
        batch_stats=[],
    )


def _when(at: float, *, now: float, unix_time: float) -> int:
    """In milliseconds since 1970; 0 where it never was."""
    return round((unix_time - (now - at)) * MILLISECONDS) if at else 0


def _duration(count: float, seconds: float) -> Duration:
    return Duration(count=int(count), ns=round(seconds * NANOSECONDS))
