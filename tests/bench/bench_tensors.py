"""
What a batch of tensors costs beside its graph: 256 rows of 64 float32 as bytes, over the Open Inference Protocol.

    python tests/bench/bench_tensors.py

From the request's bytes to the answer's, on one event loop; the graph alone and each way of asking take turns in one
run. What is beyond the graph is read, checked, scored, decided, counted and written.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests")]

from graphs import linear, write_model  # noqa: E402
from softgate.policy.catalogue import Catalogue  # noqa: E402
from softgate.runtime.counts import Counts  # noqa: E402
from softgate.runtime.repository import find_bundles  # noqa: E402
from softgate.types import Rows  # noqa: E402
from softgate.web import calls  # noqa: E402
from softgate.web.metrics.layout import layout  # noqa: E402
from softgate.web.protocols.open_inference.rest import LENGTH_HEADER, OpenInference  # noqa: E402
from softgate.web.protocols.protocol import Request  # noqa: E402

N_ROWS, N_FEATURES = 256, 64
GRAPH, POLICY = "the graph", "score, decide, count"
WAYS: Mapping[str, Sequence[str]] = {
    "logits": ["logits"],
    "probabilities": ["probabilities"],
    "label and confidence": ["label", "confidence"],
    "decisions": ["decision"],
    "everything": [],
}


def catalogue(folder: Path, n_classes: int) -> Catalogue:
    weights = np.random.default_rng(0).normal(size=(N_FEATURES, n_classes)).astype(np.float32)
    labels = [f"label {number}" for number in range(n_classes)]
    write_model(folder / "toy", linear(weights), labels=labels)
    with (folder / "toy" / "classifier.toml").open("a") as card:
        card.write(f'[serving]\nmax_batch = {N_ROWS}\nrun_on = "loop"\n')
    bundles = find_bundles(folder)
    counts = Counts(layout(bundles), n_rows=1)
    found = Catalogue(bundles, lambda name: counts.layout.view(counts.row(0), name))
    found.load(threads=1, clock=time.perf_counter, max_rows=N_ROWS)
    return found


def request(rows: np.ndarray[tuple[int, int], np.dtype[np.float32]], names: Sequence[str]) -> Request:
    raw = rows.tobytes()
    tensor = {"name": "features", "datatype": "FP32", "shape": rows.shape}
    asked = {
        "inputs": [{**tensor, "parameters": {"binary_data_size": len(raw)}}],
        "outputs": [{"name": name} for name in names],
        "parameters": {"binary_data_output": True},
    }
    head = json.dumps(asked).encode()
    # So that the numbers are aligned, as half the clients' are by chance.
    head += b" " * (-len(head) % 8)
    headers = [(LENGTH_HEADER, b"%d" % len(head))]
    return Request("toy", None, content_type=b"", headers=headers, body=head + raw, started=time.perf_counter())


async def microseconds(found: Catalogue, rounds: int) -> dict[str, list[float]]:
    """Of the graph and of each way of asking, a measurement per round."""
    classifier, protocol = found.classifiers["toy"], OpenInference(found)
    rows = np.random.default_rng(1).normal(size=(N_ROWS, N_FEATURES)).astype(np.float32)
    asked = {name: request(rows, outputs) for name, outputs in WAYS.items()}
    logits = classifier.model.logits(Rows(rows))
    alone: dict[str, Callable[[], object]] = {
        GRAPH: lambda: classifier.model.logits(Rows(rows)),
        POLICY: lambda: classifier.monitor.predictions(classifier.decided(logits, 0)),
    }
    taken: dict[str, list[float]] = {name: [] for name in (*alone, *WAYS)}
    for _ in range(rounds):
        for name, call in alone.items():
            taken[name].append(timed(call))
        for name, one in asked.items():
            started = time.perf_counter()
            await calls.answer(protocol, one, clock=time.perf_counter)
            taken[name].append(1e6 * (time.perf_counter() - started))
    return taken


def timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return 1e6 * (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--classes", type=int, default=4)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = catalogue(Path(folder), arguments.classes)
        taken = asyncio.run(microseconds(found, arguments.rounds))
        found.close()
    figures = {name: median(each) for name, each in taken.items()}
    print(
        f"{N_ROWS} rows of {N_FEATURES} float32, {arguments.classes} classes, p50 of {arguments.rounds} rounds, in µs"
    )
    print(f"{'':22}   whole   beyond the graph   beyond that and policy")
    for name, each in figures.items():
        beyond = each - figures[GRAPH]
        print(
            f"{name:22}{each:8.1f}{beyond:19.1f}{beyond - figures[POLICY]:25.1f}"
            if name in WAYS
            else f"{name:22}{each:8.1f}"
        )


if __name__ == "__main__":
    main()
