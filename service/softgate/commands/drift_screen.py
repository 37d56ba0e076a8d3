"""A drift report in the terminal."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from softgate.commands.screen import plain
from softgate.policy.monitor.told import DetectorState, Measure, Report, Rule, Statistic, Window
from softgate.workbench.report.words import count, counted, number, percent, printable, shortened

MEASURE = "label_confidence"
NARROW, WIDE = 76, 84
LABEL_CHARACTERS = 32
BAR_WIDTH = 10
LEAST_Z = 3.0
SUBJECTS = {
    "non_finite": "share of rows that are not finite",
    "below_threshold": "share of rows below the threshold",
    "clarify": "share of rows that ask back",
}
ESTIMATORS = {"atc_negative_entropy": "ATC by entropy"}
MOST_LABELS = 8
# A share of 1 in so many is just seen.
SPARK_SCALE = 1000
BLOCKS = {True: "▁▂▃▄▅▆▇█", False: "._-=+*#@"}
BARS = {True: ("█", "░"), False: ("#", ".")}


def show(report: Report, console: Console, *, base: str | None = None) -> None:
    """`base`: where the server is; None for rows that no server counted."""
    unicode = console.encoding.startswith("utf")
    console.print(Padding(Group(*_verdict(report)), (1, 1, 0, 1)))
    if report.detectors:
        _print(
            console,
            f"Detectors: together at most one false alarm in {counted(report.alarm_every, 'row')}, on average",
            _detectors(report.detectors, unicode=unicode),
        )
    _print(
        console,
        "Confidence, * where chance alone is below 1 in 1000",
        _windows(report, unicode=unicode, width=console.width),
    )
    for title, lines in _findings(report):
        console.print(Padding(Group(Text(f"\n{title}", "bold"), *map(Text, lines)), (0, 1)))
    if base is not None and report.alarm:
        path = f"{base}/v1/models/{report.model}/drift/acknowledge"
        console.print(Padding(Text("\nLooked into it? Acknowledge:", "bold"), (0, 1, 0, 1)))
        console.print(Text(f" curl -d '{{}}' -H 'Content-Type: application/json' {plain(path)}"), soft_wrap=True)


def broken_rules(report: Report) -> Sequence[tuple[Window, Rule]]:
    return [(window, rule) for window in report.windows for rule in window.rules if rule.broken]


def _verdict(report: Report) -> Sequence[Text]:
    calibration = "no calibration" if report.calibration is None else f"calibration {printable(report.calibration)}"
    title = Text.assemble((printable(report.model), "bold"), f" {printable(report.version)}, {calibration}")
    ringing = [state for state in report.detectors if state.alarm]
    broken = sorted({_subject(rule) for _, rule in broken_rules(report)})
    told = [title]
    if ringing:
        told += [Text.assemble(("ALARM ", "bold red"), _since(state)) for state in ringing]
    if broken:
        told.append(Text.assemble(("Out of bounds ", "bold yellow"), ", ".join(broken)))
    if report.reference is None:
        told.append(Text("Nothing to compare traffic with: run softgate calibrate.", "yellow"))
    elif not ringing and not broken:
        told.append(Text("No drift: no alarm is on, and every plain rule is kept.", "green"))
    return told


def _since(state: DetectorState) -> str:
    if not state.raised_at:
        return f"{_words(state.detector)}, {counted(state.alarms, 'alarm')}"
    return f"{_words(state.detector)} since {datetime.fromtimestamp(state.raised_at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _detectors(states: Sequence[DetectorState], *, unicode: bool) -> Table:
    table = _table("detector", "evidence", "", "rows", "alarms", texts=2)
    for state in states:
        filled = round(min(1.0, max(0.0, state.evidence)) * BAR_WIDTH)
        full, empty = BARS[unicode]
        table.add_row(
            Text(_words(state.detector), "bold red" if state.alarm else ""),
            Text(full * filled + empty * (BAR_WIDTH - filled)),
            percent(state.evidence, 0),
            count(state.rows),
            count(state.alarms),
        )
    return table


def _windows(report: Report, *, unicode: bool, width: int) -> Table:
    """A star: chance alone gives as much less than once in 1000 times."""
    figures = ["shift"] if width < NARROW else ["shift", "PSI", "floor"]
    table = _table("", "rows", "mean ± sd", *figures, "0 to 1, log scale", texts=1, apart=1 if width < WIDE else 2)
    table.columns[-1].justify = "left"
    if (reference := report.reference) is not None:
        drawn = sparkline(reference.counts, unicode=unicode)
        moments = _moments(reference.mean_confidence, reference.standard_deviation)
        table.add_row("ref.", _short(reference.rows), moments, *[""] * len(figures), drawn)
    for window in report.windows:
        measure = window.measures.get(MEASURE)
        if measure is None:
            table.add_row(printable(window.window), _short(window.rows), *[""] * len(figures), "", "")
            continue
        table.add_row(
            printable(window.window),
            _short(window.rows),
            _moments(measure.mean, measure.standard_deviation),
            *_figures(measure)[: len(figures)],
            sparkline(measure.counts, unicode=unicode),
        )
    return table


def _figures(measure: Measure) -> Sequence[Text]:
    shift, psi = measure.statistics.get("mean_shift"), measure.statistics.get("psi")
    return [
        Text("") if shift is None else _starred(f"{shift.value:+.3f}", shift),
        Text("") if psi is None else _starred(number(psi.value, 3), psi),
        Text("" if psi is None else number(psi.floor, 3)),
    ]


def _starred(told: str, statistic: Statistic) -> Text:
    return Text(f"{told}*", "bold red") if statistic.significant else Text(f"{told} ")


def _moments(mean: float, deviation: float) -> str:
    return f"{mean:.3f} ± {deviation:.3f}"


def _short(rows: int) -> str:
    return count(rows) if rows < 1_000_000 else f"{rows / 1e6:,.1f}M"


def _findings(report: Report) -> Sequence[tuple[str, Sequence[str]]]:
    """What a reader should know beside the numbers, each under a title; of the longest window, for it has most rows."""
    found: list[tuple[str, Sequence[str]]] = []
    if broken := broken_rules(report):
        lines = [f"{printable(window.window)}: {_bound(rule)}" for window, rule in broken]
        found.append(("Plain rules out of bounds", lines))
    judged = next((window for window in report.windows if window.window in {"1h", "all"}), None)
    if judged is None:
        return found
    name = printable(judged.window)
    if movers := [mover for mover in judged.movers if abs(mover.z) >= LEAST_Z]:
        lines = [
            f"{_label(mover.label)}  {percent(mover.reference)} → {percent(mover.share)}  (z {mover.z:+.1f})"
            for mover in movers
        ]
        found.append((f"Labels that moved most, {name}", lines))
    for word, labels in (("vanished", judged.labels.vanished), ("exploded", judged.labels.exploded)):
        if labels:
            more = f" and {count(len(labels) - MOST_LABELS)} more" if len(labels) > MOST_LABELS else ""
            found.append((f"Labels that {word}, {name}", [", ".join(map(_label, labels[:MOST_LABELS])) + more]))
    if judged.estimated_accuracy:
        lines = [
            f"{ESTIMATORS.get(name, _words(name))}: {percent(estimate.value)}"
            + (
                ""
                if estimate.valid
                else f", not to be trusted: {printable(estimate.why_not or 'unknown').replace('_', ' ')}"
            )
            for name, estimate in judged.estimated_accuracy.items()
        ]
        found.append((f"Accuracy estimated without labels, {name}", lines))
    return found


def sparkline(counts: Sequence[int], *, unicode: bool) -> str:
    """A block for each bin but the last, which is empty for a confidence; by the logarithm of its share."""
    blocks, total = BLOCKS[unicode], sum(counts)
    if not total:
        return ""
    heights = (math.log1p(SPARK_SCALE * n_rows / total) / math.log1p(SPARK_SCALE) for n_rows in counts[:-1])
    return "".join(" " if not height else blocks[round(height * (len(blocks) - 1))] for height in heights)


def _bound(rule: Rule) -> str:
    side = "most" if rule.rule.endswith("_above") else "least"
    return f"{_subject(rule)} {rule.value:.3f}, wanted at {side} {rule.bound:.3f}"


def _subject(rule: Rule) -> str:
    name = rule.rule.rpartition("_")[0]
    return SUBJECTS.get(name, _words(name))


def _label(label: str) -> str:
    return shortened(label, LABEL_CHARACTERS)


def _words(name: str) -> str:
    return printable(name).replace("_", " ")


def _table(*columns: str, texts: int, apart: int = 2) -> Table:
    table = Table(box=None, padding=(0, apart, 0, 0), header_style="dim")
    for place, name in enumerate(columns):
        table.add_column(name, justify="left" if place < texts else "right", no_wrap=True)
    return table


def _print(console: Console, title: str, table: Table) -> None:
    console.print(Padding(Group(Text(f"\n{title}", "bold"), table), (0, 1)))
