"""`softgate check`: the checklist before a deployment."""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from rich.text import Text

from softgate.commands.screen import aside, console, plain
from softgate.errors import SoftgateError
from softgate.runtime.contained import Limits, contained
from softgate.workbench.answers import FAILED, OK, WARNING, Line

STYLES = {OK: "green", WARNING: "bold yellow", FAILED: "bold red"}
# Of the status and the longest name of a check.
MARGIN = 28


def run(folder: Path, *, against: Path | None, memory_mb: int, seconds: float, as_json: bool) -> int:
    """Returns the exit code: 1 where a line failed."""
    lines = []
    for line in check(folder, against, Limits(memory_mb * 2**20, seconds)):
        lines.append(line)
        if not as_json:
            show(line)
    counts = Counter(line.status for line in lines)
    failed = counts[FAILED] > 0
    if as_json:
        told = {"folder": str(folder), "ok": not failed, "lines": [asdict(line) for line in lines]}
        sys.stdout.write(json.dumps(told, indent=1) + "\n")
    else:
        show_counts(counts)
    return int(failed)


def check(folder: Path, against: Path | None, limits: Limits) -> Iterator[Line]:
    """Each line as it is found; the last says so where the graph ended the process that ran it."""
    other = "" if against is None else str(against)
    try:
        for values in contained("softgate.workbench.check:check", str(folder), other, limits=limits):
            yield Line(**values)
    except SoftgateError as exc:
        yield Line("limits", FAILED, str(exc), "Do not serve it; --memory-mb and --seconds raise the limits.")


def show(line: Line) -> None:
    margin = Text.assemble((f" {line.status:8}", STYLES[line.status]), (line.check, "bold"))
    aside(margin, Text(plain(line.sentence)), width=MARGIN)
    if line.remedy:
        aside(Text(), Text(plain(line.remedy), "dim"), width=MARGIN)


def show_counts(counts: Mapping[str, int]) -> None:
    warnings = f"{counts[WARNING]} warning{'' if counts[WARNING] == 1 else 's'}"
    console.print(Text(f"\n {counts[OK]} ok, {warnings}, {counts[FAILED]} failed.", "bold"))
