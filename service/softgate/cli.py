"""
The command line: names, options and exit codes. An error is one clear sentence on standard error.

What the commands do stands in `commands/`, and is imported when one is run: `--help` and a container's health check
need neither numpy nor a web framework.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from softgate.commands.screen import plain, say
from softgate.errors import InvalidInput, SoftgateError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Serves ONNX classifiers: calibrated probabilities, routing decisions with a reason, drift metrics.",
)

Activation = Literal["softmax", "sigmoid", "sparsemax", "entmax15"]
InputKind = Literal["tensor", "text", "image"]
SetScore = Literal["topp", "lac"]
ModelFile = Annotated[Path, typer.Argument(help="A graph: model.onnx.")]
MemoryMb = Annotated[int, typer.Option(min=64, help="Memory that the graph may take while it is looked at.")]
Seconds = Annotated[float, typer.Option(min=1, help="Time that it may take.")]
Workers = Annotated[
    int | None, typer.Option(min=1, max=256, help="Processes that share the port [SOFTGATE_WORKERS; 1].")
]
ModelFolder = Annotated[Path, typer.Argument(help="A model folder: classifier.toml, labels.txt, 1/model.onnx.")]


@app.command()
def serve(
    folder: Annotated[Path, typer.Argument(help="A model folder, or a folder of model folders.")],
    *,
    host: Annotated[str | None, typer.Option(help="Address to listen on [SOFTGATE_HOST; 127.0.0.1].")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on; 0: any free one [SOFTGATE_PORT; 8080].")
    ] = None,
    descriptor: Annotated[
        int | None, typer.Option("--fd", min=0, help="File descriptor of a socket that listens already, handed over.")
    ] = None,
    workers: Workers = None,
    state_dir: Annotated[
        Path | None, typer.Option(help="Folder where drift detectors survive a restart [SOFTGATE_STATE_DIR; none].")
    ] = None,
    models_digest: Annotated[
        str | None,
        typer.Option(help="Serve only what softgate digest says this of [SOFTGATE_MODELS_DIGEST; anything]."),
    ] = None,
) -> None:
    """Serve over HTTP until told to stop."""
    from softgate.commands import serve as command

    given = {
        "host": host,
        "port": port,
        "workers": workers,
        "state_dir": state_dir,
        "models_digest": models_digest,
    }
    raise typer.Exit(command.run(folder, descriptor=descriptor, **given))


@app.command()
def digest(
    folder: Annotated[Path, typer.Argument(help="A model folder, or a folder of model folders.")],
) -> None:
    """Print one digest over all that would be served, to be pinned with serve --models-digest."""
    from softgate.commands import digest as command

    command.run(folder)


@app.command()
def predict(
    folder: ModelFolder,
    row: Annotated[
        str | None, typer.Argument(help="A text; the path of an image; else JSON, as a list of numbers.")
    ] = None,
    *,
    source: Annotated[
        Path | None, typer.Option("--input", help="Rows instead: .csv, .jsonl, .ndjson, .txt; -: NDJSON from a pipe.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="With --input: the file to write, whole or not at all; -: a pipe.")
    ] = Path("-"),
    top_k: Annotated[int, typer.Option(min=1, help="Show the k most probable classes.")] = 5,
    temperature: Annotated[float | None, typer.Option(help="Show scores at this temperature.")] = None,
    profile: Annotated[str | None, typer.Option(help="One of the card's [routing.profiles].")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer of the API.")] = False,
) -> None:
    """Classify one row, or a file of them, without a server."""
    if (row is None) == (source is None):
        raise InvalidInput("Expected either a row or --input with a file of rows.")
    if source is not None and as_json:
        raise InvalidInput("Expected --json with a row alone: of a file every line is JSON as it is.")
    if row is not None:
        if output != Path("-"):
            raise InvalidInput("Expected --output with --input alone.")
        from softgate.commands import predict as command

        command.run(folder, row, top_k=top_k, temperature=temperature, profile=profile, as_json=as_json)
    elif source is not None:
        from softgate.commands import bulk

        raise typer.Exit(
            bulk.run(folder, source=source, output=output, top_k=top_k, temperature=temperature, profile=profile)
        )


@app.command()
def inspect(
    model: ModelFile,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    memory_mb: MemoryMb = 4096,
    seconds: Seconds = 60.0,
) -> None:
    """Say what a graph is: inputs, outputs, classes, operators, time per row."""
    from softgate.commands import inspect as command

    command.run(model, memory_mb=memory_mb, seconds=seconds, as_json=as_json)


@app.command()
def init(
    model: ModelFile,
    *,
    output_folder: Annotated[Path, typer.Option("--output", "-o", help="The model folder to write, models/NAME.")],
    labels: Annotated[
        Path | None, typer.Option(help="One label per line, in the order of the graph's columns.")
    ] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="tokenizer.json, for a graph of token ids.")] = None,
    activation: Annotated[Activation | None, typer.Option(help="Where the graph does not settle it.")] = None,
    kind: Annotated[InputKind | None, typer.Option("--input", help="What clients send.")] = None,
    tensor: Annotated[str | None, typer.Option(help="The output that carries the answer, where several could.")] = None,
    memory_mb: MemoryMb = 4096,
    seconds: Seconds = 60.0,
) -> None:
    """Write a model folder for a graph: a complete card, labels, golden rows."""
    from softgate.commands import init as command

    command.run(
        model,
        folder=output_folder,
        labels=labels,
        tokenizer=tokenizer,
        activation=activation,
        kind=kind,
        tensor=tensor,
        memory_mb=memory_mb,
        seconds=seconds,
    )


@app.command()
def check(
    folder: ModelFolder,
    *,
    against: Annotated[Path | None, typer.Option(help="Another version of the graph that must agree: .onnx.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    memory_mb: MemoryMb = 4096,
    seconds: Seconds = 60.0,
) -> None:
    """Go through the checklist before a deployment; exit with 1 where a line failed."""
    from softgate.commands import check as command

    raise typer.Exit(command.run(folder, against=against, memory_mb=memory_mb, seconds=seconds, as_json=as_json))


@app.command()
def calibrate(
    folder: ModelFolder,
    *,
    data: Annotated[Path, typer.Option(help="Labelled rows the model was not trained on: .csv, .jsonl, .npz, images.")],
    apart: Annotated[
        Path | None, typer.Option("--eval", help="Other labelled rows to judge by; default: parts of the data in turn.")
    ] = None,
    out_of_scope_label: Annotated[
        str | None, typer.Option(help="The label of rows that belong to no label of the model.")
    ] = None,
    golden_from: Annotated[
        Path | None, typer.Option(help="Rows to keep as golden rows: .txt with a text per line, .csv or .jsonl.")
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Fit T alone, without a share of wrong labels.")] = False,
    temperature_only: Annotated[
        bool, typer.Option("--temperature-only", help="Try no shift per class, no temperature per label.")
    ] = False,
    sets: Annotated[SetScore, typer.Option(help="Kind of prediction sets: topp is never empty, lac is smallest.")] = (
        "topp"
    ),
    sets_per_class: Annotated[
        bool,
        typer.Option("--sets-per-class", help="Cover the rows of every class that has enough, not just the average."),
    ] = False,
    per_route: Annotated[
        bool, typer.Option("--per-route", help="Keep the promised precision for each route by itself.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing; say what would change, and how many decisions.")
    ] = False,
) -> None:
    """Fit temperature, gate, sets and thresholds that keep the card's promises; write them with their evidence."""
    from softgate.commands import calibrate as command

    command.run(
        folder,
        data=data,
        apart=apart,
        out_of_scope_label=out_of_scope_label,
        golden_from=golden_from,
        dry_run=dry_run,
        robust=not plain,
        richer=not temperature_only,
        set_score=sets,
        sets_per_class=sets_per_class,
        per_route=per_route,
    )


