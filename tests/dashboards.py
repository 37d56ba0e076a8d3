"""The files of the dashboards, and their queries as Grafana would send them."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scraped import Prometheus

Panel = dict[str, Any]
Dashboard = dict[str, Any]
Numbers = NDArray[np.float64]

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


@dataclass(frozen=True)
class Line:
    name: str
    labels: Mapping[str, str]
    seconds: Numbers
    """Since the start of the picture."""
    values: Numbers


@dataclass(frozen=True)
class Sight:
    """What is looked at: a Prometheus from one moment to another, unix times."""

    prometheus: Prometheus
    start: float
    end: float
    step: float = 1.0
    rate_interval: str = "10s"

    def lines(self, target: Mapping[str, Any], dashboard: Dashboard) -> list[Line]:
        span = f"{math.ceil(self.end - self.start)}s"
        expression = asked(target["expr"], dashboard, interval=self.rate_interval, span=span)
        if target.get("instant"):
            found = [{**sample, "values": [sample["value"]]} for sample in self.prometheus.query(expression, self.end)]
        else:
            found = self.prometheus.query_range(expression, start=self.start, end=self.end, step=self.step)
        return [self._line(sample, target["legendFormat"]) for sample in found]

    def _line(self, sample: Mapping[str, Any], legend: str) -> Line:
        labels = sample["metric"]
        name = re.sub(r"{{(\w+)}}", lambda label: labels.get(label[1], ""), legend)
        seconds, values = np.array(sample["values"], dtype=np.float64).T
        return Line(" ".join(name.split()), labels, seconds - self.start, values)
