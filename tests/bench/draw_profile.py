"""
Where the time of one request goes: µs per stage, in process, and their flame graph.

    python tests/bench/draw_profile.py

Real protocol, real classifier, a transport that swallows what is written: system calls and the client are left out, as
a bare answer pays for them too. Stages are timed one within another; each is the median over thousands of requests.
Writes docs/pictures/profile.png and the table of docs/performance.md.
"""

import asyncio
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import uvicorn
import uvloop
from matplotlib.figure import Figure
from uvicorn.server import ServerState

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests")]

from app_parts import parts_of  # noqa: E402
from bench.page import fill  # noqa: E402
from bench.workloads import Workload, text, tiny  # noqa: E402
from softgate.policy.batch import Batch  # noqa: E402
from softgate.policy.catalogue import Catalogue  # noqa: E402
from softgate.policy.classifier import Classifier  # noqa: E402
from softgate.policy.monitor.counts import Monitor  # noqa: E402
from softgate.runtime.batcher import Batcher  # noqa: E402
from softgate.runtime.compiled import is_compiled  # noqa: E402
from softgate.runtime.repository import Model  # noqa: E402
from softgate.runtime.session import Session  # noqa: E402
from softgate.web.app import create_app  # noqa: E402
from softgate.web.guarded import Guarded  # noqa: E402
from softgate.web.http import Http  # noqa: E402
from softgate.web.protocols import native  # noqa: E402

PICTURE = ROOT / "docs" / "pictures" / "profile.png"
N_REQUESTS = 4000
# Of the picture's width that a character takes.
CHARACTER_SHARE = 0.0052
# Inclusive, the outer before the inner.
STAGES: Sequence[tuple[str, Any, str]] = (
    ("HTTP: parse, route, hold", Guarded, "data_received"),
    ("read: JSON to rows", native.Native, "read"),
    ("check: rows to arrays", Classifier, "check"),
    ("queue", Batcher, "put"),
    ("run: hand out, hand back", Batcher, "_start"),
    ("batch: join, count", Classifier, "_answer"),
    ("feed and head", Model, "logits"),
    ("graph", Session, "run"),
    ("score, decide, read out", Batch, "readout"),
    ("monitor", Monitor, "readout"),
    ("encode: JSON", native, "encode"),
    ("write: head and body", Http, "_write"),
)


@dataclass
class Frame:
    name: str
    inner: float = 0.0
    """Seconds in stages that it called."""


class Stages:
    """Times functions one within another: each by itself, without those that it calls."""

    def __init__(self) -> None:
        self.own: dict[str, list[float]] = defaultdict(list)
        self.parent: dict[str, str | None] = {}
        self._open: list[Frame] = []

    def watch(self, name: str, owner: Any, attribute: str, patch: pytest.MonkeyPatch) -> None:
        found = vars(owner)[attribute]
        getter: Any = found.fget if isinstance(found, property) else None
        timed = self._timed(name, found) if getter is None else property(self._timed(name, getter))
        patch.setattr(owner, attribute, timed)

    def _timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            # While a model loads, stages are called by none.
            if self.parent.get(name) is None:
                self.parent[name] = self._open[-1].name if self._open else None
            frame = Frame(name)
            self._open.append(frame)
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                whole = time.perf_counter() - started
                self._open.pop()
                self.own[name].append((whole - frame.inner) * 1e6)
                if self._open:
                    self._open[-1].inner += whole

        return timed

    def medians(self) -> dict[str, float]:
        return {name: median(taken) for name, taken in self.own.items()}


class Transport:
    """Swallows answers."""

    n_written = 0

    def write(self, data: bytes) -> None:
        self.n_written += 1

    def get_extra_info(self, name: str, default: object = None) -> object:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else None

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def set_write_buffer_limits(self, **limits: int) -> None:
        pass

    def close(self) -> None:
        pass


def connected(folder: Path) -> tuple[Catalogue, Http, Transport]:
    parts = parts_of(folder)
    parts.catalogue.load(threads=1, clock=time.monotonic, max_rows=32)
    config = uvicorn.Config(create_app(parts), loop="uvloop", http=Http, ws="none", lifespan="off", log_config=None)
    config.load()
    state, transport = ServerState(), Transport()
    state.default_headers = [(b"date", b"Thu, 01 Jan 1970 00:00:00 GMT")]
    http = Http(config, state, {})
    http.connection_made(transport)  # type: ignore[arg-type]
    return parts.catalogue, http, transport


async def play(workload: Workload) -> float:
    """Median µs of a request, one after the other."""
    catalogue, http, transport = connected(workload.folder)
    head = f"POST /v1/models/{workload.name}/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    bodies = cycle(workload.native())
    taken = []
    for number, body in enumerate(islice(bodies, N_REQUESTS), start=1):
        request = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
        started = time.perf_counter()
        http.data_received(request)
        while transport.n_written < number:
            await asyncio.sleep(0)
        taken.append((time.perf_counter() - started) * 1e6)
    http.connection_lost(None)
    catalogue.close()
    return median(taken)


def draw(stages: Stages) -> None:
    """An icicle: a stage stands on the one that calls it, as wide as its time with all above it."""
    own = stages.medians()
    total = {name: own[name] for name in own}
    order = [name for name, _, _ in STAGES if name in own]
    for name in reversed(order):
        parent = stages.parent[name]
        if parent is not None:
            total[parent] += total[name]
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    axes = figure.subplots()
    start: dict[str | None, float] = {None: 0.0}
    depth: dict[str | None, int] = {None: -1}
    for name in order:
        parent = stages.parent[name]
        left, depth[name] = start[parent], depth[parent] + 1
        start[parent], start[name] = left + total[name], left
        colour = f"C{order.index(name) % 10}"
        axes.barh(depth[name], total[name], left=left, height=0.95, color=colour, alpha=0.55, edgecolor="white")
        fits = total[name] > CHARACTER_SHARE * len(name) * sum(own.values())
        label = f"{name}\n{total[name]:.0f} µs" if fits else ""
        axes.text(left + total[name] / 2, depth[name], label, ha="center", va="center", fontsize=7, wrap=True)
    axes.set_xlabel(
        "µs of one request of 64 numbers, alone; a box is as wide as its own time and that of those above it"
    )
    axes.set_yticks([])
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    figure.savefig(PICTURE, dpi=120)


def main() -> None:
    if is_compiled():
        sys.exit(
            "Expected softgate as Python: what is compiled calls its own parts without a look at what watches them."
        )
    with tempfile.TemporaryDirectory() as scratch, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        workloads = {"64 numbers": tiny(Path(scratch)), "clinc150": text()}
        bare = {name: runner.run(play(workload)) for name, workload in workloads.items()}
        watched = {}
        for name, workload in workloads.items():
            watched[name] = Stages()
            with pytest.MonkeyPatch.context() as patch:
                for stage, owner, attribute in STAGES:
                    watched[name].watch(stage, owner, attribute, patch)
                runner.run(play(workload))
    medians = {name: stages.medians() for name, stages in watched.items()}
    lines = [f"| stage | {' | '.join(medians)} |", f"| --- | {' | '.join('--:' for _ in medians)} |"]
    for stage, _, _ in STAGES:
        lines.append(f"| {stage} | {' | '.join(f'{medians[name].get(stage, 0.0):.1f}' for name in medians)} |")
    lines.append(f"| **a request, without the watch** | {' | '.join(f'**{taken:.0f}**' for taken in bare.values())} |")
    print("\n".join(lines))
    fill("profile", "\n".join(lines))
    draw(watched["64 numbers"])


if __name__ == "__main__":
    main()
