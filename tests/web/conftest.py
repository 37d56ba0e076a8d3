"""One server of small models for all tests that do not stop, count or break it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from graphs import linear, logarithm, picky, write_model, write_text_model
from processes import free_port
from servers import Served, served


def write_models(folder: Path) -> Path:
    write_text_model(folder / "words", name="words")
    write_model(folder / "identity", linear(np.eye(4, dtype=np.float32)), name="identity")
    write_model(folder / "logarithm", logarithm(4), name="logarithm")
    write_model(folder / "picky", picky(), name="picky")
    return folder


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def server(models: Path) -> Iterator[Served]:
    limits = {"SOFTGATE_MAX_BODY_BYTES": "200000", "SOFTGATE_MAX_ROWS": "100"}
    with served(models, variables={**limits, "SOFTGATE_GRPC_PORT": str(free_port())}) as running:
        yield running
