"""
Panels of dashboards drawn by matplotlib, by kind, from what a Prometheus answers to their queries.

It is not Grafana: titles, units, colours and legends are those of the dashboard, the looks are matplotlib's.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from dashboards import Dashboard, Line, Panel, Sight

DOTS_PER_INCH = 80
COLOURS = ("#73bf69", "#5794f2", "#f2cc0c", "#ff9830", "#b877d9", "#8ab8ff", "#ff7383", "#37872d", "#a16a19", "#56a64b")
NAMED = {
    "green": "#73bf69",
    "super-light-green": "#c8f2c2",
    "yellow": "#fade2a",
    "purple": "#b877d9",
    "orange": "#ff9830",
    "light-orange": "#ffcb7d",
    "red": "#e02f44",
    "blue": "#3274d9",
    "gray": "#9aa0a6",
}
INCHES_PER_LETTER = 0.048
MOST_NAMES = 10
"""In a legend."""


def show(axes: Axes, panel: Panel, sight: Sight, dashboard: Dashboard) -> None:
    KINDS[panel["type"]](axes, panel, sight, dashboard)
    if not axes.has_data() and not axes.texts:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "No data", ha="center", va="center", color="#6b7078", transform=axes.transAxes)


def series(axes: Axes, panel: Panel, sight: Sight, dashboard: Dashboard) -> None:
    """Lines over time, or areas on top of each other."""
    lines = _lines(panel, sight, dashboard)
    defaults = panel["fieldConfig"]["defaults"]
    if defaults["unit"] == "bytes":
        # So that ticks are whole ones.
        defaults = defaults | {"unit": "suffix: MiB"}
        lines = [replace(line, values=line.values / 2**20) for line in lines]
    styles = [_style(panel, line.name, number) for number, line in enumerate(lines)]
    if "stacking" in defaults["custom"]:
        _stack(axes, lines, styles)
    else:
        for line, style in zip(lines, styles, strict=True):
            axes.plot(line.seconds, line.values, linewidth=1.2, label=line.name, **style)
            if defaults["custom"]["fillOpacity"] and "linestyle" not in style:
                axes.fill_between(line.seconds, line.values, color=style["color"], alpha=0.1, linewidth=0)
    _time(axes, sight)
    _unit(axes.yaxis, defaults["unit"])
    low, high = axes.get_ylim()
    reached = max(high, defaults["custom"].get("axisSoftMax", high))
    axes.set_ylim(defaults.get("min", low), defaults.get("max", reached))
    _legend(axes)


def states(axes: Axes, panel: Panel, sight: Sight, dashboard: Dashboard) -> None:
    words = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    lines = _lines(panel, sight, dashboard)
    for row, line in enumerate(lines):
        for value, look in words.items():
            here = line.seconds[line.values == float(value)]
            spans = [(second, sight.step) for second in here.tolist()]
            axes.broken_barh(spans, (row - 0.4, 0.8), color=NAMED[look["color"]], linewidth=0)
    axes.set_yticks(range(len(lines)), [line.name for line in lines], fontsize=6.5)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    _time(axes, sight)
    axes.grid(visible=False)
    for look in words.values():
        axes.plot([], [], color=NAMED[look["color"]], linewidth=5, label=look["text"])
    _legend(axes)


def bars(axes: Axes, panel: Panel, sight: Sight, dashboard: Dashboard) -> None:
    lines = sorted(_lines(panel, sight, dashboard), key=lambda line: -line.values[-1])
    axes.barh(range(len(lines)), [float(line.values[-1]) for line in lines], color=COLOURS[0])
    axes.set_yticks(range(len(lines)), [line.name for line in lines])
    axes.invert_yaxis()
    axes.tick_params(labelsize=6.5, length=0)
    _unit(axes.xaxis, panel["fieldConfig"]["defaults"]["unit"])
    axes.spines[:].set_visible(False)


def numbers(axes: Axes, panel: Panel, sight: Sight, dashboard: Dashboard) -> None:
    axes.set_axis_off()
    lines = _lines(panel, sight, dashboard)
    decimals = panel["fieldConfig"]["defaults"]["decimals"]
    for row, line in enumerate(lines):
        y = 1 - (row + 0.5) / len(lines)
        axes.text(-0.1, y, line.name, fontsize=6, va="center", transform=axes.transAxes)
        value = f"{line.values[-1]:.{decimals}f}"
        axes.text(1, y, value, fontsize=13, va="center", ha="right", transform=axes.transAxes)


def pairs(axes: Axes, panel: Panel, sight: Sight, dashboard: Dashboard) -> None:
    """Bars of each query beside those of the others, by the label that the dashboard names."""
    by = panel["options"]["xField"]
    found = [
        (target["legendFormat"], {line.labels[by]: line.values[-1] for line in sight.lines(target, dashboard)})
        for target in panel["targets"]
    ]
    names = sorted(set().union(*(values for _, values in found)))
    width = panel["options"]["groupWidth"] / len(found)
    for number, (title, values) in enumerate(found):
        places = np.arange(len(names)) + (number - (len(found) - 1) / 2) * width
        axes.bar(places, [values.get(name, 0.0) for name in names], width, label=title, color=COLOURS[number])
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=5.5, rotation_mode="anchor")
    axes.margins(y=0.15)
    _unit(axes.yaxis, panel["fieldConfig"]["defaults"]["unit"])
    _plain(axes)
    axes.legend(loc="upper center", fontsize=6.5, frameon=False, ncol=len(found))


def heat(axes: Axes, panel: Panel, sight: Sight, dashboard: Dashboard) -> None:
    """Cumulative buckets taken apart, each as high as the others, dark where there are many rows."""
    lines = sorted(_lines(panel, sight, dashboard), key=lambda line: float(line.labels["le"]))
    edges = [float(line.labels["le"]) for line in lines]
    times = np.unique(np.concatenate([line.seconds for line in lines]))
    cumulated = np.zeros((len(lines), len(times)))
    for row, line in enumerate(lines):
        cumulated[row, np.searchsorted(times, line.seconds)] = line.values
    within = [place for place, edge in enumerate(edges) if math.isfinite(edge)]
    counts = np.diff(cumulated[within], axis=0, prepend=0.0).clip(0)
    sides = np.append(times, times[-1] + sight.step)
    axes.pcolormesh(sides, np.arange(len(within) + 1), np.sqrt(counts), cmap="Blues", rasterized=True)
    _time(axes, sight)
    axes.grid(visible=False)
    unit = panel["fieldConfig"]["defaults"]["unit"]
    shown = within[3::4] + within[-1:]
    axes.set_yticks([place + 1 for place in shown], [written(edges[place], unit) for place in shown])


def _lines(panel: Panel, sight: Sight, dashboard: Dashboard) -> list[Line]:
    return [line for target in panel["targets"] for line in sight.lines(target, dashboard)]


def _style(panel: Panel, name: str, number: int) -> dict[str, Any]:
    style: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)]}
    for override in panel["fieldConfig"]["overrides"]:
        if re.search(override["matcher"]["options"].strip("/"), name):
            chosen = {given["id"]: given["value"] for given in override["properties"]}
            style["color"] = NAMED[chosen["color"]["fixedColor"]]
            if "custom.lineStyle" in chosen:
                style["linestyle"] = "--"
    return style


def _stack(axes: Axes, lines: Sequence[Line], styles: Sequence[Mapping[str, Any]]) -> None:
    times = np.unique(np.concatenate([line.seconds for line in lines])) if lines else np.empty(0)
    below = np.zeros(len(times))
    for line, style in zip(lines, styles, strict=True):
        own = np.zeros(len(times))
        own[np.searchsorted(times, line.seconds)] = np.nan_to_num(line.values)
        axes.fill_between(times, below, below + own, color=style["color"], alpha=0.6, linewidth=0, label=line.name)
        below = below + own


def _time(axes: Axes, sight: Sight) -> None:
    axes.set_xlim(0, sight.end - sight.start)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 3, 6, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda second, _: f"{int(second) // 60}:{int(second) % 60:02d}"))
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.tick_params(labelsize=6.5, length=2, color="#9aa0a6")
    axes.grid(color="#e6e8eb", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#c7cad0")


def _unit(axis: Any, unit: str) -> None:
    axis.set_major_formatter(FuncFormatter(lambda value, _: written(value, unit)))


def written(value: float, unit: str) -> str:
    """As Grafana writes a value of this unit, more or less."""
    if unit == "percentunit":
        return f"{100 * value:.4g} %"
    if unit == "s":
        return f"{1000 * value:.4g} ms" if abs(value) < 1 else f"{value:.4g} s"
    suffix = {"reqps": " req/s", "none": ""}.get(unit, " " + unit.removeprefix("suffix: ").strip())
    return f"{value:.4g}{suffix}"


def _legend(axes: Axes) -> None:
    handles, names = axes.get_legend_handles_labels()
    if names:
        chosen = slice(MOST_NAMES)
        axes.legend(
            handles[chosen],
            names[chosen],
            loc="upper left",
            bbox_to_anchor=(-0.02, -0.16 if axes.bbox.height > 100 else -0.22),
            fontsize=6,
            frameon=False,
            ncol=max(1, int(axes.bbox.width / DOTS_PER_INCH / (0.35 + INCHES_PER_LETTER * max(map(len, names))))),
            borderaxespad=0,
            handlelength=1.2,
            columnspacing=1.0,
            labelspacing=0.25,
        )


KINDS: Mapping[str, Callable[[Axes, Panel, Sight, Dashboard], None]] = {
    "timeseries": series,
    "state-timeline": states,
    "bargauge": bars,
    "stat": numbers,
    "barchart": pairs,
    "heatmap": heat,
}
