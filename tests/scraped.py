"""A real Prometheus with the project's configuration and rules, pointed at servers under test, in a hurry."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml

from tools import tool

CONFIGURATION = Path(__file__).parents[1] / "deploy/prometheus"
DEADLINE_SECONDS = 60
INTERVAL = "500ms"
"""Of scrapes, and of evaluations."""
Samples = list[dict[str, Any]]


class Prometheus:
    def __init__(self, address: str) -> None:
        self.url = f"http://{address}"

    def query(self, expression: str, at: float | None = None) -> Samples:
        """Now, or at a unix time."""
        moment = {} if at is None else {"time": str(at)}
        samples: Samples = self._get("query", {"query": expression, **moment})["result"]
        return samples

    def query_range(self, expression: str, *, start: float, end: float, step: float) -> Samples:
        span = {"start": str(start), "end": str(end), "step": str(step)}
        samples: Samples = self._get("query_range", {"query": expression, **span})["result"]
        return samples

    def value(self, expression: str, at: float | None = None) -> float | None:
        """Of the only sample, if there is one."""
        samples = self.query(expression, at)
        assert len(samples) <= 1, f"{expression} has {len(samples)} series; wanted one."
        return float(samples[0]["value"][1]) if samples else None

    def label_values(self, label: str, selector: str) -> list[str]:
        values: list[str] = self._get(f"label/{label}/values", {"match[]": selector})
        return values

    def rules(self) -> Samples:
        """As they were last evaluated."""
        return [rule for group in self._get("rules", {})["groups"] for rule in group["rules"]]

    def firing(self) -> dict[str, dict[str, Any]]:
        """Alerts by name."""
        alerts = self._get("alerts", {})["alerts"]
        return {alert["labels"]["alertname"]: alert for alert in alerts if alert["state"] == "firing"}

    def _get(self, path: str, parameters: dict[str, str]) -> Any:
        with urlopen(f"{self.url}/api/v1/{path}?{urlencode(parameters)}", timeout=10) as answer:
            return json.load(answer)["data"]


@contextmanager
def scraping(urls: Sequence[str], folder: Path, *, every: str = INTERVAL) -> Iterator[Prometheus]:
    """A Prometheus of these servers, once it is ready; its files are in the folder."""
    config = yaml.safe_load((CONFIGURATION / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every}
    config["rule_files"] = [str(CONFIGURATION / name) for name in config["rule_files"]]
    config["scrape_configs"][0]["static_configs"] = [{"targets": [url.removeprefix("http://") for url in urls]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = [tool("prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    command.append("--web.listen-address=127.0.0.1:0")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield Prometheus(_address(process.stderr))
        finally:
            process.terminate()


def wait_for(look: Callable[[], Any]) -> Any:
    """What `look` returns, as soon as it is something; what it was last, if it never is before the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def _address(log: Iterable[str] | None) -> str:
    """Where Prometheus listens, once it says that it is ready."""
    address = ""
    for line in log or ():
        found = re.search(r'msg="Listening on" address=(\S+)', line)
        address = found[1] if found else address
        if "Server is ready" in line:
            return address
    pytest.fail("Prometheus ended before it was ready.")
