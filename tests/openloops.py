"""Runs of an open loop, made up."""

from dataclasses import replace
from typing import Any

from softgate.workbench.bench.open_loop import OpenLoop

FINE = OpenLoop(
    rate=100.0,
    requests=100,
    answered=100,
    answered_per_second=100.0,
    errors=0,
    p50_us=1000.0,
    p90_us=1500.0,
    p99_us=2000.0,
    p999_us=3000.0,
    lateness_p99_us=50.0,
    client_busy=0.2,
    client_us_per_request=20.0,
    connections=16,
)


def open_loop(**fields: Any) -> OpenLoop:
    return replace(FINE, **fields)
