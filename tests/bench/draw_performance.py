"""
Fills docs/performance.md with what compare.py kept, and draws throughput against latency.

    make performance
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from matplotlib.figure import Figure

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests")]

from bench.page import fill  # noqa: E402
from bench.verdicts import Claim, shown, table  # noqa: E402

COMPARED = ROOT / "build" / "compared.json"
PICTURE = ROOT / "docs" / "pictures" / "performance.png"
CURVE = "curve"
HEADS = ("", "requests/s", "p50, µs", "p99, µs", "server CPU, µs/request", "errors")
MARKERS = "osD^vP*X"


def main() -> None:
    compared = json.loads(COMPARED.read_text())
    for name, section in compared.items():
        fill(name, told(section))
    if CURVE in compared:
        draw(compared[CURVE]["figures"])


def told(section: Mapping[str, Any]) -> str:
    """As Markdown: what was claimed, what all did under each load, and how it was taken."""
    parts = [f"Skipped: {reason}" for reason in section["skipped"]]
    claims = [
        Claim(claim["text"], claim["values"], claim["sense"], claim["bound"], claim["unit"])
        for claim in section["claims"]
    ]
    parts += [table(claims)] if claims else []
    parts += [f"{load}:\n\n{figures(contenders)}" for load, contenders in section["figures"].items()]
    return "\n\n".join([*parts, taken(section["taken"])])


def figures(contenders: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Medians of the turns, a line for each contender."""
    lines = [HEADS, ["---", *["--:"] * (len(HEADS) - 1)]]
    for name, turns in contenders.items():
        medians = (median(turn[figure] for turn in turns) for figure in ("per_second", "p50_us", "p99_us", "cpu_us"))
        cells = (shown(value) if value else "" for value in medians)
        lines.append([name, *cells, str(sum(turn["errors"] for turn in turns))])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def taken(how: Mapping[str, str]) -> str:
    known = dict(how)
    date, command, machine = (known.pop(name) for name in ("date", "command", "machine"))
    return f"{date}, {machine}, `{command}`; " + ", ".join(f"{name} {version}" for name, version in known.items()) + "."


def draw(loads: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]) -> None:
    """A line for each contender, a dot for each number of connections: to the right and low is good."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    for marker, name in zip(MARKERS, next(iter(loads.values())), strict=False):
        rates, waits = (
            [median(turn[of] for turn in contenders[name]) for contenders in loads.values()]
            for of in ("per_second", "p50_us")
        )
        waits = [wait / 1000 for wait in waits]
        axes.plot(rates, waits, marker=marker, label=name)
        for rate, wait, connections in zip(rates, waits, loads, strict=True):
            axes.annotate(connections, (rate, wait), textcoords="offset points", xytext=(4, 5), fontsize=7)
    axes.set(xscale="log", yscale="log", xlabel="good answers per second", ylabel="p50, ms")
    axes.set_title("64 numbers in, 10 classes out; a dot for each number of connections", fontsize=10)
    axes.grid(which="both", alpha=0.25)
    axes.legend(fontsize=8)
    figure.savefig(PICTURE, dpi=120)


if __name__ == "__main__":
    main()
