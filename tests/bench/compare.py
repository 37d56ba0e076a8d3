"""
softgate beside its peers and beside floors, every figure as a ratio of one run in which all take turns.

    make compare
    python tests/bench/compare.py w1 cost --turns 5 --seconds 2 --json compared.json

Sections: w1, w2, w3, wide, memory, cost, curve; all of them unless some are named. Requests come from wrk, or where
they arrive at a rate from the generator of `softgate bench`. Peers are set up in .venv-peers the first time. Sections
of the JSON file that are not measured again stay as they are.
"""

import argparse
import json
import platform
import shlex
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests")]

from bench.contenders import served_version  # noqa: E402
from bench.sections import cost, curve, memory, text, tiny, transformer, wide  # noqa: E402
from bench.sections.section import Plan, Section  # noqa: E402
from bench.verdicts import shown, table  # noqa: E402
from bench.workloads import Absent  # noqa: E402
from softgate.runtime.quota import usable_cpus  # noqa: E402
from softgate.workbench.bench import closed_loop  # noqa: E402
from softgate.workbench.bench.processes import cpu_model  # noqa: E402

SECTIONS: Mapping[str, ModuleType] = {
    "w1": tiny,
    "w2": text,
    "w3": transformer,
    "wide": wide,
    "memory": memory,
    "cost": cost,
    "curve": curve,
}
LIBRARIES = ("softgate", "onnxruntime", "fastapi", "uvicorn", "numpy", "orjson", "tokenizers")


def main() -> int:
    """1 where a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="section")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "compared.json")
    arguments = parser.parse_args()
    unknown = set(arguments.sections) - SECTIONS.keys()
    if unknown:
        parser.error(f"unknown section {', '.join(sorted(unknown))}; wanted some of {', '.join(SECTIONS)}")
    plan, fails = Plan(arguments.turns, arguments.seconds), 0
    for name in arguments.sections or SECTIONS:
        started = time.monotonic()
        try:
            with tempfile.TemporaryDirectory(prefix="softgate-compare-") as folder:
                section = SECTIONS[name].measure(plan, Path(folder))
        except Absent as exc:
            section = Section(skipped=[str(exc)])
        print(told(SECTIONS[name].TITLE, section, time.monotonic() - started), flush=True)
        keep(arguments.json, name, SECTIONS[name].TITLE, section)
        fails += sum(not claim.holds for claim in section.claims)
    return 1 if fails else 0


def told(title: str, section: Section, seconds: float) -> str:
    parts = [f"\n## {title} ({seconds:.0f} s)", *(f"skipped: {reason}" for reason in section.skipped)]
    parts += [table(section.claims)] if section.claims else []
    for load, contenders in section.figures.items():
        parts.append(f"{load}:")
        for name, turns in contenders.items():
            rate, p50, p99, cpu = (
                shown(median(getattr(turn, figure) for turn in turns))
                for figure in ("per_second", "p50_us", "p99_us", "cpu_us")
            )
            errors = sum(turn.errors for turn in turns)
            parts.append(
                f"  {name:<36} {rate:>8}/s  p50 {p50:>9} µs  p99 {p99:>9} µs  CPU {cpu:>8} µs"
                + (f"  {errors} errors" if errors else "")
            )
    return "\n".join(parts)


def keep(path: Path, name: str, title: str, section: Section) -> None:
    """In the file, beside the other sections."""
    known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    known[name] = {
        "title": title,
        "taken": taken(),
        "claims": [asdict(claim) | {"median": median(claim.values), "holds": claim.holds} for claim in section.claims],
        "figures": {load: _plain(contenders) for load, contenders in section.figures.items()},
        "skipped": section.skipped,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(known, indent=1) + "\n")


def taken() -> dict[str, Any]:
    """When, how and on what."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "command": shlex.join(["python", "tests/bench/compare.py", *sys.argv[1:]]),
        "machine": f"{usable_cpus()} cores of {cpu_model()}",
        "python": platform.python_version(),
        "wrk": closed_loop.version(),
        **{library: version(library) for library in LIBRARIES},
        "softgate": served_version(),
    }


def _plain(contenders: Mapping[str, Any]) -> dict[str, Any]:
    return {name: [asdict(turn) for turn in turns] for name, turns in contenders.items()}


if __name__ == "__main__":
    sys.exit(main())
