"""A real Prometheus scrapes real servers; every query of every dashboard must give something to draw."""

import math
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dashboards import DASHBOARDS, Dashboard, asked, drawn, queries, read
from scraped import Prometheus, Samples, wait_for
from tools import tool


def test_promtool_accepts_the_exposition(exposition: str) -> None:
    """Its lint, too: units, suffixes, help texts."""
    answer = subprocess.run(
        [tool("promtool"), "check", "metrics"], input=exposition, text=True, capture_output=True, check=False
    )

    assert (answer.returncode, answer.stderr) == (0, "")


def test_promtool_refuses_an_exposition_without_help(exposition: str) -> None:
    text = re.sub(r"# HELP .*\n", "", exposition)

    answer = subprocess.run(
        [tool("promtool"), "check", "metrics"], input=text, text=True, capture_output=True, check=False
    )
    assert answer.returncode != 0


@pytest.fixture(scope="module")
def prometheus(fleets: Mapping[int, Prometheus]) -> Prometheus:
    return fleets[2]


def drawable(prometheus: Prometheus, expression: str, dashboard: Dashboard) -> Samples:
    """
    The samples of a query, those that are not numbers left out.

    Yesterday is a moment ago, for no test waits that long.
    """
    replaced = asked(expression, dashboard, interval="1h", span="1h").replace("offset 1d", "offset 1ms")
    return [sample for sample in prometheus.query(replaced) if not math.isnan(float(sample["value"][1]))]


def targets() -> list[Any]:
    return [
        pytest.param(path, target, id=f"{path.stem}-{panel['title']}-{target['refId']}")
        for path in DASHBOARDS
        for panel in drawn(read(path))
        for target in panel["targets"]
    ]


def variables() -> list[Any]:
    return [
        pytest.param(path, variable, id=f"{path.stem}-{variable['name']}")
        for path in DASHBOARDS
        for variable in queries(read(path))
    ]


@pytest.mark.parametrize(("path", "target"), targets())
def test_a_query_gives_something_to_draw(prometheus: Prometheus, path: Path, target: dict[str, str]) -> None:
    samples = wait_for(lambda: drawable(prometheus, target["expr"], read(path)))

    assert samples
    # Without a calibration the label is empty, which is the same to Prometheus as none.
    named = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
    assert any(named <= set(sample["metric"]) for sample in samples)


@pytest.mark.parametrize(("path", "variable"), variables())
def test_a_variable_has_values(prometheus: Prometheus, path: Path, variable: dict[str, Any]) -> None:
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
    assert found is not None
    selector, label = found.groups()

    assert prometheus.label_values(label, asked(selector, read(path), interval="", span=""))
    assert variable["definition"] == variable["query"]["query"]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_all_holds_the_models_without_a_calibration(prometheus: Prometheus, path: Path) -> None:
    chosen = drawable(prometheus, 'softgate_temperature{calibration=~"$calibration"}', read(path))

    assert {sample["metric"]["model"] for sample in chosen} == {"plain", "toy"}


def test_a_query_of_what_is_not_there_gives_nothing(prometheus: Prometheus) -> None:
    assert drawable(prometheus, 'softgate_temperature{model="nobody"}', read(DASHBOARDS[0])) == []


def test_the_scrape_is_whole(prometheus: Prometheus) -> None:
    """A line that Prometheus cannot read costs the whole scrape, and `up` is all that tells."""
    assert [sample["value"][1] for sample in prometheus.query('up{job="softgate"}')] == ["1", "1"]
