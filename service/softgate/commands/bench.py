"""`softgate bench`: what a model folder serves on this machine, beside a bare answer of the same size."""

import json
import platform
import shlex
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from softgate.commands import bench_screen, screen
from softgate.commands.bench_told import Setting, told
from softgate.commands.version import installed
from softgate.runtime.quota import usable_cpus
from softgate.runtime.repository import Bundle, read_bundle
from softgate.settings import read_settings
from softgate.workbench.bench import bodies, closed_loop
from softgate.workbench.bench.bench import Measured, Plan, measure
from softgate.workbench.bench.processes import cpu_model

LIBRARIES = ("onnxruntime", "numpy", "uvicorn", "uvloop", "httptools")


def run(
    folder: Path,
    *,
    workers: int | None,
    connections: Sequence[int],
    rounds: int,
    seconds: float,
    rows: Path | None,
    bound_ms: float | None,
    as_json: bool,
) -> None:
    """Raises SoftgateError."""
    settings = read_settings(workers=workers)
    bundle = read_bundle(folder)
    wrk = closed_loop.version()
    sent, what = bodies.of_bundle(bundle) if rows is None else (bodies.of_file(rows), f"the rows of {rows.name}")
    setting = _setting(bundle, rows=what, wrk=wrk, workers=settings.workers, rounds=rounds, seconds=seconds)
    plan = Plan(sent, connections, rounds, seconds, None if bound_ms is None else bound_ms * 1000)
    for number in (signal.SIGTERM, signal.SIGHUP):
        # As on Ctrl-C: what was started is ended.
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    measured = _measure(folder, plan, setting, name=bundle.name, keeps_state=settings.state_dir is not None)
    if as_json:
        sys.stdout.write(json.dumps(told(setting, measured), indent=1) + "\n")
    else:
        bench_screen.show(setting, measured, screen.console)


def _setting(bundle: Bundle, *, rows: str, wrk: str, workers: int, rounds: int, seconds: float) -> Setting:
    return Setting(
        command=shlex.join(["softgate", *sys.argv[1:]]),
        date=datetime.now(UTC).isoformat(" ", "minutes"),
        machine=f"{cpu_model()}, {usable_cpus()} CPUs, Linux {platform.release()}",
        versions={
            "softgate": installed(),
            "Python": platform.python_version(),
            **{name: version(name) for name in LIBRARIES},
            "wrk": wrk,
        },
        model=f"{bundle.name} {bundle.version}",
        kind=bundle.card.input.kind,
        n_labels=len(bundle.labels),
        rows=rows,
        workers=workers,
        rounds=rounds,
        seconds=seconds,
    )


def _measure(folder: Path, plan: Plan, setting: Setting, *, name: str, keeps_state: bool) -> Measured:
    columns = (SpinnerColumn("line"), TextColumn("{task.description}"), TimeElapsedColumn())
    # On standard error, and only of a terminal.
    to = Console(stderr=True)
    with Progress(*columns, console=to, transient=True, disable=not to.is_terminal) as progress:
        task = progress.add_task("")
        return measure(
            folder,
            plan,
            name=name,
            workers=setting.workers,
            keeps_state=keeps_state,
            progress=lambda step: progress.update(task, description=step),
        )
