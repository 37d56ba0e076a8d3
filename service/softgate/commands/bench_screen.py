"""A benchmark in the terminal, in 80 columns: what was measured where, the figures, what to know of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from io import TextIOWrapper

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from softgate.commands.bench_told import Setting, figures, load_figures, of_bare
from softgate.commands.drift_screen import is_unicode
from softgate.workbench.bench.bench import Comparison, Load, Measured
from softgate.workbench.bench.figures import Spread
from softgate.workbench.bench.knee import LEAST_BOUND_US, TIMES_IDLE
from softgate.workbench.bench.open_loop import MOST_LATENESS_US
from softgate.workbench.report.words import counted

CLOSED = ("conn.", "req/s", "p50", "p90", "p99", "p99.9", "CPU", "batch", "of bare")
OPEN = ("of knee", "req/s", "p50", "p90", "p99", "p99.9", "client", "void")
# Of a CPU: what drives a server must have some left.
MOST_CLIENT_CPU = 0.9
# Of fewer requests, the slowest is the 99.9th percentile.
FEW_REQUESTS = 1000
MIB = 2**20

Cells = Sequence[str]


def show(setting: Setting, measured: Measured, console: Console) -> None:
    if not is_unicode(console) and isinstance(console.file, TextIOWrapper):
        console.file.reconfigure(errors="replace")
    for line in _head(setting, measured):
        _print(line, console, style="dim")
    closed = [row for comparison in measured.closed for row in _comparison(comparison)]
    _table("Closed loop", "latency and CPU per request in µs; median, low-high", CLOSED, closed, console)
    loads = [row for load in measured.loads for row in _load(load)]
    if loads:
        _table("Open loop", "latency in µs from when a request was due; median, low-high", OPEN, loads, console)
    console.print()
    for line in _foot(setting, measured):
        _print(line, console)


def short(value: float) -> str:
    """Two digits, or three of a whole number: 0.35, 9.4, 123, 1.2k, 46k."""
    if value < 9.95:
        return f"{value:.2g}" if value < 0.995 else f"{value:.1f}"
    if value < 999.5:
        return f"{value:.0f}"
    thousands = value / 1000
    return f"{thousands:.1f}k" if thousands < 9.95 else f"{thousands:,.0f}k"


def extent(spread: Spread) -> str:
    low, high = short(spread.low), short(spread.high)
    if low == high:
        return low
    return f"{low.removesuffix('k') if high.endswith('k') else low}-{high}"


def _head(setting: Setting, measured: Measured) -> Iterator[str]:
    yield setting.command
    yield f"{setting.date[:16]} UTC, {setting.machine}"
    yield ", ".join(f"{name} {version}" for name, version in setting.versions.items())
    yield (
        f"{setting.model}: {setting.kind}, {counted(setting.n_labels, 'label')}; {setting.rows}, one a request, full "
        f"answers of {measured.answer_bytes:,} bytes; {counted(setting.workers, 'worker')}; "
        f"{counted(setting.rounds, 'round')} of {setting.seconds:g} s, in turns with a bare uvicorn answer as large"
    )


def _comparison(comparison: Comparison) -> Iterator[tuple[str, Cells]]:
    """Rows of the table, each with its style."""
    ours, bare = figures(comparison.ours), figures(comparison.bare)
    share = of_bare(comparison)
    yield "", [f"{comparison.connections}", *_medians(ours), f"{share.median:.2f}x"]
    if len(comparison.ours) > 1:
        yield "dim", ["", *_extents(ours), f"{share.low:.2f}-{share.high:.2f}"]
    yield "dim", ["bare", *_medians(bare), ""]


def _load(load: Load) -> Iterator[tuple[str, Cells]]:
    measured, n_void = load_figures(load), len(load.void)
    voided = f"{n_void} of {n_void + len(load.runs)}" if n_void else "none"
    yield "", [f"{load.share:.0%}", f"{load.rate:,.0f}", *_medians(measured), voided]
    if len(load.runs) > 1:
        yield "dim", ["", "", *_extents(measured), ""]


def _medians(spreads: Mapping[str, Spread | None]) -> Iterator[str]:
    for name, spread in spreads.items():
        if spread is None:
            yield ""
        else:
            yield f"{spread.median:.2f}" if name == "batch_rows" else f"{spread.median:,.0f}"


def _extents(spreads: Mapping[str, Spread | None]) -> Iterator[str]:
    return ("" if spread is None else extent(spread) for spread in spreads.values())


def _foot(setting: Setting, measured: Measured) -> Iterator[str]:
    knee, generator = measured.knee, measured.generator
    bound = f"p99 within {measured.bound_us / 1000:,.1f} ms"
    if knee.rate is None:
        why = "the generator was the bottleneck at every rate" if knee.at_least else "not at any rate that was tried"
        yield f"Knee: none, {bound}: {why}."
    else:
        least = "at least " if knee.at_least else ""
        yield f"Knee: {least}{knee.rate:,.0f} requests/s, the highest rate with {bound}."
    yield f"The bound, where none is given: {TIMES_IDLE:g} x the idle p50, at least {LEAST_BOUND_US / 1000:g} ms."
    yield (
        f"Generator of the open loop: {generator.answered_per_second:,.0f} requests/s against the bare answer, "
        f"{generator.client_us_per_request:.0f} µs of CPU each. The column client is how late it was itself, at p99 in "
        f"µs: a run is void where that is more than half of the run's p99 or {MOST_LATENESS_US / 1000:g} ms, or the "
        "generator had no time left."
    )
    yield f"Memory per worker: {_memory(measured)}."
    yield from _doubts(measured)


def _memory(measured: Measured) -> str:
    resident = [each.resident_bytes / MIB for each in measured.memory]
    proportional = [each.proportional_bytes / MIB for each in measured.memory if each.proportional_bytes is not None]
    told = f"{'RSS' if len(resident) == 1 else 'at most RSS'} {max(resident):,.0f} MiB"
    return f"{told}, PSS {max(proportional):,.0f} MiB" if proportional else told


def _doubts(measured: Measured) -> Iterator[str]:
    busy = [each.connections for each in measured.closed if _client_cpu(each) > MOST_CLIENT_CPU]
    if busy:
        at = ", ".join(map(str, busy))
        yield f"wrk had no CPU time left, connections {at}: that throughput may be its own."
    late = [load.share for load in measured.loads if _is_late(load, measured.bound_us)]
    if late:
        yield f"At {late[0]:.0%} of the knee p99 was above its bound: this machine is too busy to tell where it is."
    runs = [run for load in measured.loads for run in load.runs]
    lost = sum(run.requests - run.answered for run in runs)
    if lost:
        asked = sum(run.requests for run in runs)
        yield f"Of {asked:,} requests below the knee {lost:,} had no answer of status 200."
    requests = [turn.closed.requests for each in measured.closed for turn in each.ours]
    if min([*requests, *(run.requests for run in runs)]) < FEW_REQUESTS:
        yield f"Some rounds had fewer than {FEW_REQUESTS:,} requests, so that p99.9 is their slowest: raise --seconds."


def _client_cpu(comparison: Comparison) -> float:
    return max(turn.closed.client_cpu for turn in comparison.ours)


def _is_late(load: Load, bound_us: float) -> bool:
    p99 = load_figures(load)["p99_us"]
    return p99 is not None and p99.median > bound_us


def _table(title: str, note: str, columns: Cells, rows: Sequence[tuple[str, Cells]], console: Console) -> None:
    mark = _marks(console)
    console.print(Text.assemble("\n ", (title, "bold"), (mark(f": {note}"), "dim")))
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for style, cells in rows:
        table.add_row(*map(mark, cells), style=style)
    console.print(Padding(table, (0, 0, 0, 1)))


def _print(line: str, console: Console, style: str = "") -> None:
    """Wrapped between words on a terminal; in a pipe one line."""
    text = Text(_marks(console)(line), style)
    if console.is_terminal:
        console.print(Padding(text, (0, 1)))
    else:
        console.print(text, soft_wrap=True)


def _marks(console: Console) -> Callable[[str], str]:
    return str if is_unicode(console) else lambda text: text.replace("µ", "u")
