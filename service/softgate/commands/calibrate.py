"""`softgate calibrate`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.padding import Padding
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from softgate.commands import report
from softgate.commands.screen import console, warn
from softgate.errors import CalibrationInvalid, SoftgateError
from softgate.runtime.inputs.columns import ColumnsInput
from softgate.runtime.inputs.matrix import MatrixInput
from softgate.runtime.quota import usable_cpus
from softgate.runtime.repository import Bundle, Model, calibration_beside, read_bundle
from softgate.workbench.calibrate.calibrate import Calibrated, Options, calibrate
from softgate.workbench.calibrate.change import Change, compare
from softgate.workbench.calibrate.files import golden_rows, stand_ins, write
from softgate.workbench.calibrate.labelled import Data, label
from softgate.workbench.examples import Examples, read_examples, read_rows
from softgate.workbench.report.page import page
from softgate.workbench.report.source import subject
from softgate.workbench.report.words import percent, printable
from softgate.workbench.whole_file import replace


def run(
    folder: Path,
    *,
    data: Path,
    apart: Path | None,
    out_of_scope_label: str | None,
    golden_from: Path | None,
    dry_run: bool,
    **options: Any,
) -> None:
    """`options`: those of `Options`."""
    model = Model(read_bundle(folder, calibrated=False), threads=usable_cpus())
    examples = _read(data, model, out_of_scope_label)
    others = None if apart is None else _read(apart, model, out_of_scope_label)
    if others is not None and others.sha256 == examples.sha256:
        raise SoftgateError(f"{apart}: got the rows of {data} again, wanted others to judge by.")
    golden = None if golden_from is None else golden_rows(model, golden_from, read_rows(golden_from, **_columns(model)))
    with Progress(console=console, transient=True) as progress:
        found = calibrate(
            model,
            _labelled(model, examples, out_of_scope_label, progress, "Running the graph"),
            None
            if others is None
            else _labelled(model, others, out_of_scope_label, progress, "Running the graph on the rows apart"),
            options=Options(**options),
            stage=lambda name: progress.print(Text(f" {name}", "dim")),
        )
        change = None
        if dry_run:
            progress.print(Text(" Comparing with the calibration in force", "dim"))
            change = compare(model, _in_force(model.bundle), found.calibration, found.rows)
    if change is not None:
        report.show_answers(subject(dataclasses.replace(model.bundle, calibration=found.calibration)), console)
        for doubt in found.doubts:
            warn(doubt)
        _print_change(change)
        console.print(Text("\n Nothing was written."))
        return
    # Not before the rows have been labelled: until then one of them may be none that the model takes.
    golden = stand_ins(model, examples) if golden is None else golden
    written = write(model.bundle, calibration=found.content, golden=golden)
    _report(folder, found, written)


def _report(folder: Path, found: Calibrated, written: Sequence[Path]) -> None:
    """Read again as the server will, so that what is shown is what is served."""
    about = subject(read_bundle(folder))
    report.show_answers(about, console)
    for doubt in found.doubts:
        warn(doubt)
    paths = list(written)
    path = paths[-1].with_suffix(".html")
    try:
        replace(path, page(about).encode("utf-8"))
    except SoftgateError as exc:
        # The calibration is in force without it.
        warn(str(exc))
    else:
        paths.append(path)
    names = ", ".join(path.name for path in paths)
    console.print(Text(f" Wrote {names} in {paths[-1].parent}. More: softgate report {folder}"), soft_wrap=True)


def _read(path: Path, model: Model, out_of_scope_label: str | None) -> Examples:
    card = model.bundle.card
    return read_examples(
        path,
        labels=model.bundle.labels,
        multi_label=card.multi_label,
        out_of_scope_label=out_of_scope_label,
        **_columns(model),
    )


def _columns(model: Model) -> dict[str, Any]:
    """How a table's features become rows: by name where the graph's columns have names, else in the table's order."""
    if not isinstance(model.input, ColumnsInput | MatrixInput):
        return {}
    strings = [spec.name for spec in model.inputs if spec.dtype.kind == "O"]
    named = isinstance(model.input, ColumnsInput) or model.bundle.card.input.keys.columns is not None
    return {"by_name": named, "strings": strings}


def _labelled(model: Model, examples: Examples, out_of_scope_label: str | None, progress: Progress, title: str) -> Data:
    task = progress.add_task(title, total=len(examples.labels), visible=examples.logits is None)
    rows = label(
        model,
        examples,
        out_of_scope_label=out_of_scope_label,
        progress=lambda done: progress.advance(task, done),
    )
    progress.remove_task(task)
    return Data(rows, examples.sha256, out_of_scope_label)


def _in_force(bundle: Bundle) -> Any:
    try:
        return calibration_beside(bundle)
    except CalibrationInvalid as exc:
        warn(f"The calibration that is there does not hold, so it is compared as none: {exc}")
        return None


def _print_change(change: Change) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("", "in force", "new"):
        table.add_column(column, justify="left" if not column else "right", overflow="fold")
    for name, before, after in change.parts:
        table.add_row(Text(name), before, after)
    console.print(Padding(table, (1, 1)))
    console.print(Text(f" {_changes(change.changed, change.rows)}"))
    flips = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("from", "to", "rows"):
        flips.add_column(column, justify="right" if column == "rows" else "left", overflow="fold")
    for before, after, rows in change.flips:
        flips.add_row(Text(printable(before)), Text(printable(after)), f"{rows:,}")
    more = change.changed - sum(rows for _, _, rows in change.flips)
    if more:
        flips.add_row(Text("others", "dim"), "", f"{more:,}")
    if change.flips:
        console.print(Padding(flips, (1, 1, 0, 1)))
    for number, (profile, changed) in enumerate(change.profiles.items()):
        gap = "" if number else "\n"
        console.print(Text(f"{gap} Profile {printable(profile)}: {_changes(changed, change.rows)}"))


def _changes(changed: int, rows: int) -> str:
    return f"{changed:,} of {rows:,} decisions change ({percent(changed / rows)})."
