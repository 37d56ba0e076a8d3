"""
Closed loop: each connection sends its next request when it has the answer to the last. Driven by wrk.

It finds the throughput. Its latencies are those of a client that waits, corrected by wrk for the requests that a stall
kept from being sent; what a client sees that does not wait is `open_loop.py`'s to say.
"""

import json
import math
import resource
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from softgate.errors import SoftgateError
from softgate.workbench.bench.processes import run

# Between the answer of wrk itself, which is for people, and ours.
_MARK = "softgate "
# wrk calls `done` once, in a state of its own; `latency` is in microseconds.
_SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "%(content_type)s"
local bodies = {
%(bodies)s
}
local requests, turn = {}, 0
function init(args)
  for i, body in ipairs(bodies) do requests[i] = wrk.format(nil, nil, nil, body) end
end
function request()
  turn = turn %% #requests + 1
  return requests[turn]
end
function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format(
    '%(mark)s{"requests": %%d, "microseconds": %%d, "status": %%d, "socket": %%d, "timeout": %%d, '
    .. '"p50": %%d, "p90": %%d, "p99": %%d, "p999": %%d}\\n',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write, e.timeout,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency:percentile(99.9)))
end
"""


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    requests: int
    """Answers, those with an error status included."""
    seconds: float
    p50_us: float
    p90_us: float
    p99_us: float
    p999_us: float
    refused: int
    """Answers of status 400 and above."""
    broken: int
    """Connections that failed."""
    timeouts: int
    client_cpu: float
    """CPUs that wrk kept busy, of `threads` it may use: near them, it is wrk that was measured."""

    @property
    def requests_per_second(self) -> float:
        """Of answers below status 400."""
        return (self.requests - self.refused) / self.seconds

    @property
    def errors(self) -> int:
        return self.refused + self.broken + self.timeouts


def measure(
    url: str,
    path: str,
    bodies: Sequence[bytes],
    *,
    connections: int,
    seconds: float,
    threads: int = 1,
    content_type: str = "application/json",
) -> ClosedLoop:
    """
    POST the bodies in turn to `url` + `path`, over so many connections, for whole seconds, rounded up.

    Raises SoftgateError where wrk is missing or cannot connect.
    """
    threads = min(threads, connections)
    with tempfile.TemporaryDirectory(prefix="softgate-bench-") as folder:
        file = Path(folder, "requests.lua")
        file.write_bytes(script(bodies, content_type=content_type))
        line = [program(), f"-t{threads}", f"-c{connections}", f"-d{math.ceil(seconds)}s", "-s", str(file), url + path]
        cpu = _cpu_of_ended_children()
        ended = run(line)
        cpu = _cpu_of_ended_children() - cpu
    _, marked, told = ended.stdout.rpartition(_MARK)
    if ended.returncode != 0 or not marked:
        said = (ended.stderr.strip() or ended.stdout.strip() or f"exit code {ended.returncode}").splitlines()[-1]
        raise SoftgateError(f"wrk could not measure {url}{path}: {said}.")
    return _read(json.loads(told), cpu)


def program() -> str:
    """The path of wrk. Raises SoftgateError where it is missing."""
    path = shutil.which("wrk")
    if path is None:
        raise SoftgateError("Expected the program wrk, which sends the requests; install the package wrk.")
    return path


def version() -> str:
    """Of wrk. Raises SoftgateError where it is missing."""
    # With an exit code of 1, for it was given no URL.
    told = run([program(), "-v"]).stdout
    return told.split()[1] if len(told.split()) > 1 else "unknown"


def script(bodies: Sequence[bytes], *, content_type: str) -> bytes:
    """What wrk runs."""
    lines = b",\n".join(b"  " + quoted(body) for body in bodies)
    parts = {"content_type": content_type, "mark": _MARK, "bodies": "\0"}
    return (_SCRIPT % parts).encode().replace(b"\0", lines)


def quoted(content: bytes) -> bytes:
    """As a string of Lua, which takes every other byte as it is."""
    escaped = content.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    return b'"' + escaped.replace(b"\0", b"\\000") + b'"'


def _read(told: dict[str, int], cpu_seconds: float) -> ClosedLoop:
    seconds = told["microseconds"] / 1e6
    return ClosedLoop(
        requests=told["requests"],
        seconds=seconds,
        p50_us=told["p50"],
        p90_us=told["p90"],
        p99_us=told["p99"],
        p999_us=told["p999"],
        refused=told["status"],
        broken=told["socket"],
        timeouts=told["timeout"],
        client_cpu=cpu_seconds / seconds,
    )


def _cpu_of_ended_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
