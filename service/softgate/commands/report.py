"""`softgate report`: a calibration's evidence in the terminal, and as a page."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from softgate.commands import screen
from softgate.errors import SoftgateError
from softgate.runtime.repository import read_bundle
from softgate.workbench.report import tables
from softgate.workbench.report.notes import notes
from softgate.workbench.report.page import page
from softgate.workbench.report.source import subject, with_inputs
from softgate.workbench.report.subject import Subject
from softgate.workbench.report.summary import BAD, CAUTION, GOOD, UNKNOWN, Answer, answers
from softgate.workbench.report.words import counted, printable

STYLES = {GOOD: "green", CAUTION: "bold yellow", BAD: "bold red", UNKNOWN: "bold"}
WORST_CLASSES = MISTAKES = 8
NARROW = 90


def run(folder: Path, *, html: Path | None, show_inputs: Path | None) -> None:
    """Raises CalibrationInvalid where there is no calibration, DataInvalid for the wrong file of inputs."""
    found = subject(read_bundle(folder))
    if show_inputs is not None:
        found = with_inputs(found, show_inputs)
    show(found, screen.console)
    if html is not None:
        _write(html, page(found))
        screen.console.print(Text(f" Wrote {html}."), soft_wrap=True)


def _write(path: Path, html: str) -> None:
    try:
        path.write_text(html, encoding="utf-8")
    except OSError as exc:
        raise SoftgateError(f"{path}: cannot be written: {exc.strerror}.") from exc


def show_answers(found: Subject, console: Console) -> None:
    """The four questions, and what a reader must keep in mind."""
    rows = found.part("data").get("rows")
    about = f", {counted(rows, 'row')}" if rows else ""
    title = f" {found.version}: calibration {found.calibration}, {counted(found.n_labels, 'label')}{about}"
    console.print(Padding(Text.assemble((printable(found.model), "bold"), title), 1))
    for answer in answers(found):
        console.print(Padding(_answer(answer), (0, 1, 1, 1)))
    for note in notes(found):
        grid = Table.grid(padding=(0, 1))
        grid.add_row("-", Text(note))
        console.print(Padding(grid, (0, 1)))


def show(found: Subject, console: Console) -> None:
    show_answers(found, console)
    _print_table(console, "Measures, over pairs" if found.multi_label else "Measures", tables.quality(found))
    if found.part("promises"):
        _print_table(console, "Promises", tables.promises(found))
    _print_table(console, "Routes with a threshold of their own", tables.routes(found.promise))
    _print_table(console, f"Worst {found.outcome[1]}", tables.classes(found, WORST_CLASSES))
    _print_mistakes(console, found)


def _answer(answer: Answer) -> Group:
    style = STYLES[answer.status]
    return Group(
        Text.assemble((answer.question, "bold"), " ", (f"{answer.verdict}.", style)),
        Text.assemble((answer.figure, f"{style} bold"), f" {answer.unit}"),
        Text(answer.sentence),
        *([Text(answer.detail, "dim")] if answer.detail else []),
    )


def _print_table(console: Console, title: str, table: tables.Table) -> None:
    if not table.rows:
        return
    kept = [
        place
        for place, name in enumerate(table.columns)
        if console.width >= NARROW or place < table.texts or name not in table.extra
    ]
    drawn = _columns([table.columns[place] for place in kept], table.texts)
    for row in table.rows:
        drawn.add_row(*(Text(row[place]) for place in kept))
    console.print(Padding(Group(Text(f"\n{title}", "bold"), drawn), (0, 1)))


def _print_mistakes(console: Console, found: Subject) -> None:
    table = tables.mistakes(found)
    if not found.inputs:
        _print_table(console, "Most confident mistakes", replace(table, rows=table.rows[:MISTAKES]))
        return
    console.print(Padding(Text("\nMost confident mistakes", "bold"), (0, 1)))
    for part, (row, label, predicted, confidence) in zip(found.evidence["mistakes"], table.rows, strict=True):
        line = Text.assemble(
            (f"row {row}  ", "dim"), (label, "bold"), " taken for ", (predicted, "bold"), f" at {confidence}"
        )
        console.print(Padding(Group(line, Text(printable(found.inputs.get(part["row"], "")))), (0, 1, 1, 1)))


def _columns(names: Sequence[str], texts: int) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for place, name in enumerate(names):
        table.add_column(name, justify="left" if place < texts else "right", overflow="fold")
    return table
