"""The command line. An error is one clear sentence on standard error and an exit code."""

import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from softgate import __version__
from softgate.errors import InvalidInput, SoftgateError, StartupFailed
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

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Serves ONNX classifiers: calibrated probabilities, routing decisions with a reason, drift metrics.",
)
console = Console()
BAR_WIDTH = 32
STYLES = {
    Action.ROUTE: "bold green",
    Action.CLARIFY: "bold yellow",
    Action.FALLBACK: "bold red",
    Action.ABSTAIN: "bold red",
}

ModelFolder = Annotated[Path, typer.Argument(help="A model folder: classifier.toml, labels.txt, 1/model.onnx.")]


@app.command()
def serve(
    folder: Annotated[Path, typer.Argument(help="A model folder, or a folder of model folders.")],
    host: Annotated[str | None, typer.Option(help="Address to listen on [SOFTGATE_HOST; 127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0: any free one [SOFTGATE_PORT; 8080].")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that share the port [SOFTGATE_WORKERS; 1].")] = None,
) -> None:
    """Serve over HTTP until told to stop."""
    settings = read_settings(host=host, port=port, workers=workers)
    bundles = find_bundles(folder)
    listener = server.bind(settings.host, settings.port)
    if sys.stdout.isatty():
        _greet(server.url(listener), bundles[0].name, is_text=bundles[0].card.input.kind == "text")
    raise typer.Exit(supervisor.serve(listener, bundles, settings))


@app.command()
def predict(
    folder: ModelFolder,
    row: Annotated[str, typer.Argument(help="A text; for a model of numbers, a JSON list of them.")],
    *,
    top_k: Annotated[int, typer.Option(min=1, help="Show the k most probable classes.")] = 5,
    temperature: Annotated[
        float | None,
        typer.Option(min=TEMPERATURE_RANGE[0], max=TEMPERATURE_RANGE[1], help="Show scores at this temperature."),
    ] = None,
    profile: Annotated[str | None, typer.Option(help="One of the card's [routing.profiles].")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer of the API.")] = False,
) -> None:
    """Classify one row, without a server."""
    classifier = _classifier(folder)
    element = classifier.model.input.element
    values = [row] if element is str else native.decode_inputs(row.encode(), element)
    predictions = classifier.predict_now(classifier.check(values), profile=profile)
    view = View(temperature=temperature, top_k=top_k)
    if as_json:
        typer.echo(native.encode(classifier, predictions, view).decode())
    else:
        _print_prediction(classifier, predictions, view)
    classifier.close()


@app.command()
def calibrate(
    folder: ModelFolder,
    data: Annotated[Path, typer.Option(help="Labelled rows the model was not trained on: .csv or .jsonl.")],
    golden_from: Annotated[
        Path | None, typer.Option(help="Rows to keep as golden rows: .txt with a text per line, .csv or .jsonl.")
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Fit T alone, without a share of wrong labels.")] = False,
) -> None:
    """Fit the temperature; write calibration.json and golden.json."""
    examples = read_examples(data)
    golden_rows = None if golden_from is None else read_rows(golden_from)
    model = Model(read_bundle(folder, calibrated=False), threads=usable_cpus())
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("Running the graph", total=len(examples.rows))
        found = workbench.calibrate(
            model,
            examples,
            golden_rows=golden_rows,
            robust=not plain,
            progress=lambda done: progress.advance(task, done),
        )
    workbench.write(model.bundle, found)
    _print_calibrated(found, n_rows=len(examples.rows))


@app.command()
def health(
    url: Annotated[
        str | None, typer.Argument(help="Of the server; default: where SOFTGATE_HOST and _PORT say.")
    ] = None,
) -> None:
    """Exit with 0 where the server is ready, else with 1: for a container's health check."""
    settings = read_settings()
    # A server that listens on every address is asked on this machine's own.
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104 - compared, not bound
    address = f"{url or f'http://{host}:{settings.port}'}/readyz?verbose"
    if not address.startswith(("http://", "https://")):
        raise StartupFailed(f"Expected an http URL of a server; got {url}.")
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310 - the scheme was checked
            typer.echo(answer.read().decode())
    except urllib.error.HTTPError as exc:
        typer.echo(exc.read().decode())
        raise typer.Exit(1) from exc
    except OSError as exc:
        raise StartupFailed(f"No answer from {address}: {exc}.") from exc


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if show:
        typer.echo(f"softgate {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; an error on purpose is one sentence and exit code 1, or 2 for input that can be mended."""
    try:
        app()
    except SoftgateError as exc:
        Console(stderr=True).print(Text.assemble(("error ", "bold red"), str(exc)), soft_wrap=True)
        sys.exit(2 if isinstance(exc, InvalidInput) else 1)


def _classifier(folder: Path) -> Classifier:
    model = Model(read_bundle(folder), threads=usable_cpus())
    layout = Layout({"model": fields(n_labels=len(model.bundle.labels))})
    counts = Counts(layout, n_workers=1)
    monitor = Monitor(layout.view(counts.row(0), "model"))
    return Classifier(model, monitor, clock=time.monotonic, max_rows=1)


def _greet(url: str, name: str, *, is_text: bool) -> None:
    inputs = '"move 50 dollars to savings"' if is_text else "[0.1, 0.2]"
    console.print(f"\n  [bold]softgate[/bold] {__version__} on [link={url}]{url}[/link]   docs: {url}/docs\n")
    console.print(f'  curl {url}/v1/models/{name}/predict -d \'{{"inputs": {inputs}, "top_k": 3}}\'\n', highlight=False)


def _print_prediction(classifier: Classifier, predictions: Predictions, view: View) -> None:
    shown = classifier.show(predictions, view)
    scores, decisions = shown.scores, predictions.decisions
    table = Table(box=None, show_header=False, padding=(0, 1))
    if scores.finite[0]:
        for column in shown.order[0, : shown.keep[0]].tolist():
            probability = float(scores.probabilities[0, column])
            filled = round(probability * BAR_WIDTH)
            bar = Text("█" * filled, "cyan") + Text("░" * (BAR_WIDTH - filled), "dim")
            table.add_row(Text(classifier.labels[column]), bar, f"{probability:7.2%}")
    console.print(table)
    action, reason = Action(decisions.action[0]), Reason(decisions.reason[0])
    where = target(classifier.routing, action, int(decisions.route[0]))
    candidate = classifier.routing.routes[int(decisions.route[0])]
    line = Text.assemble(" ", (action.word, STYLES[action]), f" → {where}" if where else "", f"   {reason.word}")
    console.print(line)
    if reason is not Reason.NON_FINITE:
        threshold = float(decisions.threshold[0])
        limit = "no threshold" if threshold != threshold else f"threshold {threshold:.2%}"  # noqa: PLR0124 - NaN
        console.print(Text(f" route {candidate} {float(decisions.confidence[0]):.2%}, {limit}", "dim"))


def _print_calibrated(found: workbench.Calibrated, *, n_rows: int) -> None:
    fit = found.fit
    console.print(Text(f" T = {fit.temperature:.4f} from {n_rows} rows, {fit.noise:.2%} of them mislabelled\n"))
    table = Table(box=None, padding=(0, 1))
    for column in ("on the rows fitted", "T = 1", "fitted T"):
        table.add_column(column, justify="left" if column.startswith("on") else "right")
    for name, before in found.before.items():
        table.add_row(name, f"{before:.4f}", f"{found.after[name]:.4f}")
    console.print(table)