@app.command()
def report(
    folder: ModelFolder,
    *,
    html: Annotated[Path | None, typer.Option(help="Write the report as a page too: one file, no network.")] = None,
    show_inputs: Annotated[
        Path | None, typer.Option(help="The file of examples judged on: show the inputs of the worst mistakes.")
    ] = None,
) -> None:
    """Show a calibration's evidence: is it calibrated, what is routed, what is promised, where is it weak."""
    from softgate.commands import report as command

    command.run(folder, html=html, show_inputs=show_inputs)


@app.command()
def replay(
    folder: ModelFolder,
    logits: Annotated[Path, typer.Argument(help="Stored logits: .npz, .npy, or .jsonl as the server answers.")],
    *,
    profile: Annotated[str | None, typer.Option(help="One of the card's [routing.profiles].")] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Write the k most probable classes of each row.")] = 1,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file to write, whole or not at all.")] = (
        None
    ),
    drift: Annotated[
        bool, typer.Option("--drift", help="Show what the drift alarm would have done; no lines without --output.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --drift: print it as JSON.")] = False,
) -> None:
    """Decide stored logits as the server would, without running the graph: a line of JSON per row."""
    from softgate.commands import replay as command

    raise typer.Exit(
        command.run(folder, logits, profile=profile, top_k=top_k, output=output, drift=drift, as_json=as_json)
    )


