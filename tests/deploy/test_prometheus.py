"""A real Prometheus scrapes a real server; every query of every dashboard must give something to draw."""

import json
import math
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml

from servers import Served
from tools import tool

DASHBOARDS = sorted((Path(__file__).parents[2] / "deploy/grafana/dashboards").glob("*.json"))
DEADLINE_SECONDS = 30
Samples = list[dict[str, Any]]


def test_promtool_accepts_the_configuration(deploy: Path) -> None:
    subprocess.run([tool("promtool"), "check", "config", str(deploy / "prometheus/prometheus.yml")], check=True)


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


class Prometheus:
    """A running Prometheus with the project's configuration, pointed at the server under test."""

    def __init__(self, address: str) -> None:
        self._url = f"http://{address}/api/v1"

    def query(self, expression: str) -> Samples:
        samples: Samples = self._get("query", {"query": expression})["result"]
        return samples

    def label_values(self, label: str, selector: str) -> list[str]:
        values: list[str] = self._get(f"label/{label}/values", {"match[]": selector})
        return values

    def _get(self, path: str, parameters: dict[str, str]) -> Any:
        with urlopen(f"{self._url}/{path}?{urlencode(parameters)}", timeout=10) as answer:
            return json.load(answer)["data"]


@pytest.fixture(scope="module")
def prometheus(served: Served, deploy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    program = tool("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    config = yaml.safe_load((deploy / "prometheus/prometheus.yml").read_text())
    config["global"]["scrape_interval"] = "500ms"
    config["global"]["scrape_timeout"] = "500ms"
    config["scrape_configs"][0]["static_configs"] = [{"targets": [served.url.removeprefix("http://")]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = [program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    command.append("--web.listen-address=127.0.0.1:0")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            running = Prometheus(_address(process.stderr))
            # A rate needs a scrape from before the traffic.
            wait_for(lambda: running.query("softgate_requests_total"))
            served.predict("toy", inputs=["send money", "rain sun"])
            served.predict("toy", inputs="not a word of it")
            served.client.post("/v1/models/toy/predict", content=b"not JSON")
            yield running
        finally:
            process.terminate()


def _address(log: Iterable[str] | None) -> str:
    """Where Prometheus listens, once it says that it is ready."""
    address = ""
    for line in log or ():
        found = re.search(r'msg="Listening on" address=(\S+)', line)
        address = found[1] if found else address
        if "Server is ready" in line:
            return address
    pytest.fail("Prometheus ended before it was ready.")


def wait_for(look: Callable[[], Any]) -> Any:
    """What `look` returns, as soon as it is something; nothing, if it never is before the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def drawable(prometheus: Prometheus, expression: str) -> Samples:
    """The samples of a dashboard's query with its variables set to all; those that are not numbers left out."""
    replaced = expression.replace("$__rate_interval", "1h").replace("$__range", "1h")
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
