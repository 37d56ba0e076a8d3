"""Exports are made by libraries too heavy for `make test`; without them the tests here skip and say so."""

from importlib.util import find_spec

from tools import absent

EXPORTERS = ("lightgbm", "onnxmltools", "onnxscript", "skl2onnx", "sklearn", "tokenizers", "torch", "xgboost")
MISSING = [name for name in EXPORTERS if find_spec(name) is None]


def pytest_runtest_setup() -> None:
    """Where SOFTGATE_REQUIRE_ALL=1 promises that all are there, one that is not is a failure."""
    if MISSING:
        absent(f"{', '.join(MISSING)} not installed: make test-all installs what exports models.")
