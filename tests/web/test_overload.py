"""What a server promises when more comes than it can do."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import flooding
from paced_server import PACE, PATH, paced
from servers import Served
from softgate.workbench.bench.processes import memory

QUEUE_MS, TIMEOUT_MS = 500, 2000
BODY = json.dumps({"inputs": [1, 2, 3, 4]}).encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("models") / "paced"
    with paced(folder, max_queue_ms=QUEUE_MS, SOFTGATE_REQUEST_TIMEOUT_MS=str(TIMEOUT_MS)) as running:
        yield running


def test_at_ten_times_the_knee_goodput_deadlines_refusals_and_memory_hold(server: Served) -> None:
    holds(server, pace=PACE)


def test_the_same_holds_where_two_runs_go_side_by_side(tmp_path: Path) -> None:
    timeout = str(TIMEOUT_MS)
    own = paced(tmp_path / "paced", max_queue_ms=QUEUE_MS, parallel_runs=2, SOFTGATE_REQUEST_TIMEOUT_MS=timeout)
    with own as running:
        holds(running, pace=2 * PACE)


def holds(server: Served, *, pace: float) -> None:
    """In most of three turns: where others have the CPU, client and server wait for it as long as for each other."""
    turns = [at_ten_times_the_knee(server, pace) for _ in range(3)]
    for _, figures in turns:
        print(figures)

    assert sum(held for held, _ in turns) >= 2, "\n".join(figures for _, figures in turns)


def at_ten_times_the_knee(server: Served, pace: float) -> tuple[bool, str]:
    """Whether all that is promised holds, and the figures. The knee: what is answered when twice as much comes."""

    def flooded(times: float, *, seconds: float) -> flooding.Flood:
        return flooding.flood(server.url, PATH, BODY, rate=times * pace, seconds=seconds)

    knee = per_second(flooded(2, seconds=4))
    before = memory(server.process.pid).resident_bytes
    found = flooded(10, seconds=5)
    grown = memory(server.process.pid).resident_bytes - before
    assert found.statuses.keys() == {429}
    assert len(found.accepted) + len(found.refused) == found.n_requests

    goodput, late, refused = per_second(found), np.quantile(found.accepted, 0.99), np.median(found.refused)
    held = goodput >= 0.9 * knee and late <= TIMEOUT_MS / 1000 and refused < 0.005 and grown < 8 * 2**20
    return bool(held), (
        f"knee {knee:.0f}/s, {knee / pace:.0%} of the graph's pace; goodput {goodput / knee:.0%} of the knee; "
        f"p99 of the accepted {late * 1e3:.0f} ms; refused in {refused * 1e3:.2f} ms, "
        f"p99 {np.quantile(found.refused, 0.99) * 1e3:.1f} ms; {grown / 2**20:+.1f} MiB; {found.statuses}"
    )


def per_second(found: flooding.Flood) -> float:
    """Answers while requests came, once the queue was full."""
    full = QUEUE_MS / 1000
    n_answered = ((full <= found.answered_at) & (found.answered_at <= found.seconds)).sum()
    return float(n_answered / (found.seconds - full))
