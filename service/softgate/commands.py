"""What the commands do, and how their results look in a terminal."""

import sys
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from softgate import __version__
from softgate.errors import InvalidInput
from softgate.numerics.temperature import TEMPERATURE_RANGE
from softgate.policy.classifier import Classifier
from softgate.policy.decision import target
from softgate.policy.monitor import Monitor, fields
from softgate.runtime.counts import Counts, Layout
from softgate.runtime.quota import usable_cpus
from softgate.runtime.repository import Model, find_bundles, read_bundle
from softgate.settings import read_settings
from softgate.types import Action, Predictions, Reason, View
from softgate.web import server, supervisor
from softgate.web.protocols import native
from softgate.workbench import calibrate as workbench
from softgate.workbench.examples import read_examples, read_rows

console = Console()
BAR_WIDTH = 32
STYLES = {
    Action.ROUTE: "bold green",
    Action.CLARIFY: "bold yellow",
    Action.FALLBACK: "bold red",
    Action.ABSTAIN: "bold red",
}


def serve(folder: Path, *, host: str | None, port: int | None, workers: int | None) -> int:
    """Until told to stop; returns the exit code. None leaves a setting to the environment."""
    settings = read_settings(host=host, port=port, workers=workers)
    bundles = find_bundles(folder)
    with server.bind(settings.host, settings.port) as listener:
        if sys.stdout.isatty():
            _greet(server.url(listener), bundles[0].name, is_text=bundles[0].card.input.kind == "text")
        return supervisor.serve(listener, bundles, settings)


def predict(
    folder: Path, row: str, *, top_k: int, temperature: float | None, profile: str | None, as_json: bool
) -> None:
    low, high = TEMPERATURE_RANGE
    if temperature is not None and not low <= temperature <= high:
        raise InvalidInput(f"Expected a temperature from {low:g} to {high:g}; got {temperature:g}.")
    classifier = _classifier(folder)
    element = classifier.model.input.element
    values = [row] if element is str else native.decode_inputs(row.encode(errors="replace"), element)
    predictions = classifier.predict_now(classifier.check(values), profile=profile)
    view = View(temperature=temperature, top_k=top_k)
    if as_json:
        sys.stdout.write(native.encode(classifier, predictions, view).decode() + "\n")
    else:
        _print_prediction(classifier, predictions, view)
    classifier.close()


def calibrate(folder: Path, *, data: Path, golden_from: Path | None, robust: bool) -> None:
    examples = read_examples(data)
    golden_rows = None if golden_from is None else read_rows(golden_from)
    model = Model(read_bundle(folder, calibrated=False), threads=usable_cpus())
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("Running the graph", total=len(examples.rows))
        found = workbench.calibrate(
            model,
            examples,
            golden_rows=golden_rows,
            robust=robust,
            progress=lambda done: progress.advance(task, done),
        )
    written = workbench.write(model.bundle, found)
    _print_calibrated(found, n_rows=len(examples.rows))
    console.print(Text(f"\n Wrote {written[0]} and {written[1].name}."))


def _classifier(folder: Path) -> Classifier:
    model = Model(read_bundle(folder), threads=usable_cpus())
    layout = Layout({"model": fields(n_labels=len(model.bundle.labels))})
    counts = Counts(layout, n_rows=1)
    monitor = Monitor(layout.view(counts.row(0), "model"))
    return Classifier(model, monitor, clock=time.monotonic, max_rows=1)


def _greet(url: str, name: str, *, is_text: bool) -> None:
    inputs = '"move 50 dollars to savings"' if is_text else "[0.1, 0.2]"
    console.print(f"\n  [bold]softgate[/bold] {__version__} on [link={url}]{url}[/link]   docs: {url}/docs\n")
    console.print(
        f'  curl {url}/v1/models/{name}/predict -d \'{{"inputs": {inputs}, "top_k": 3}}\'\n',
        highlight=False,
        soft_wrap=True,
    )


def _print_prediction(classifier: Classifier, predictions: Predictions, view: View) -> None:
    shown = classifier.show(predictions, view)
    scores, decisions = shown.scores, predictions.decisions
    full, empty, arrow = ("█", "░", "→") if console.encoding.startswith("utf") else ("#", ".", "->")
    table = Table(box=None, show_header=False, padding=(0, 1))
    if scores.finite[0]:
        for column in shown.order[0, : shown.keep[0]].tolist():
            probability = float(scores.probabilities[0, column])
            filled = round(probability * BAR_WIDTH)
            bar = Text(full * filled, "cyan") + Text(empty * (BAR_WIDTH - filled), "dim")
            table.add_row(Text(classifier.labels[column]), bar, f"{probability:7.2%}")
    console.print(table)
    action, reason = Action(decisions.action[0]), Reason(decisions.reason[0])
    where = target(classifier.routing, action, int(decisions.route[0]))
    candidate = classifier.routing.routes[int(decisions.route[0])]
    console.print(Text.assemble("\n ", (action.word, STYLES[action]), f" {arrow} {where}" if where else ""))
    why = reason.word
    if reason is not Reason.NON_FINITE:
        threshold = float(decisions.threshold[0])
        limit = "no threshold" if np.isnan(threshold) else f"threshold {threshold:.2%}"
        why = f"{why}: {candidate} {float(decisions.confidence[0]):.2%}, {limit}"
    console.print(Text(f" {why}", "dim"))


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
        Console(stderr=True).print(Text.assemble(("warning ", "bold yellow"), doubt), soft_wrap=True)
