"""
Panels as Grafana's dashboards hold them, by kind. The id is given, not counted, so that links to a panel outlive its
neighbours; the size is in columns of 24 and rows of 30 pixels, and `layout` finds the place.
"""

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any, NamedTuple

Panel = dict[str, Any]

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
ROWS = "suffix: rows"
SHARE = "percentunit"


class Query(NamedTuple):
    expression: str
    legend: str


Queries = Sequence[Query]


def heading(number: int, title: str) -> Panel:
    """The line above panels that belong together."""
    place = {"w": 24, "h": 1}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}


def lines(
    number: int,
    title: str,
    description: str,
    queries: Queries,
    *,
    size: tuple[int, int],
    unit: str,
    limits: tuple[float | None, float | None] = (0, None),
    reach: float | None = None,
    fill: int = 10,
    overrides: Sequence[Panel] = (),
) -> Panel:
    """Values over time; the axis goes up to `reach` at least, so that nothing much looks like it."""
    low, high = limits
    custom = {"fillOpacity": fill, "showPoints": "never"} | ({} if reach is None else {"axisSoftMax": reach})
    defaults = {"unit": unit, "min": low, "max": high, "custom": custom}
    return _panel("timeseries", number, title, description, size) | {
        "fieldConfig": _fields(defaults, overrides),
        "options": {"legend": _legend(), "tooltip": {"mode": "multi", "sort": "desc"}},
        "targets": _targets(queries),
    }


def stacked(
    number: int,
    title: str,
    description: str,
    queries: Queries,
    *,
    size: tuple[int, int],
    unit: str,
    limits: tuple[float | None, float | None] = (0, None),
    overrides: Sequence[Panel] = (),
) -> Panel:
    """Parts of a whole over time."""
    panel = lines(number, title, description, queries, size=size, unit=unit, limits=limits, overrides=overrides)
    panel["fieldConfig"]["defaults"]["custom"] = {
        "fillOpacity": 50,
        "lineWidth": 0,
        "showPoints": "never",
        "stacking": {"mode": "normal", "group": "A"},
    }
    return panel


def states(
    number: int,
    title: str,
    description: str,
    queries: Queries,
    *,
    size: tuple[int, int],
    words: Mapping[int, tuple[str, str]],
) -> Panel:
    """Which of a few states held when; `words` gives each value its text and its colour."""
    options = {str(value): {"text": text, "color": colour} for value, (text, colour) in words.items()}
    defaults = {
        "unit": "none",
        "mappings": [{"type": "value", "options": options}],
        "custom": {"fillOpacity": 80, "lineWidth": 0},
    }
    return _panel("state-timeline", number, title, description, size) | {
        "fieldConfig": _fields(defaults),
        "options": {"showValue": "auto", "rowHeight": 0.8, "mergeValues": True, "legend": _legend(show=False)},
        "targets": _targets(queries),
    }


def bars(
    number: int, title: str, description: str, queries: Queries, *, size: tuple[int, int], unit: str, decimals: int = 0
) -> Panel:
    """The latest value of each series, as a bar."""
    return _panel("bargauge", number, title, description, size) | {
        "fieldConfig": _fields({"unit": unit, "decimals": decimals}),
        "options": {
            "displayMode": "basic",
            "orientation": "horizontal",
            "showUnfilled": True,
            "valueMode": "color",
            "reduceOptions": {"calcs": ["lastNotNull"], "values": False},
        },
        "targets": _targets(queries, instant=True, range=False),
    }


def numbers(
    number: int, title: str, description: str, queries: Queries, *, size: tuple[int, int], unit: str, decimals: int = 0
) -> Panel:
    """The latest value of each series, in figures."""
    return _panel("stat", number, title, description, size) | {
        "fieldConfig": _fields({"unit": unit, "decimals": decimals}),
        "options": {
            "colorMode": "none",
            "graphMode": "none",
            "justifyMode": "auto",
            "orientation": "horizontal",
            "reduceOptions": {"calcs": ["lastNotNull"], "values": False},
            "textMode": "value_and_name",
        },
        "targets": _targets(queries),
    }


def paired_bars(
    number: int, title: str, description: str, queries: Queries, *, size: tuple[int, int], by: str
) -> Panel:
    """Two or more shares side by side, for each value of the label `by`; a query's legend names its bars."""
    names = {f"Value #{letter}": query.legend for letter, query in zip(ascii_uppercase, queries, strict=False)}
    return _panel("barchart", number, title, description, size) | {
        "fieldConfig": _fields({"unit": SHARE, "min": 0, "custom": {"fillOpacity": 80, "lineWidth": 0}}),
        "options": {"xField": by, "orientation": "auto", "groupWidth": 0.8, "showValue": "never", "legend": _legend()},
        "targets": _targets(queries, format="table", instant=True, range=False),
        "transformations": [
            {"id": "merge", "options": {}},
            {"id": "sortBy", "options": {"sort": [{"field": by}]}},
            {"id": "organize", "options": {"excludeByName": {"Time": True}, "renameByName": names}},
        ],
    }


def heatmap(
    number: int, title: str, description: str, queries: Queries, *, size: tuple[int, int], cells: str = ROWS
) -> Panel:
    """Cumulative buckets over time, their axis a share."""
    return _panel("heatmap", number, title, description, size) | {
        "fieldConfig": _fields({"unit": SHARE}),
        "options": {
            "calculate": False,
            "cellGap": 1,
            "cellValues": {"unit": cells},
            "color": {
                "mode": "scheme",
                "scheme": "Blues",
                "steps": 64,
                "reverse": False,
                "scale": "exponential",
                "exponent": 0.5,
                "fill": "dark-blue",
            },
            "filterValues": {"le": 1e-9},
            "legend": {"show": True},
            "rowsFrame": {"layout": "auto"},
            "tooltip": {"mode": "single", "yHistogram": True},
            "yAxis": {"axisPlacement": "left", "unit": SHARE},
        },
        "targets": _targets(queries, format="heatmap"),
    }


def coloured(pattern: str, colour: str) -> Panel:
    """Series whose name matches are drawn in this colour."""
    return _override(pattern, {"color": {"mode": "fixed", "fixedColor": colour}})


def dashed(pattern: str, colour: str) -> Panel:
    """Series whose name matches are no measurement, but what one is held against."""
    return _override(
        pattern,
        {
            "color": {"mode": "fixed", "fixedColor": colour},
            "custom.lineStyle": {"fill": "dash", "dash": [10, 10]},
            "custom.fillOpacity": 0,
        },
    )


def _override(pattern: str, properties: Mapping[str, Any]) -> Panel:
    return {
        "matcher": {"id": "byRegexp", "options": pattern},
        "properties": [{"id": name, "value": value} for name, value in properties.items()],
    }


def _panel(kind: str, number: int, title: str, description: str, size: tuple[int, int]) -> Panel:
    width, height = size
    place = {"w": width, "h": height}
    return {"id": number, "type": kind, "title": title, "description": description, "gridPos": place} | {
        "datasource": DATASOURCE
    }


def _fields(defaults: Panel, overrides: Sequence[Panel] = ()) -> Panel:
    return {"defaults": {key: value for key, value in defaults.items() if value is not None}, "overrides": [*overrides]}


def _legend(*, show: bool = True) -> Panel:
    return {"showLegend": show, "displayMode": "list", "placement": "bottom", "calcs": []}


def _targets(queries: Queries, **options: object) -> list[Panel]:
    return [
        {"refId": letter, "expr": query.expression, "legendFormat": query.legend, **options}
        for letter, query in zip(ascii_uppercase, queries, strict=False)
    ]
