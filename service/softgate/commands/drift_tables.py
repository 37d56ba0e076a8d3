"""The tables of a drift report: detectors, histograms, and statistics against the reference."""

import math
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from softgate.policy.monitor.told import DetectorState, Measure, Report, Statistic
from softgate.workbench.report.words import chance, count, number, percent, shortened

MEASURE = "label_confidence"
MAX_CHARACTERS = 32
BAR_WIDTH = 10
# A share of 1 in so many is just seen.
SPARK_SCALE = 1000
BLOCKS = {True: "▁▂▃▄▅▆▇█", False: "._-=+*#@"}
BARS = {True: ("█", "░"), False: ("#", ".")}
PLUS_MINUS = {True: "±", False: "+-"}
SIGNIFICANT, ALARM = "bold red", "bold red"


def detectors(states: Sequence[DetectorState], *, unicode: bool) -> Table:
    table = _table("detector", "evidence", "", "rows", "alarms", texts=2)
    for state in states:
        filled = round(min(1.0, max(0.0, state.evidence)) * BAR_WIDTH)
        full, empty = BARS[unicode]
        table.add_row(
            Text(words(state.detector), ALARM if state.alarm else ""),
            Text(full * filled + empty * (BAR_WIDTH - filled)),
            percent(state.evidence, 0),
            _short(state.rows),
            count(state.alarms),
        )
    return table


def histograms(report: Report, *, unicode: bool) -> Table:
    """The reference's above those of the windows."""
    table = _table("", "rows", f"mean {PLUS_MINUS[unicode]} sd", "0 to 1, log scale", texts=1)
    table.columns[-1].justify = "left"

    def add(name: str, rows: int, mean: float | None, deviation: float | None, counts: Sequence[int]) -> None:
        moments = f"{number(mean, 3)} {PLUS_MINUS[unicode]} {number(deviation, 3)}" if counts else ""
        table.add_row(name, _short(rows), moments, Text(sparkline(counts, unicode=unicode)))

    if (reference := report.reference) is not None:
        add("ref.", reference.rows, reference.mean_confidence, reference.standard_deviation, reference.counts)
    for window in report.windows:
        measure = window.measures.get(MEASURE)
        if measure is None:
            add(words(window.window), window.rows, None, None, [])
        else:
            add(words(window.window), window.rows, measure.mean, measure.standard_deviation, measure.counts)
    return table


def statistics(report: Report) -> Table | None:
    """Of the windows that have rows; None where there is nothing to compare them with."""
    table = _table("", "shift", "p", "PSI", "floor", "p", "KS", texts=1)
    for window in report.windows:
        measure = window.measures.get(MEASURE)
        if measure is not None and measure.statistics:
            table.add_row(words(window.window), *_compared(measure))
    return table if table.rows else None


def sparkline(counts: Sequence[int], *, unicode: bool) -> str:
    """A block for each bin but the last, which is empty for a confidence; by the logarithm of its share."""
    blocks, rows = BLOCKS[unicode], [max(0, n_rows) for n_rows in counts]
    total = sum(rows)
    if not total:
        return ""
    heights = (math.log1p(SPARK_SCALE * n_rows / total) / math.log1p(SPARK_SCALE) for n_rows in rows[:-1])
    return "".join(" " if not height else blocks[round(height * (len(blocks) - 1))] for height in heights)


def words(name: str) -> str:
    return shortened(name, MAX_CHARACTERS).replace("_", " ")


def _compared(measure: Measure) -> Sequence[Text]:
    shift, psi, ks = (measure.statistics.get(name) for name in ("mean_shift", "psi", "ks"))
    return [
        *_told(shift, "" if shift is None else f"{shift.value:+.3f}"),
        *_told(psi, "" if psi is None else number(psi.value, 3), "" if psi is None else number(psi.floor, 3)),
        Text("" if ks is None else number(ks.value, 3)),
    ]


def _told(statistic: Statistic | None, *figures: str) -> Sequence[Text]:
    """Figures, and the chance of as much if nothing has changed."""
    style = SIGNIFICANT if statistic is not None and statistic.significant else ""
    told = "" if statistic is None else chance(statistic.p_value)
    return [Text(figures[0], style), *map(Text, figures[1:]), Text(told, style)]


def _short(rows: int) -> str:
    return count(rows) if rows < 1_000_000 else f"{rows / 1e6:,.1f}M"


def _table(*columns: str, texts: int) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for place, name in enumerate(columns):
        table.add_column(name, justify="left" if place < texts else "right", no_wrap=True)
    return table
