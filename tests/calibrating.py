"""Small models and labelled rows to calibrate them with."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphs import LABELS, linear, write_model
from softgate.numerics.activations import sigmoid, softmax
from softgate.runtime.calibration import DEFAULT_PROFILE
from softgate.runtime.repository import Model, read_bundle
from softgate.workbench.calibrate.calibrate import Calibrated, Options, calibrate
from softgate.workbench.calibrate.labelled import Data, label
from softgate.workbench.examples import Examples

EYE = np.eye(4, dtype=np.float32)
# Logits of a model that is three times too sure of itself.
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(scale=6, size=(1200, 4)).astype(np.float32)
TARGETS = np.array([RNG.choice(4, p=row) for row in softmax(LOGITS / 3)])
HELD = np.random.default_rng(1).random(LOGITS.shape) < sigmoid(LOGITS / 3)
DIGEST = "0" * 64


def examples(rows: Sequence[Any] = LOGITS.tolist(), targets: NDArray[np.intp] = TARGETS) -> Examples:
    return Examples(rows, [(LABELS[target],) for target in targets], DIGEST)


def pairs(logits: NDArray[np.floating] = LOGITS, held: NDArray[np.bool_] = HELD) -> Examples:
    """Rows of which several labels hold."""
    return Examples(logits.tolist(), [tuple(np.array(LABELS)[row]) for row in held], DIGEST)


def model(folder: Path, *, activation: str = "softmax", routing: str = "precision = 0.8", **card: Any) -> Model:
    write_model(folder, linear(EYE), activation=activation, routing=routing, **card)
    return Model(read_bundle(folder), threads=1)


def calibrated(
    to: Model,
    by: Examples,
    apart: Examples | None = None,
    *,
    out_of_scope_label: str | None = None,
    robust: bool = True,
    richer: bool = False,
    **options: Any,
) -> Calibrated:
    def data(examples: Examples) -> Data:
        rows = label(to, examples, out_of_scope_label=out_of_scope_label, progress=lambda _: None)
        return Data(rows, examples.sha256, out_of_scope_label)

    return calibrate(
        to,
        data(by),
        None if apart is None else data(apart),
        options=Options(robust=robust, richer=richer, **options),
        stage=lambda _: None,
    )


def values(found: Calibrated) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(found.content)
    return read


def evidence(found: Calibrated) -> dict[str, Any]:
    told: dict[str, Any] = values(found)["evidence"]
    return told


def promise(found: Calibrated, profile: str = DEFAULT_PROFILE) -> dict[str, Any]:
    told: dict[str, Any] = evidence(found)["promises"][profile]
    return told
