"""What all dashboards share: frame, variables, the links from each to the others, and the places of panels."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from softgate.workbench.dashboards.panels import DATASOURCE, Panel

Dashboard = dict[str, Any]

COLUMNS = 24
PAGES: Mapping[str, str] = {
    "softgate-routing": "Routing",
    "softgate-confidence": "Confidence",
    "softgate-service": "Service",
}
"""Uid → title, in the order of the links."""


def page(uid: str, description: str, panels: Sequence[Panel]) -> Dashboard:
    return {
        "uid": uid,
        "title": f"softgate: {PAGES[uid].lower()}",
        "description": description,
        "tags": ["softgate"],
        "schemaVersion": 41,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [_link(other, title) for other, title in PAGES.items() if other != uid],
        "templating": {"list": [_datasource(), *_variables()]},
        "panels": list(placed(panels)),
    }


def placed(panels: Iterable[Panel]) -> Iterator[Panel]:
    """Each panel right of the one before, or, where the line is full, below the highest of it."""
    x = y = height = 0
    for panel in panels:
        size = panel["gridPos"]
        if x + size["w"] > COLUMNS:
            x, y, height = 0, y + height, 0
        yield {**panel, "gridPos": {"x": x, "y": y, **size}}
        x, height = x + size["w"], max(height, size["h"])


def _link(uid: str, title: str) -> Panel:
    return {
        "type": "link",
        "title": title,
        "url": f"/d/{uid}",
        "icon": "dashboard",
        "tooltip": "",
        "tags": [],
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
    }


def _datasource() -> Panel:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _variables() -> Iterator[Panel]:
    yield _variable("model", "Model", "softgate_model_info")
    yield _variable("version", "Version", 'softgate_model_info{model=~"$model"}')
    # Without a calibration the label is not there: nothing matches it, and "all" must be anything or nothing.
    calibrated = 'softgate_model_info{model=~"$model", version=~"$version"}'
    yield _variable("calibration", "Calibration", calibrated, every=".*")
    yield _variable("instance", "Instance", "softgate_build_info")


def _variable(name: str, label: str, series: str, *, every: str = ".+") -> Panel:
    """Several values may be chosen, or all."""
    query = f"label_values({series}, {name})"
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"refId": name, "query": query},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": every,
        "current": {"text": ["All"], "value": ["$__all"]},
    }
