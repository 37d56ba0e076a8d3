"""From a matplotlib figure to SVG that stands inside a page: no ids in common, no address, the page's own colours."""

import io
import re
from collections.abc import Callable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from softgate.errors import SoftgateError
from softgate.workbench.report.style import LIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

POINTS_PER_INCH = 72
WIDTH = 380
SETTINGS: "Mapping[RcKeyType, Any]" = {
    "svg.fonttype": "none",
    "svg.hashsalt": "softgate",
    # A name may hold a dollar.
    "text.parse_math": False,
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.labelsize": 11,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "axes.edgecolor": LIGHT["muted"],
    "axes.labelcolor": LIGHT["muted"],
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "grid.color": LIGHT["grid"],
    "grid.linewidth": 0.8,
    "xtick.color": LIGHT["muted"],
    "ytick.color": LIGHT["muted"],
    "text.color": LIGHT["ink"],
    "lines.linewidth": 1.8,
    "figure.constrained_layout.use": True,
}


def drawn(name: str, draw: Callable[["Figure"], None], *, description: str, height: int = 240) -> str:
    """
    The SVG element of what `draw` puts on the figure. `name` sets its ids apart from those of others on the page.

    Raises SoftgateError where the extra is absent.
    """
    try:
        import matplotlib as mpl  # noqa: PLC0415 - an extra, needed by the page alone
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as exc:
        raise SoftgateError("The page's figures need an extra: pip install 'softgate[report]'.") from exc
    # Whatever the user's own style file says, the page is the same.
    with mpl.rc_context(), io.StringIO() as file:
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS)
        figure = Figure(figsize=(WIDTH / POINTS_PER_INCH, height / POINTS_PER_INCH))
        draw(figure)
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        return _inline(file.getvalue(), name=name, description=description)


def _inline(svg: str, *, name: str, description: str) -> str:
    svg = svg[svg.index("<svg") :]
    for pattern in ("<metadata>.*?</metadata>", "<!--.*?-->", "<style[^>]*>.*?</style>"):
        svg = re.sub(pattern, "", svg, flags=re.DOTALL)
    head, body = svg[: svg.index(">")], svg[svg.index(">") :]
    box = re.search(r'viewBox="[^"]*"', head)
    assert box is not None, "matplotlib always writes a viewBox"
    body = body.replace("xlink:href", "href")
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", body)
    # The family is the page's: matplotlib would name fonts that a reader need not have.
    body = re.sub(r"font: ((?:\d{3} )?)([\d.]+px)[^;\"]*", _font, body)
    for variable, color in LIGHT.items():
        body = body.replace(color, f"var(--{variable})")
    body = re.sub(r"\s*\n\s*", "\n", body)
    return f'<svg {box.group()} role="img" aria-label="{escape(description)}"{body}'.rstrip()


def _font(match: re.Match[str]) -> str:
    weight = f"font-weight: {match[1].strip()}; " if match[1] else ""
    return f"{weight}font-size: {match[2]}"
