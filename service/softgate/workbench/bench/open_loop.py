"""
Open loop: requests arrive when they do, whether or not earlier ones have been answered, as from many people.

Latency counts from when a request was due, not from when it could be sent: a server that stalls is charged for every
request that was due meanwhile. The generator is Python of ours in a process of its own, `generator.py`; how late it was
itself is measured with every run, and a run in which it mattered is void.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from softgate.errors import SoftgateError
from softgate.types import Floats
from softgate.workbench.bench.figures import quantiles
from softgate.workbench.bench.processes import run

MOST_CONNECTIONS = 512
# A tail that is more than half the client's own is not the server's; a client that late has lost its schedule,
# whatever the server did; and no kernel wakes a process more punctually than the least.
MOST_LATENESS = 0.5
MOST_LATENESS_US = 50_000.0
LEAST_LATENESS_US = 100.0
MOST_BUSY = 0.9


@dataclass(frozen=True, slots=True)
class Recording:
    """Each request of a run, in seconds from its start; NaN for what did not happen."""

    due: Floats
    noticed: Floats
    """When the generator saw that it was due: later by the generator's fault alone."""
    sent: Floats
    """Later than noticed where no connection was free."""
    answered: Floats
    """With status 200."""
    errors: int
    """Other answers, and connections that failed."""
    ended: float
    waited: float
    """How long the generator had nothing to do, up to when the last request was due."""
    cpu_seconds: float
    """Of the generator."""
    connections: int


@dataclass(frozen=True, slots=True)
class OpenLoop:
    rate: float
    """Requests due per second."""
    requests: int
    answered: int
    answered_per_second: float
    errors: int
    p50_us: float
    p90_us: float
    p99_us: float
    p999_us: float
    """Of a request without an answer: as long as it was waited for."""
    lateness_p99_us: float
    """Of the client."""
    client_busy: float
    """Share of the time in which requests were due that the client was at work, or wanted to be."""
    client_us_per_request: float
    """CPU time, per answer."""
    connections: int


def latencies(recording: Recording) -> Floats:
    """Seconds from when each request was due to its answer, or to the end of the run where it has none."""
    return np.where(np.isnan(recording.answered), recording.ended, recording.answered) - recording.due


def summary(recording: Recording) -> OpenLoop:
    """Of one request at least."""
    p50, p90, p99, p999 = quantiles(latencies(recording) * 1e6)
    noticed = np.where(np.isnan(recording.noticed), recording.ended, recording.noticed)
    (lateness,) = quantiles((noticed - recording.due) * 1e6, [0.99])
    n_requests, n_answered = len(recording.due), int(np.isfinite(recording.answered).sum())
    last = float(recording.due[-1])
    return OpenLoop(
        rate=n_requests / last,
        requests=n_requests,
        answered=n_answered,
        answered_per_second=n_answered / recording.ended,
        errors=recording.errors,
        p50_us=p50,
        p90_us=p90,
        p99_us=p99,
        p999_us=p999,
        lateness_p99_us=lateness,
        client_busy=1 - recording.waited / last,
        client_us_per_request=recording.cpu_seconds * 1e6 / max(1, n_answered),
        connections=recording.connections,
    )


def void(run: OpenLoop) -> str | None:
    """Why the run says nothing of the server: the client was the bottleneck. None where it was not."""
    if run.client_busy > MOST_BUSY:
        return f"the client was at work {run.client_busy:.0%} of the time"
    if run.lateness_p99_us > min(MOST_LATENESS_US, max(LEAST_LATENESS_US, MOST_LATENESS * run.p99_us)):
        return f"the client was {run.lateness_p99_us:,.0f} µs behind its schedule at p99"
    return None


def measure(
    url: str,
    path: str,
    bodies: Sequence[bytes],
    *,
    rate: float,
    seconds: float,
    seed: int,
    most_connections: int = MOST_CONNECTIONS,
) -> OpenLoop:
    """POST the bodies, JSON, in turn, as a Poisson process of so many a second. Raises SoftgateError."""
    asked = {
        "url": url,
        "path": path,
        "bodies": [body.decode() for body in bodies],
        "rate": rate,
        "seconds": seconds,
        "seed": seed,
        "most_connections": most_connections,
    }
    line = [sys.executable, "-m", "softgate.workbench.bench.generator"]
    ended = run(line, given=json.dumps(asked))
    if ended.returncode != 0:
        said = (ended.stderr.strip() or f"exit code {ended.returncode}").splitlines()[-1]
        raise SoftgateError(f"The generator could not measure {url}{path}: {said}.")
    return OpenLoop(**json.loads(ended.stdout))
