"""`softgate calibrate`."""

from pathlib import Path

from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from softgate.commands.screen import console, warn
from softgate.runtime.quota import usable_cpus
from softgate.runtime.repository import Model, read_bundle
from softgate.workbench import calibrate as workbench
from softgate.workbench.examples import read_examples, read_rows


def run(folder: Path, *, data: Path, golden_from: Path | None, robust: bool) -> None:
    examples = read_examples(data)
    golden_rows = None if golden_from is None else read_rows(golden_from)
    model = Model(read_bundle(folder, calibrated=False), threads=usable_cpus())
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("Running the graph", total=len(examples.labels))
        found = workbench.calibrate(
            model,
            examples,
            golden_rows=golden_rows,
            robust=robust,
            progress=lambda done: progress.advance(task, done),
        )
    written = workbench.write(model.bundle, found)
    _print_calibrated(found, n_rows=len(examples.labels))
    console.print(Text(f"\n Wrote {written[0]} and {written[1].name}."))


def _print_calibrated(found: workbench.Calibrated, *, n_rows: int) -> None:
    noise = "" if found.noise is None else f", {found.noise:.2%} of their labels taken for wrong"
    console.print(Text(f" T = {found.temperature:.4f} from {n_rows} rows{noise}\n"))
    table = Table(box=None, padding=(0, 1))
    for column in ("on the rows fitted", "T = 1", "fitted T"):
        table.add_column(column, justify="left" if column.startswith("on") else "right")
    for name, before in found.before.items():
        table.add_row(name, f"{before:.4f}", f"{found.after[name]:.4f}")
    console.print(table)
    for doubt in found.doubts:
        warn(doubt)
