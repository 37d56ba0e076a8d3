"""What several figures put on their axes: ticks as shares, the promise as a line, a label beside a point, a key."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from softgate.workbench.report.style import LIGHT
from softgate.workbench.report.words import short_percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Entry = tuple[str, str, Any]
"""Of a key: name, colour, dashes."""

NINES = (0.0, 0.5, 0.75, 0.9, 0.97, 0.99, 0.997, 0.999, 0.9999, 0.99999)
MOST_NINES = 6
# Of the axis: closer than this, the words under two ticks would touch.
LEAST_DISTANCE = 0.11


def spread(threshold: float) -> float:
    """Nines at equal distances: thresholds crowd just below 1."""
    return -float(np.log10(max(1 - threshold, 10.0**-MOST_NINES)))


def spread_ticks(axes: "Axes", low: float, high: float) -> None:
    """Ticks at round thresholds between two spread ones, from the right, for there the thresholds crowd."""
    kept: list[float] = []
    for tick in reversed(NINES):
        place = spread(tick)
        if low <= place <= high and (not kept or spread(kept[-1]) - place >= LEAST_DISTANCE * (high - low)):
            kept.append(tick)
    axes.set_xticks([spread(tick) for tick in kept], [f"{tick:.5f}".rstrip("0").rstrip(".") for tick in kept])


def promise_line(axes: "Axes", precision: float) -> Entry:
    """Its name stands in the key: beside the line a curve may pass."""
    axes.axhline(precision, color=LIGHT["ink"], linewidth=1, dashes=(5, 3))
    return f"promised {short_percent(precision)}", LIGHT["ink"], (0, (3, 1.5))


def label(axes: "Axes", point: tuple[float, float], text: str, *, left: bool, rise: int = -4) -> None:
    axes.annotate(
        text,
        point,
        xytext=(-9 if left else 9, rise),
        textcoords="offset points",
        ha="right" if left else "left",
        va="top",
        fontsize=10,
    )


def key(figure: "Figure", *entries: Entry) -> None:
    from matplotlib.lines import Line2D  # noqa: PLC0415 - `drawn` has said so where it is absent

    lines = [Line2D([], [], color=color, linestyle=dashes) for _, color, dashes in entries]
    titles = [title for title, *_ in entries]
    figure.legend(lines, titles, loc="outside upper right", ncols=len(entries), frameon=False, fontsize=10)


def percents(axes: "Axes", *which: str) -> None:
    for side in which:
        axis = axes.xaxis if side == "x" else axes.yaxis
        axis.set_major_formatter(lambda share, _: f"{round(100 * share, 4):g}%")


def counts(axes: "Axes", places: Sequence[float], rows: Sequence[int]) -> None:
    """How many rows, over bars of which one may be a thousand times another."""
    axes.set_yscale("log")
    axes.set(ylim=(0.6, max(rows) * 12), yticks=())
    # A scale of logarithms has small ticks too, which no list of ticks takes away.
    axes.tick_params(axis="y", which="both", left=False, labelleft=False)
    axes.grid(visible=False)
    for place, value in zip(places, rows, strict=True):
        axes.text(place, value * 1.35, short(value), ha="center", va="bottom", fontsize=8)


def short(value: int) -> str:
    """At most four characters."""
    for size, letter in ((1_000_000, "M"), (1000, "k")):
        if value >= size:
            return f"{value / size:.1f}{letter}" if value < 9.95 * size else f"{value / size:.0f}{letter}"
    return str(value)
