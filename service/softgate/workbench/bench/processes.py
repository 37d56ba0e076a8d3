"""Running programs, and what the kernel says of them: who descends from whom, their CPU time, their memory."""

import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Stat:
    parent: int
    cpu_ticks: int
    """In user and kernel mode."""


@dataclass(frozen=True, slots=True)
class Memory:
    resident_bytes: int
    proportional_bytes: int | None
    """What is shared counts in parts; None where the kernel does not tell."""


def run(line: Sequence[str], *, given: str = "") -> "subprocess.CompletedProcess[str]":
    """A program to its end, `given` on its standard input. Whatever interrupts this ends it."""
    pipe = subprocess.PIPE
    with subprocess.Popen(line, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:  # noqa: S603
        try:
            output, errors = process.communicate(given)
        finally:
            process.kill()
            process.wait()
    return subprocess.CompletedProcess(line, process.returncode, output, errors)


def stat(line: str) -> Stat:
    """Of a line of /proc/PID/stat; the program's name in it may hold anything, brackets too."""
    fields = line.rpartition(")")[2].split()
    return Stat(parent=int(fields[1]), cpu_ticks=int(fields[11]) + int(fields[12]))


def descendants(root: int, parents: Mapping[int, int]) -> Sequence[int]:
    """The process itself, then its children and theirs; `parents` maps each process to its parent."""
    found = [root]
    for process in found:
        found += sorted(child for child, parent in parents.items() if parent == process)
    return found


def tree(root: int) -> Sequence[int]:
    parents = {}
    for entry in PROC.iterdir():
        if entry.name.isdecimal() and (line := _read(entry / "stat")):
            parents[int(entry.name)] = stat(line).parent
    return descendants(root, parents)


def cpu_seconds(processes: Iterable[int]) -> float:
    """Used so far, all threads; none for a process that has ended."""
    lines = [_read(PROC / str(process) / "stat") for process in processes]
    return sum(stat(line).cpu_ticks for line in lines if line) / os.sysconf("SC_CLK_TCK")


def memory(process: int) -> Memory:
    resident = _kilobytes(_read(PROC / str(process) / "status"), "VmRSS")
    proportional = _kilobytes(_read(PROC / str(process) / "smaps_rollup"), "Pss")
    return Memory((resident or 0) * 1024, None if proportional is None else proportional * 1024)


def cpu_model() -> str:
    names = [line.partition(":")[2].strip() for line in _read(PROC / "cpuinfo").splitlines() if "model name" in line]
    return names[0] if names else "unknown CPU"


def _kilobytes(text: str, name: str) -> int | None:
    values = [line.split()[1] for line in text.splitlines() if line.startswith(f"{name}:")]
    return int(values[0]) if values else None


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
