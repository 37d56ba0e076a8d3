"""Calibrated models behind real servers: what the files in deploy/ are checked against."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import graphs
import servers
from calibrating import calibrated, examples, model
from fleets import watched
from scraped import Prometheus

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def deploy() -> Path:
    return ROOT / "deploy"


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a calibrated model, toy, whose logits are its inputs, and one without a calibration, plain."""
    folder = tmp_path_factory.mktemp("models")
    toy = model(folder / "toy", routes={"transfer": "banking", "balance": "banking"})
    (folder / "toy/1/calibration.json").write_bytes(calibrated(toy, examples()).content)
    graphs.write_text_model(folder / "plain", name="plain")
    return folder


@pytest.fixture(scope="session")
def served(toys: Path) -> Iterator[servers.Served]:
    with servers.served(toys) as server:
        yield server


@pytest.fixture(scope="session")
def exposition(served: servers.Served) -> str:
    """What /metrics answers."""
    text: str = served.client.get("/metrics").text
    return text


@pytest.fixture(scope="session")
def calibration(toys: Path) -> Mapping[str, Any]:
    """Of the model toy."""
    found: Mapping[str, Any] = json.loads((toys / "toy/1/calibration.json").read_text())
    return found


# Not for the whole run: what scrapes every moment would take its time from all other tests.
@pytest.fixture(scope="module")
def fleets(toys: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[int, Prometheus]]:
    """By size, after the traffic."""
    with watched(toys, lambda: tmp_path_factory.mktemp("prometheus")) as running:
        yield running
