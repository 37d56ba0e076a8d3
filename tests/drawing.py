"""Whole dashboards drawn as pictures: each panel at its place."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from dashboards import Dashboard, Panel, Sight
from drawn_panels import DOTS_PER_INCH, INCHES_PER_LETTER, show

INCHES_PER_COLUMN, INCHES_PER_ROW = 0.62, 0.3


def draw(dashboard: Dashboard, sight: Sight, path: Path) -> None:
    """All panels where the dashboard has them, as a PNG of few colours."""
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
    figure = Figure(figsize=(24 * INCHES_PER_COLUMN, rows * INCHES_PER_ROW), dpi=DOTS_PER_INCH, facecolor="#f0f1f3")
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        if panel["type"] == "row":
            y = 1 - (place["y"] + 0.6) / rows
            figure.text(0.006, y, panel["title"], fontsize=11, weight="bold", va="center", color="#33363d")
            continue
        below = place["y"] + place["h"]
        sides = [place["x"] / 24, 1 - below / rows, place["w"] / 24, place["h"] / rows]
        frame = figure.add_axes((sides[0] + 0.002, sides[1] + 0.0015, sides[2] - 0.004, sides[3] - 0.003))
        frame.set(xticks=[], yticks=[], facecolor="white")
        frame.spines[:].set_color("#d8dade")
        frame.set_title(panel["title"], fontsize=8.5, loc="left", y=1.0, pad=-12, x=0.012, weight="bold")
        axes = figure.add_axes((sides[0], sides[1], sides[2], sides[3]))
        show(axes, panel, sight, dashboard)
        axes.set_position(_inside(axes, panel, sides))
    save(figure, path)


def _inside(axes: Axes, panel: Panel, sides: Sequence[float]) -> tuple[float, float, float, float]:
    """Where the axes are within a panel of these sides, so that its names have room."""
    wide, high = panel["gridPos"]["w"] * INCHES_PER_COLUMN, panel["gridPos"]["h"] * INCHES_PER_ROW
    longest = max((len(label.get_text()) for label in axes.get_yticklabels()), default=0)
    left = (0.25 + INCHES_PER_LETTER * max(7, longest)) / wide
    bottom = (0.85 if panel["type"] == "barchart" else 0.7) / high
    above, right = 0.35 / high, 0.2 / wide
    x, y, width, height = sides
    return x + left * width, y + bottom * height, (1 - left - right) * width, (1 - bottom - above) * height


def save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=DOTS_PER_INCH)
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(48)
    small.save(path, optimize=True)
