"""`softgate inspect`: what a graph is, as a table or as JSON."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.table import Table
from rich.text import Text

from softgate.commands.screen import amount, aside, console, plain
from softgate.errors import GraphInvalid
from softgate.runtime.card import LOOP, MIXED, THREAD
from softgate.runtime.contained import Limits, contained
from softgate.workbench import duration
from softgate.workbench.inspect import Inspection, Output, of_json
from softgate.workbench.template import shown

NOTE_MARGIN = 6
RUNS_ON = {
    LOOP: "the event loop",
    MIXED: "the event loop where one row, or one short text, is alone, else a thread of its own",
    THREAD: "a thread of its own",
}


def run(path: Path, *, memory_mb: int, seconds: float, as_json: bool) -> None:
    found = inspect(path, Limits(memory_mb * 2**20, seconds))
    if as_json:
        settled = {"activation": found.activation, "n_classes": found.n_classes, "runs_on": found.runs_on}
        answer = None if found.answer is None else found.answer.name
        sys.stdout.write(json.dumps({**asdict(found), "answer": answer, **settled}, indent=1) + "\n")
    else:
        _print(found)


def inspect(path: Path, limits: Limits) -> Inspection:
    """In a process of its own. Raises GraphInvalid."""
    if not path.is_file():
        raise GraphInvalid(f"{path}: there is no such file.")
    (values,) = contained("softgate.workbench.inspect:inspect", str(path), limits=limits)
    return of_json(values)


def _print(found: Inspection) -> None:
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(found):
        table.add_row(Text(name), Text(plain(value)))
    console.print(table)
    for note in found.notes:
        console.print()
        aside(Text(" note", "bold yellow"), Text(plain(note)), width=NOTE_MARGIN)


def _rows(found: Inspection) -> list[tuple[str, str]]:
    opsets = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in found.opsets.items())
    rows = [
        ("file", f"{found.file}, {amount(found.size_bytes)}, sha256 {found.sha256[:12]}"),
        ("made by", f"{found.producer or 'not named'}; opset {opsets}; IR {found.ir_version}"),
        ("weights", f"{found.n_parameters:,}" + (f", {found.n_nan} of them NaN" if found.n_nan else "")),
    ]
    rows += [("input", shown([tensor])) for tensor in found.inputs]
    rows += [("output", f"{shown([output])}: {_holds(output)}") for output in found.outputs]
    answer = found.answer
    if found.outputs:
        rows.append(("answer", "several outputs could be it; init asks which" if answer is None else answer.name))
        rows.append(("activation", found.activation or "not settled by the graph; init asks for softmax or sigmoid"))
        rows.append(("classes", _classes(found)))
        rows.append(("batch", "any number of rows" if found.batch is None else f"{found.batch} at a time, no other"))
    rows += [
        (f"time, batch {n_rows}", f"{duration.shown(seconds)}, {duration.shown(seconds / int(n_rows))} per row")
        for n_rows, seconds in found.seconds.items()
    ]
    if found.runs_on is not None:
        several = f", {found.parallel_runs} runs at a time" if (found.parallel_runs or 1) > 1 else ""
        rows.append(("runs on", f"{RUNS_ON[found.runs_on]}; threads: {found.threads}{several}"))
    rows += [("custom operators", ", ".join(found.foreign_operators))] if found.foreign_operators else []
    rows += [("external data", ", ".join(found.external_data))] if found.external_data else []
    return rows


def _holds(output: Output) -> str:
    words = {None: "not recognised", "label": "the label", "labels": "a 0 or 1 per label"}
    holds = words.get(output.holds) or str(output.holds).replace("_", "-")
    if output.independent:
        holds += " that stand for themselves" if (output.n_columns or 0) > 1 else " of one of two classes"
    return f"{holds}, by {output.ends_in}" if output.ends_in else holds


def _classes(found: Inspection) -> str:
    count = "of unknown number" if found.n_classes is None else str(found.n_classes)
    if not found.labels:
        return f"{count}, not named"
    names = ", ".join(found.labels[:8])
    return f"{count}: {names}{', ...' if len(found.labels) > 8 else ''}"
