"""One server that speaks gRPC, too, for all tests that do not stop or break it; its limits are small."""

from collections.abc import Iterator

import numpy as np
import pytest

from graphs import flat, linear, write_model
from rpc import Spoken, spoken
from web.conftest import write_models

MAX_BODY_BYTES, MAX_ROWS, MAX_HEADER_BYTES = 200_000, 100, 4096


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spoken]:
    folder = write_models(tmp_path_factory.mktemp("models"))
    write_model(folder / "wide", linear(np.eye(8, 4, dtype=np.float32) * 3), name="wide", routing="threshold = 0.3")
    write_model(folder / "small", flat(np.int8, "batch", 4, gives=4), name="small")
    variables = {
        "SOFTGATE_MAX_BODY_BYTES": str(MAX_BODY_BYTES),
        "SOFTGATE_MAX_ROWS": str(MAX_ROWS),
        "SOFTGATE_MAX_HEADER_BYTES": str(MAX_HEADER_BYTES),
        "SOFTGATE_BODY_SECONDS": "1",
    }
    with spoken(folder, variables=variables) as found:
        yield found
