"""
What monitoring costs: per single-row request, of clinc150's throughput, and per scrape.

    make bench

With and without take turns in one run, so only their differences and ratios mean anything. Without: the same server,
its counting methods replaced by ones that do nothing, and no watch.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import httpx2
import numpy as np
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests")]

from graphs import linear, write_model  # noqa: E402
from references import write_referenced  # noqa: E402
from servers import command, started  # noqa: E402
from softgate.policy.catalogue import section  # noqa: E402
from softgate.policy.classifier import Classifier  # noqa: E402
from softgate.policy.monitor.axes import axes  # noqa: E402
from softgate.policy.monitor.board import Board  # noqa: E402
from softgate.policy.monitor.counts import Monitor, apart  # noqa: E402
from softgate.policy.monitor.watch import Watch  # noqa: E402
from softgate.runtime.counts import Counts  # noqa: E402
from softgate.runtime.repository import Bundle, Model, read_bundle  # noqa: E402
from softgate.web.metrics.exposition import Exposition  # noqa: E402
from softgate.web.metrics.layout import layout  # noqa: E402
from softgate.workbench.bench import closed_loop  # noqa: E402

CLINC150 = ROOT / "models" / "clinc150"
WITHOUT = """
from softgate.policy.monitor.counts import Monitor
from softgate.web.watcher import Watcher
Monitor.predictions = Monitor.readout = Monitor.batch = Monitor.request = Watcher.start = lambda *_, **__: None
from softgate.cli import app
app()
"""
N_WORKERS = 8
SENTENCE = "move 50 dollars to savings"


def per_request(rounds: int) -> float:
    """Median µs of all that is counted of a request of one row."""
    bundle = read_bundle(CLINC150)
    monitor = apart(axes(bundle))
    classifier = Classifier(Model(bundle, threads=1), monitor, clock=time.perf_counter, max_rows=1)
    row = classifier.read_out(classifier.predict_now(classifier.check([SENTENCE])))
    classifier.close()

    def counted() -> None:
        monitor.batch(rows=1, graph_seconds=4e-4, queue_seconds=[2e-5], ended=0.0)
        monitor.readout(row)
        monitor.request(rows=1, seconds=7e-4)

    return median(_microseconds(counted, 200) - _microseconds(_nothing, 200) for _ in range(rounds))


def throughput(rounds: int, seconds: float, connections: int) -> float:
    """Median, over pairs of turns, of requests per second with monitoring by that without."""
    body = json.dumps({"inputs": [SENTENCE]}).encode()
    with ExitStack() as stack:
        with_it, without = command("serve", CLINC150, "--port", 0), [sys.executable, "-c", WITHOUT]
        urls = []
        for line in (with_it, [*without, "serve", str(CLINC150), "--port", "0"]):
            server = stack.enter_context(started(line))
            urls.append(server.read_until("listening")["url"])
            server.read_until("ready")
        rates: list[list[float]] = [[], []]
        for turn in range(rounds):
            for place in (0, 1) if turn % 2 else (1, 0):
                run = closed_loop.measure(
                    urls[place], "/v1/models/clinc150/predict", [body], connections=connections, seconds=seconds
                )
                rates[place].append(run.requests_per_second)
        counted, uncounted = (httpx2.get(f"{url}/metrics").text.count('decisions_total{action="route"') for url in urls)
        assert counted == uncounted > 0
        return float(median(ours / theirs for ours, theirs in zip(*rates, strict=True)))


def scrape(folder: Path, rounds: int) -> tuple[int, float, float, float]:
    """Series, median ms of a scrape, of prometheus_client writing the same, of a step of the watch."""
    bundles = [calibrated(folder / f"m{place}", f"m{place}", n_labels=560) for place in range(6)]
    counts = Counts(layout(bundles), n_rows=N_WORKERS + 1)
    board = Board(bundles, counts, now=0.0)
    for worker in range(N_WORKERS):
        for bundle in bundles:
            monitor = Monitor(counts.layout.view(counts.row(worker), section(bundle)), board.watched[bundle.name].axes)
            for cells in monitor.counts.values():
                cells[:] = np.random.default_rng(worker).integers(1, 10_000, len(cells))
    exposition, watch, clock = Exposition(board, lambda: 7200.0), Watch(board), iter(range(1, 10**9))
    families = list(text_string_to_metric_families(exposition.render().decode()))
    registry = CollectorRegistry()
    registry.register(Known(families))
    what = (exposition.render, lambda: generate_latest(registry), lambda: watch.step(now=next(clock), unix_time=0.0))
    turns = [[_microseconds(one, 1) / 1000 for one in what] for _ in range(rounds)]
    rendered, peer, stepped = (median(column) for column in zip(*turns, strict=True))
    return sum(len(family.samples) for family in families), rendered, peer, stepped


class Known(Collector):
    """Gives prometheus_client what it is to write, ready made."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families


def calibrated(folder: Path, name: str, *, n_labels: int) -> Bundle:
    labels = [f"{name} label {place}" for place in range(n_labels)]
    write_model(folder, linear(np.zeros((4, n_labels), dtype=np.float32)), name=name, labels=labels)
    return write_referenced(folder, np.random.default_rng(0).normal(scale=3, size=(500, n_labels)))


def _microseconds(what: Callable[[], object], times: int) -> float:
    started_at = time.perf_counter()
    for _ in range(times):
        what()
    return (time.perf_counter() - started_at) / times * 1e6


def _nothing() -> None:
    pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1)
    arguments = parser.parse_args()
    print(f"counting one row                    {per_request(10 * arguments.rounds):.2f} µs")
    for connections in (1, 16):
        ratio = throughput(arguments.rounds, arguments.seconds, connections)
        print(f"clinc150, {connections:>2} connections           {ratio:.3f} of the requests/s without")
    with tempfile.TemporaryDirectory() as folder:
        n_series, rendered, peer, stepped = scrape(Path(folder), arguments.rounds)
    print(f"scrape, {N_WORKERS} workers, {n_series:,} series   {rendered:.1f} ms; prometheus_client: {peer:.1f} ms")
    print(f"step of the watch over the same     {stepped:.2f} ms")


if __name__ == "__main__":
    main()
