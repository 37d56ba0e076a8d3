"""`softgate check`: the checklist before a deployment."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from rich.text import Text

from softgate.commands.screen import console
from softgate.errors import SoftgateError
from softgate.runtime.contained import Limits, contained
from softgate.workbench.answers import FAILED, OK, WARNING, Line

STYLES = {OK: "green", WARNING: "bold yellow", FAILED: "bold red"}


def run(folder: Path, *, against: Path | None, memory_mb: int, seconds: float, as_json: bool) -> int:
    """Returns the exit code: 1 where a line failed."""
    lines = []
    for line in check(folder, against, Limits(memory_mb * 2**20, seconds)):
        lines.append(line)
        if not as_json:
            _print(line)
    failed = any(line.status == FAILED for line in lines)
    if as_json:
        told = {"folder": str(folder), "ok": not failed, "lines": [asdict(line) for line in lines]}
        sys.stdout.write(json.dumps(told, ensure_ascii=False, indent=1) + "\n")
    return int(failed)


def check(folder: Path, against: Path | None, limits: Limits) -> Iterator[Line]:
    """Each line as it is found; the last says so where the graph ended the process that ran it."""
    other = "" if against is None else str(against)
    try:
        for values in contained("softgate.workbench.check:check", str(folder), other, limits=limits):
            yield Line(**values)
    except SoftgateError as exc:
        yield Line("limits", FAILED, str(exc), "Do not serve it; --memory-mb and --seconds raise the limits.")


def _print(line: Line) -> None:
    console.print(
        Text.assemble((f" {line.status:8}", STYLES[line.status]), (f"{line.check:15}", "bold"), f" {line.sentence}"),
        soft_wrap=True,
    )
    if line.remedy:
        console.print(Text(f"{'':24} {line.remedy}", "dim"), soft_wrap=True)
