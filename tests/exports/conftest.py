"""Exports are made by libraries too heavy for `make test`; without them the tests here skip and say so."""

import os
from importlib.util import find_spec

import pytest

REQUIRE_ALL = "SOFTGATE_REQUIRE_ALL"
EXPORTERS = ("lightgbm", "onnxmltools", "onnxscript", "skl2onnx", "sklearn", "tokenizers", "torch", "xgboost")
MISSING = [name for name in EXPORTERS if find_spec(name) is None]


def pytest_runtest_setup() -> None:
    """Where SOFTGATE_REQUIRE_ALL=1 promises that all are there, one that is not is a failure."""
    if not MISSING:
        return
    reason = f"{', '.join(MISSING)} not installed: make test-all installs what exports models."
    if os.environ.get(REQUIRE_ALL) == "1":
        pytest.fail(f"{reason} {REQUIRE_ALL}=1 wants every library present.")
    pytest.skip(f"{reason} {REQUIRE_ALL}=1 makes this a failure.")
