"""
The figures of the page. Each takes a part of the evidence and gives an SVG element, or nothing to draw.

Only numbers and fixed words are drawn; names, which may hold anything, stand in the page's own text.
"""

from typing import TYPE_CHECKING

import numpy as np

from softgate.workbench.report import marks
from softgate.workbench.report.drawing import drawn
from softgate.workbench.report.selection import edges_and_counts, operating_point, set_sizes, share_interval
from softgate.workbench.report.style import LIGHT
from softgate.workbench.report.subject import Part, Subject
from softgate.workbench.report.words import count, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, PURPLE, FAINT = (LIGHT[name] for name in ("blue", "orange", "purple", "faint"))
INK, MUTED, CARD = (LIGHT[name] for name in ("ink", "muted", "card"))
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
MAX_POINTS = 6


def reliability(name: str, bins: Part, *, pairs: bool, description: str) -> str:
    """`pairs`: over pairs of a row and a label, each with its own probability."""
    columns = (bins[key] for key in ("upper_edges", "rows", "confidence", "accuracy"))
    filled = [row for row in zip(*columns, strict=True) if row[1] and None not in row]
    width = 1 / max(1, len(bins["upper_edges"]))
    low, high = ("probability too low", "too high") if pairs else ("under-confident", "over-confident")

    def draw(figure: "Figure") -> None:
        top, bottom = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (3.4, 1)})
        top.plot((0, 1), (0, 1), color=MUTED, linewidth=1, dashes=(4, 3))
        # Above the axes: inside, there is no place where no point may come to lie.
        top.set_title(f"above the line: {low}; below: {high}", loc="left", color=MUTED, fontsize=10)
        for _, rows, confidence, accuracy in filled:
            top.plot((confidence, confidence), share_interval(accuracy, rows), color=BLUE, linewidth=1.4)
            top.plot(confidence, accuracy, "o", color=BLUE, markersize=5.5, clip_on=False)
        top.set(xlim=(0, 1), ylim=(0, 1.02), yticks=TICKS, ylabel="share that hold" if pairs else "share right")
        marks.percents(top, "y")
        middles = [edge - width / 2 for edge, *_ in filled]
        bottom.bar(middles, [row[1] for row in filled], width * 0.86, color=FAINT)
        marks.counts(bottom, middles, [row[1] for row in filled])
        bottom.set(xticks=TICKS, xlabel="probability of the label" if pairs else "confidence")
        bottom.set_ylabel("pairs, log" if pairs else "rows, log")
        marks.percents(bottom, "x")

    return drawn(name, draw, description=description, height=330) if filled else ""


