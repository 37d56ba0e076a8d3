"""The files of the dashboards, and their queries as Grafana would send them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Panel = dict[str, Any]
Dashboard = dict[str, Any]

DASHBOARDS = sorted((Path(__file__).parents[1] / "deploy/grafana/dashboards").glob("*.json"))


def read(path: Path) -> Dashboard:
    found: Dashboard = json.loads(path.read_text())
    return found


def drawn(dashboard: Dashboard) -> list[Panel]:
    """All panels but the rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions(dashboard: Dashboard) -> Iterator[str]:
    for panel in drawn(dashboard):
        yield from (target["expr"] for target in panel["targets"])


def queries(dashboard: Dashboard) -> list[Panel]:
    """The variables that are read from Prometheus."""
    return [variable for variable in dashboard["templating"]["list"] if variable["type"] == "query"]


def asked(expression: str, dashboard: Dashboard, *, interval: str, span: str) -> str:
    """With every variable set to all."""
    every = {variable["name"]: variable["allValue"] for variable in queries(dashboard)}
    every |= {"__rate_interval": interval, "__range": span}
    return re.sub(r"\$(\w+)", lambda found: every[found[1]], expression)