@app.command()
def drift(
    url: Annotated[
        str | None, typer.Argument(help="Of the server; default: where SOFTGATE_HOST and _PORT say.")
    ] = None,
    *,
    model: Annotated[str | None, typer.Option(help="One of the models served; default: all of them.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answers of the API, as a list.")] = False,
) -> None:
    """Show whether traffic is still what it was; exit with 4 where an alarm is on or a plain rule is broken."""
    from softgate.commands import drift as command

    raise typer.Exit(command.run(url, model=model, as_json=as_json))


@app.command()
def bench(
    folder: ModelFolder,
    *,
    workers: Workers = None,
    connections: Annotated[
        list[int] | None,
        typer.Option(min=1, max=1000, help="Of the closed loop; may be given several times [1 16 64]."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often each figure is measured.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long, each time; wrk counts whole seconds.")] = 2.0,
    rows: Annotated[
        Path | None,
        typer.Option("--input", help="JSON lines to send, a row or a request body each; default: golden.json."),
    ] = None,
    bound_ms: Annotated[float | None, typer.Option(min=0.01, help="Bound of p99 at the knee.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a server of this model: throughput, latency, CPU and memory, beside a bare answer of the same size."""
    from softgate.commands import bench as command

    command.run(
        folder,
        workers=workers,
        connections=connections or (1, 16, 64),
        rounds=rounds,
        seconds=seconds,
        rows=rows,
        bound_ms=bound_ms,
        as_json=as_json,
    )


@app.command()
def token(
    name: Annotated[str, typer.Argument(help="Who is to have it: lower-case letters, digits, ., _, -.")],
    *,
    scopes: Annotated[list[str], typer.Option("--scope", help="predict, read or admin; may be given several times.")],
    models: Annotated[
        list[str] | None, typer.Option("--model", help="A model it is for; may be given several times [all].")
    ] = None,
) -> None:
    """Make a token: its table for the tokens file on standard output, the token itself on standard error."""
    from softgate.commands import token as command

    command.run(name, scopes=scopes, models=models or ())


@app.command()
def doctor(
    folder: Annotated[Path | None, typer.Argument(help="A model folder, or a folder of them, to look at too.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on [SOFTGATE_HOST; 127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on [SOFTGATE_PORT; 8080].")] = None,
    workers: Workers = None,
    state_dir: Annotated[
        Path | None, typer.Option(help="Folder where drift detectors survive a restart [SOFTGATE_STATE_DIR; none].")
    ] = None,
) -> None:
    """Say where each setting comes from and what keeps `serve` from working; exit with 1 where something does."""
    from softgate.commands import doctor as command

    raise typer.Exit(command.run(folder, host=host, port=port, workers=workers, state_dir=state_dir))


@app.command()
def health(
    url: Annotated[
        str | None, typer.Argument(help="Of the server; default: where SOFTGATE_HOST and _PORT say.")
    ] = None,
) -> None:
    """Exit with 0 where the server is ready, else with 1: for a container's health check."""
    from softgate.commands import health as command

    raise typer.Exit(command.run(url))


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if show:
        from softgate.commands import version as command

        typer.echo(f"softgate {command.installed()}")
        raise typer.Exit


def main() -> None:
    """Run the command line; an error on purpose is one sentence and exit code 1, or 2 for input that can be mended."""
    _open_standard_streams()
    try:
        app()
    except SoftgateError as exc:
        _fail(str(exc), code=2 if isinstance(exc, InvalidInput) else 1)
    except (OSError, UnicodeError) as exc:
        _fail(f"{exc}.", code=1)


def _fail(sentence: str, *, code: int) -> NoReturn:
    say(Text.assemble(("error ", "bold red"), plain(sentence)), Console(stderr=True))
    sys.exit(code)


def _open_standard_streams() -> None:
    """A process started without one of the three would give its number to the next file or socket it opens."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - kept open to the end
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
