"""
Pure functions of arrays: numpy in, numpy out; no file, clock, log or state.

What a notebook needs stands here by name, and is imported when it is first asked for, so that a server loads no more
than it uses.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from softgate.numerics.conformal import prediction_set_quantile, prediction_sets
    from softgate.numerics.out_of_scope import out_of_scope_gate
    from softgate.numerics.reliability import expected_calibration_error
    from softgate.numerics.selective import risk_coverage
    from softgate.numerics.temperature import fit_robust_temperature, fit_temperature
    from softgate.numerics.thresholds import precision_threshold

__all__ = [
    "expected_calibration_error",
    "fit_robust_temperature",
    "fit_temperature",
    "out_of_scope_gate",
    "precision_threshold",
    "prediction_set_quantile",
    "prediction_sets",
    "risk_coverage",
]

_MODULES = {
    "expected_calibration_error": "reliability",
    "fit_robust_temperature": "temperature",
    "fit_temperature": "temperature",
    "out_of_scope_gate": "out_of_scope",
    "precision_threshold": "thresholds",
    "prediction_set_quantile": "conformal",
    "prediction_sets": "conformal",
    "risk_coverage": "selective",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    # Kept, so that the next look-up is a plain one.
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
