"""More requests than a server can answer, from a process of their own, and when each was answered or refused."""

import gc
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from softgate.types import Floats
from softgate.workbench.bench.figures import poisson_arrivals
from softgate.workbench.bench.generator import Generator, post
from softgate.workbench.bench.processes import run


@dataclass(frozen=True)
class Flood:
    seconds: float
    """From the first request due to the last."""
    n_requests: int
    accepted: Floats
    """Seconds from when each request that got a 200 was due to its answer."""
    answered_at: Floats
    """When those answers came, in seconds from the start."""
    refused: Floats
    """Seconds from when each request that got another answer was sent to that."""
    statuses: dict[int, int]


def flood(url: str, path: str, body: bytes, *, rate: float, seconds: float) -> Flood:
    """POST the body so many times a second, whatever comes back."""
    asked = {"url": url, "path": path, "body": body.decode(), "rate": rate, "seconds": seconds}
    ended = run([sys.executable, __file__], given=json.dumps(asked))
    assert ended.returncode == 0, ended.stderr
    told: dict[str, Any] = json.loads(ended.stdout)
    return Flood(
        told["seconds"],
        told["n_requests"],
        np.array(told["accepted"]),
        np.array(told["answered_at"]),
        np.array(told["refused"]),
        {int(status): n for status, n in told["statuses"].items()},
    )


def main() -> None:
    asked = json.load(sys.stdin)
    address = urlsplit(asked["url"])
    assert address.hostname is not None
    assert address.port is not None
    due = poisson_arrivals(rate=asked["rate"], seconds=asked["seconds"], seed=0)
    request = post(asked["path"], asked["body"].encode(), host=address.netloc)
    generator = Generator((address.hostname, address.port), [request], most_connections=1000)
    Path("/proc/self/timerslack_ns").write_text("1")
    gc.disable()
    recording = generator.run(due)
    taken, answered = recording.answered - due, np.isfinite(recording.answered)
    refused = {request: told - recording.sent[request] for request, (_, told) in generator.refused.items()}
    statuses = [status for status, _ in generator.refused.values()]
    found = {
        "seconds": float(due[-1]),
        "n_requests": len(due),
        "accepted": taken[answered].tolist(),
        "answered_at": recording.answered[answered].tolist(),
        "refused": list(refused.values()),
        "statuses": {status: statuses.count(status) for status in set(statuses)},
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
