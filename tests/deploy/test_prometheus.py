"""A real Prometheus scrapes a real server; every query of every dashboard must give something to draw."""

import json
import math
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scraped import Prometheus, Samples, scraping, wait_for
from servers import Served
from tools import tool

DASHBOARDS = sorted((Path(__file__).parents[2] / "deploy/grafana/dashboards").glob("*.json"))


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
def prometheus(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with scraping([served.url], tmp_path_factory.mktemp("prometheus")) as running:
        # A rate needs a scrape from before the traffic.
        wait_for(lambda: running.query("softgate_requests_total"))
        served.predict("toy", inputs=["send money", "rain sun"])
        served.predict("toy", inputs="not a word of it")
        served.client.post("/v1/models/toy/predict", content=b"not JSON")
        yield running


def drawable(prometheus: Prometheus, expression: str) -> Samples:
    """
    The samples of a dashboard's query with its variables set to all; those that are not numbers left out.

    Yesterday is a moment ago, for no test waits that long.
    """
    replaced = expression.replace("$__rate_interval", "1h").replace("$__range", "1h").replace("offset 1d", "offset 1ms")
    samples = prometheus.query(re.sub(r"\$\w+", ".+", replaced))
    return [sample for sample in samples if not math.isnan(float(sample["value"][1]))]


def targets() -> list[Any]:
    panels = [(path.stem, panel) for path in DASHBOARDS for panel in json.loads(path.read_text())["panels"]]
    return [
        pytest.param(target, id=f"{stem}-{panel['title']}-{target['refId']}")
        for stem, panel in panels
        for target in panel.get("targets", [])
    ]


def variables() -> list[Any]:
    found = [(path.stem, v) for path in DASHBOARDS for v in json.loads(path.read_text())["templating"]["list"]]
    return [pytest.param(v, id=f"{stem}-{v['name']}") for stem, v in found if v["type"] == "query"]


@pytest.mark.parametrize("target", targets())
def test_a_query_gives_something_to_draw(prometheus: Prometheus, target: dict[str, str]) -> None:
    samples = wait_for(lambda: drawable(prometheus, target["expr"]))

    assert samples
    assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= set(samples[0]["metric"])


@pytest.mark.parametrize("variable", variables())
def test_a_variable_has_values(prometheus: Prometheus, variable: dict[str, Any]) -> None:
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
    assert found is not None
    selector, label = found.groups()

    assert prometheus.label_values(label, re.sub(r"\$\w+", ".+", selector))
    assert variable["definition"] == variable["query"]["query"]


def test_a_query_of_what_is_not_there_gives_nothing(prometheus: Prometheus) -> None:
    assert drawable(prometheus, 'softgate_temperature{model="nobody"}') == []


def test_the_scrape_is_whole(prometheus: Prometheus) -> None:
    """A line that Prometheus cannot read costs the whole scrape, and `up` is all that tells."""
    assert [sample["value"][1] for sample in prometheus.query('up{job="softgate"}')] == ["1"]
