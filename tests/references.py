"""Calibrations with a reference, without a fit."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphs import write_calibration
from softgate.policy.decision import routing
from softgate.policy.scoring import laid_out
from softgate.runtime.repository import Bundle, read_bundle
from softgate.workbench.calibrate.fit import Fit, Recipe
from softgate.workbench.calibrate.labelled import Labelled
from softgate.workbench.calibrate.reference import reference


def write_referenced(
    folder: Path, logits: NDArray[np.floating], truth: NDArray[Any] | None = None, **parts: Any
) -> Bundle:
    """A calibration of these parts, and the reference that rows of these logits give under it."""
    write_calibration(folder, **parts)
    bundle = read_bundle(folder)
    card = bundle.card
    temperature, bias = laid_out(bundle.calibration)
    fit = Fit(Recipe(card.activation, robust=False), temperature, clamped=False, bias=bias)
    rows = Labelled(logits, logits.argmax(axis=1) if truth is None else truth)
    laid = routing(card.routing, bundle.calibration, bundle.labels, multi_label=card.multi_label)
    with_energy = card.activation == "softmax"
    write_calibration(folder, reference=reference(rows, fit, laid, with_energy=with_energy), **parts)
    return read_bundle(folder)
