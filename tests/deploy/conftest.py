"""A toy model behind a real server: what the files in deploy/ are checked against."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import graphs
import servers

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def deploy() -> Path:
    return ROOT / "deploy"


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one model folder, named toy."""
    folder = tmp_path_factory.mktemp("models")
    graphs.write_text_model(folder / "toy")
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
