"""`softgate init`: from a graph to a model folder that is ready to serve."""

from pathlib import Path

from rich.text import Text

from softgate.commands.inspect import inspect
from softgate.commands.screen import console, warn
from softgate.runtime.contained import Limits, contained
from softgate.workbench import init as workbench
from softgate.workbench.init import Wishes


def run(
    model: Path,
    *,
    folder: Path,
    labels: Path | None,
    tokenizer: Path | None,
    activation: str | None,
    kind: str | None,
    tensor: str | None,
    memory_mb: int,
    seconds: float,
) -> None:
    limits = Limits(memory_mb * 2**20, seconds)
    wishes = Wishes(labels=labels, tokenizer=tokenizer, activation=activation, input=kind, output=tensor)
    found = inspect(model, limits)
    planned = workbench.plan(folder.resolve().name, found, wishes)
    workbench.write(folder, model, planned, wishes)
    # The very load that serving does, in a process of its own.
    rows = workbench.keep(folder, contained("softgate.workbench.init:golden", str(folder), limits=limits))
    doubts = [*planned.doubts]
    if rows is None:
        doubts.append(
            "No row could be made up that the graph takes, so there are no golden rows yet: calibrate writes them."
        )
    for doubt in doubts:
        warn(doubt)
    n_labels = len(planned.labels)
    beside = f", weights in {', '.join(planned.external_data)}" if planned.external_data else ""
    console.print(
        Text(f" Wrote {folder}: {planned.activation}, {n_labels} label{'' if n_labels == 1 else 's'}{beside}.")
    )
    console.print(Text(f" Next: softgate check {folder}; softgate serve {folder}", "dim"))
