"""
Rows per second of `softgate predict --input` and of a stream of NDJSON, next to bare batched runs of the same graph on
the same rows, in turns.

    .venv/bin/python tests/bench/bench_bulk.py

Sentences of CLINC150, repeated, through models/clinc150. Bare is one loop over batches, all cores of the quota given
to the graph: `run` alone, over rows that are tokenised already, and tokenisation and run; in the rows' own order and
sorted by length. Its batch size is the fastest of some. The command is timed as a user would, from its start to its
end; a server of the same model is ready before its stream begins. Peak memory is of the process, for a tenth of the
rows and for all.
"""

import argparse
import csv
import itertools
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests")]

from bench.page import fill  # noqa: E402
from memory import peak_mib, peak_until_end  # noqa: E402
from servers import Served, command, environment, served  # noqa: E402
from shared_data import shared  # noqa: E402
from softgate.runtime.quota import usable_cpus  # noqa: E402
from softgate.runtime.repository import Model, read_bundle  # noqa: E402
from softgate.types import Rows  # noqa: E402
from softgate.workbench.bench.processes import cpu_seconds  # noqa: E402

FOLDER = ROOT / "models" / "clinc150"
BATCHES = (32, 64, 128, 256)
N_TRIED = 4096


@dataclass(frozen=True)
class Taken:
    seconds: float
    cpu_seconds: float


def sentences(n_rows: int) -> list[str]:
    data = json.loads(shared("data", "clinc150", "data_full.json").read_text())
    texts = [text for part in ("train", "val", "test", "oos_test") for text, _ in data[part]]
    random.Random(0).shuffle(texts)
    return list(itertools.islice(itertools.cycle(texts), n_rows))


def bare(model: Model, rows: Sequence[str], batch: int, *, by_length: bool) -> tuple[Taken, Taken]:
    """Of `run` alone, and with tokenisation."""
    started = now()
    tokens = dict(zip(rows, model.input.lengths(Rows(rows)), strict=True)) if by_length else {}  # type: ignore[attr-defined]
    ordered = sorted(rows, key=tokens.__getitem__) if by_length else rows
    feeds = [model.input.feed(Rows(ordered[start : start + batch])) for start in range(0, len(ordered), batch)]
    tokenised = now()
    for feed in feeds:
        model._runner.session.run([model.output], feed)
    ended = now()
    run, whole = (Taken(ended[0] - since[0], ended[1] - since[1]) for since in (tokenised, started))
    return run, whole


def now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def ours(source: Path, output: Path) -> tuple[Taken, float]:
    """And MiB at most."""
    started = time.perf_counter()
    line = command("predict", FOLDER, "--input", source, "--output", output)
    process = subprocess.Popen(line, env=environment(), stderr=subprocess.DEVNULL)
    peak = peak_until_end(process)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, "Only whole answers count."
    return Taken(time.perf_counter() - started, usage.ru_utime + usage.ru_stime), peak


def streamed(server: Served, content: bytes) -> Taken:
    """Seconds from the first line sent to the last answer's end."""
    host, port = server.url.removeprefix("http://").split(":")
    head = (
        f"POST /v1/models/clinc150/predict?top_k=5 HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n"
        f"content-type: application/x-ndjson\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    started, cpu = time.perf_counter(), cpu_seconds([server.process.pid])
    with socket.create_connection((host, int(port))) as client:
        sender = threading.Thread(target=client.sendall, args=(head.encode() + content,))
        sender.start()
        last = b""
        while piece := client.recv(2**20):
            last = (last + piece)[-5:]
        sender.join()
    assert last == b"0\r\n\r\n", "Only whole answers count."
    return Taken(time.perf_counter() - started, cpu_seconds([server.process.pid]) - cpu)


def write_csv(path: Path, rows: Sequence[str]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["text"], *([row] for row in rows)])
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--page", action="store_true", help="write what was seen to docs/performance.md")
    arguments = parser.parse_args()
    rows = sentences(arguments.rows)
    model = Model(read_bundle(FOLDER), threads=usable_cpus())
    kinds = {"own order": False, "by length": True}
    batches = {
        name: min(BATCHES, key=lambda batch: bare(model, rows[:N_TRIED], batch, by_length=by_length)[0].seconds)
        for name, by_length in kinds.items()
    }
    taken: dict[str, list[Taken]] = {"softgate predict --input": [], "a stream of NDJSON": []}
    theirs: dict[str, list[tuple[Taken, Taken]]] = {name: [] for name in kinds}
    content = [json.dumps(row).encode() + b"\n" for row in rows]
    n_tenth = len(rows) // 10
    with tempfile.TemporaryDirectory() as temporary, served(FOLDER) as server:
        output = Path(temporary, "rows.jsonl")
        tenth, whole = (write_csv(Path(temporary, f"{n}.csv"), rows[:n]) for n in (n_tenth, len(rows)))
        peaks: dict[str, list[float]] = {name: [] for name in taken}
        for source, n_rows in ((tenth, n_tenth), (whole, len(rows))):
            streamed(server, b"".join(content[:n_rows]))
            for name, peak in zip(taken, (ours(source, output)[1], peak_mib(server.process.pid)), strict=True):
                peaks[name].append(peak)
        for _ in range(arguments.rounds):
            for name, one in zip(taken, (ours(whole, output)[0], streamed(server, b"".join(content))), strict=True):
                taken[name].append(one)
            for name, by_length in kinds.items():
                theirs[name].append(bare(model, rows, batches[name], by_length=by_length))
    lines = []
    for ours_name, own in taken.items():
        lines.append(f"{ours_name}: {told(own, len(rows))}")
        for name, runs in theirs.items():
            for what, some in zip(("run", "tokenise and run"), zip(*runs, strict=True), strict=True):
                of_bare = median(bare_one.seconds / one.seconds for bare_one, one in zip(some, own, strict=True))
                batch = f"{batches[name]} rows a batch"
                lines.append(f"  {of_bare:.2f}x of bare {what}, {name}, {batch}: {told(some, len(rows))}")
        low, high = peaks[ours_name]
        lines.append(f"  peak memory: {low:.0f} MiB for {n_tenth:,} rows, {high:.0f} MiB for {len(rows):,}")
    print("\n".join(lines))
    if arguments.page:
        fill(
            "bulk", "\n".join(f"    {line}" for line in [f"{datetime.now(UTC).date()}, {usable_cpus()} cores", *lines])
        )


def told(some: Sequence[Taken], n_rows: int) -> str:
    rate, cpu = n_rows / median(one.seconds for one in some), median(one.cpu_seconds for one in some) / n_rows
    return f"{rate:,.0f} rows/s, {cpu * 1e6:.0f} µs of CPU a row"


if __name__ == "__main__":
    main()