def confidence(name: str, histogram: Part, *, description: str) -> str:
    groups = [
        (title, histogram[key], color)
        for title, key, color in (
            ("right", "right", BLUE),
            ("wrong", "wrong", ORANGE),
            ("out of scope", "out_of_scope", PURPLE),
        )
        if sum(histogram.get(key) or ())
    ]

    def draw(figure: "Figure") -> None:
        panels = figure.subplots(len(groups), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (title, rows, color) in zip(panels, groups, strict=True):
            edges, counts = edges_and_counts(histogram["upper_edges"], rows)
            shares = np.asarray(counts) / sum(counts)
            axes.bar(edges[:-1], shares, np.diff(edges), align="edge", color=color, edgecolor=CARD, linewidth=0.6)
            axes.set_title(f"{title}: {count(sum(counts))} rows", loc="left", color=color)
            axes.set(xlim=(0, 1), xticks=TICKS, ylim=(0, float(shares.max()) * 1.15))
            axes.locator_params(axis="y", nbins=3)
            marks.percents(axes, "y")
        marks.percents(panels[-1], "x")
        panels[-1].set_xlabel("confidence")
        figure.supylabel("share of the group", fontsize=11, color=MUTED)

    return drawn(name, draw, description=description, height=80 + 90 * len(groups)) if groups else ""


def risk_coverage(name: str, subject: Subject, *, description: str) -> str:
    curve = subject.part("risk_coverage")
    points = [pair for pair in zip(curve["coverage"], curve["precision"], strict=True) if None not in pair]
    found = {
        threshold: operating_point(subject, threshold)
        for threshold in (subject.thresholds.get(profile) for profile in subject.profiles[:MAX_POINTS])
        if threshold is not None
    }
    chosen = {threshold: point for threshold, point in found.items() if point is not None}

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        style = "o" if len(points) == 1 else "-"
        axes.plot(*zip(*points, strict=True), style, color=BLUE)
        # A handful of rows at the strict end would set the scale otherwise.
        low = min([precision for coverage, precision in points if coverage >= 0.02] or [0.0])
        wanted = subject.promise.get("precision")
        low = min([low, *(point[1] for point in chosen.values()), *([] if wanted is None else [wanted])])
        if wanted is not None:
            marks.key(figure, marks.promise_line(axes, wanted))
        for threshold, point in chosen.items():
            axes.plot(*point, "o", color=ORANGE, markersize=7, markeredgecolor=CARD, clip_on=False)
            # The curve falls to the right: above it on that side, or below it on the other, nothing is drawn.
            left = point[0] > 0.6
            marks.label(axes, point, f"threshold {threshold:.3f}", left=left, rise=-4 if left else 16)
        axes.set(xlim=(0, 1), ylim=(low - 0.12 * (1 - low) - 0.002, 1.002), xticks=TICKS)
        axes.set(xlabel="share of rows routed", ylabel="precision")
        marks.percents(axes, "x", "y")

    return drawn(name, draw, description=description, height=280) if points else ""


def threshold(name: str, promise: Part, *, description: str) -> str:
    tested = promise.get("tested") or {}
    columns = (tested.get(key) or () for key in ("thresholds", "accepted", "errors", "lower_bound"))
    # By the place on the axis: of those that share one, the least strict stands for them.
    measured = sorted((row for row in zip(*columns, strict=True) if row[1] and None not in row), reverse=True)
    places = {marks.spread(row[0]): row for row in measured}
    at = sorted(places)
    rows = [places[place] for place in at]

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        bounds = [row[3] for row in rows]
        wanted, chosen = promise["precision"], promise.get("threshold")
        low = max(0.0, min(wanted - 0.8 * (1 - wanted), float(np.median(bounds)) - 0.01))
        marker = "o" if len(rows) == 1 else None
        axes.plot(at, [1 - row[2] / row[1] for row in rows], marker=marker, color=BLUE)
        axes.plot(at, bounds, marker=marker, color=ORANGE, dashes=(3, 1.5))
        edge = 0.03 * (at[-1] - at[0]) + 0.01
        axes.set(xlim=(at[0] - edge, at[-1] + edge), ylim=(low, 1 + 0.02 * (1 - low)))
        axes.set(xlabel="threshold on route confidence", ylabel="precision")
        promised = marks.promise_line(axes, wanted)
        if chosen is not None:
            point = (marks.spread(chosen), promise["lower_bound"])
            axes.plot((point[0], point[0]), (low, point[1]), color=MUTED, linewidth=1, dashes=(2, 2))
            axes.plot(*point, "o", color=ORANGE, markersize=7, markeredgecolor=CARD)
            left = point[0] > sum(axes.get_xlim()) / 2
            marks.label(axes, (point[0], low), f"chosen {chosen:.3f}", left=left, rise=14)
        marks.spread_ticks(axes, at[0] - edge, at[-1] + edge)
        marks.percents(axes, "y")
        marks.key(figure, ("seen", BLUE, "-"), ("lower bound", ORANGE, (0, (3, 1.5))), promised)

    return drawn(name, draw, description=description, height=280) if rows else ""


def gate(name: str, part: Part, *, description: str) -> str:
    groups = [
        (title, part[key], color)
        for title, key, color in (("in scope", "in_scope", BLUE), ("out of scope", "out_of_scope", PURPLE))
        if sum(part.get(key) or ())
    ]

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        for _, rows, color in groups:
            edges, counts = edges_and_counts(part["upper_edges"], rows)
            axes.stairs(np.asarray(counts) / sum(counts), edges, color=color, linewidth=1.6)
            axes.stairs(np.asarray(counts) / sum(counts), edges, color=color, fill=True, alpha=0.18)
        axes.axvline(part["value"], color=INK, linewidth=1.2)
        top = axes.get_ylim()[1]
        axes.set_ylim(0, top * 1.12)
        left = part["value"] > sum(axes.get_xlim()) / 2
        marks.label(axes, (part["value"], top * 1.12), f"gate {part['value']:.2f}", left=left)
        axes.set(xlabel="energy (high: familiar)", ylabel="share of the group")
        marks.percents(axes, "y")
        marks.key(figure, *((title, color, "-") for title, _, color in groups))

    return drawn(name, draw, description=description, height=280) if groups else ""


def sets(name: str, part: Part, *, description: str) -> str:
    sizes = set_sizes(part["sizes"])

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        places = range(len(sizes))
        axes.bar(places, [share for _, share in sizes], 0.72, color=BLUE)
        top = max(share for _, share in sizes) or 1.0
        for place, (_, share) in enumerate(sizes):
            if share:
                told = "< 0.1%" if share < 0.001 else percent(share)
                axes.text(place, share + 0.015 * top, told, ha="center", fontsize=9 if len(sizes) > 8 else 10)
        axes.set(xticks=list(places), xticklabels=[size for size, _ in sizes], xlabel="labels in the set")
        axes.set(ylabel="share of the rows", ylim=(0, top * 1.15))
        axes.set_xlim(-0.6, max(len(sizes), 4) - 0.4)
        axes.set_yticks([tick for tick in TICKS if tick <= axes.get_ylim()[1]])
        axes.grid(visible=False, axis="x")
        marks.percents(axes, "y")

    return drawn(name, draw, description=description, height=280)
