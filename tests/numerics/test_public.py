"""The names that a notebook imports from `softgate.numerics`, and what their import costs."""

import subprocess
import sys
from importlib import import_module

import pytest

import softgate.numerics

NAMES = {
    "fit_temperature": "temperature",
    "fit_robust_temperature": "temperature",
    "precision_threshold": "thresholds",
    "prediction_set_quantile": "conformal",
    "prediction_sets": "conformal",
    "out_of_scope_gate": "out_of_scope",
    "expected_calibration_error": "reliability",
    "risk_coverage": "selective",
}


def modules_after(code: str) -> set[str]:
    """What a fresh interpreter has loaded."""
    command = f"import sys\n{code}\nprint(*sys.modules)"
    return set(
        subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True).stdout.split()
    )


def test_the_public_names_are_the_functions_themselves() -> None:
    assert set(softgate.numerics.__all__) == NAMES.keys() <= set(dir(softgate.numerics))
    for name, module in NAMES.items():
        function = getattr(softgate.numerics, name)
        assert function is getattr(import_module(f"softgate.numerics.{module}"), name)
        assert function.__doc__


def test_a_star_brings_them_all() -> None:
    names: dict[str, object] = {}

    exec("from softgate.numerics import *", names)

    assert names.keys() >= NAMES.keys()


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'softgate\.numerics' has no attribute 'fit_temprature'"):
        softgate.numerics.fit_temprature  # noqa: B018 - the look-up is what is tested


def test_the_package_loads_no_module_that_is_not_asked_for() -> None:
    loaded = modules_after("import softgate.numerics.activations")

    assert not loaded & {"scipy", "softgate.numerics.thresholds", "softgate.numerics.selective"}


def test_the_command_line_loads_no_numbers() -> None:
    loaded = modules_after("import softgate.cli")

    assert not loaded & {"numpy", "scipy", "softgate.numerics"}
