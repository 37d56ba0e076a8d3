"""
`softgate calibrate`: fit the temperature, write `calibration.json` and the golden rows.

The rows run through the code that serves them, so that offline equals online.
"""

import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softgate import __version__
from softgate.errors import DataInvalid, ModelError
from softgate.numerics.activations import ACTIVATIONS
from softgate.numerics.confidence import max_probability
from softgate.numerics.reliability import expected_calibration_error
from softgate.numerics.scores import brier_score, negative_log_likelihood
from softgate.numerics.temperature import (
    TEMPERATURE_RANGE,
    TemperatureFit,
    apply_temperature,
    fit_robust_temperature,
    fit_temperature,
    fit_temperature_by_brier,
)
from softgate.runtime.calibration import FORMAT, bindings, seal
from softgate.runtime.card import bound_parts
from softgate.runtime.golden import LEAST_ROWS, MOST_ROWS, Golden, write_golden
from softgate.runtime.repository import Bundle, Model
from softgate.runtime.session import ENGINE
from softgate.types import Rows
from softgate.workbench.examples import Examples

# Labels of people are wrong in a few rows of a hundred; more than this is rarely theirs.
MUCH_NOISE = 0.1
# In nats. On rows that are calibrated as they stand, the fit's own share of noise costs up to 0.004.
MUCH_LOSS = 0.01
# The standard deviation of T is 6 to 13 % at 300 rows, and twice that at 100, measured on three models of 150 classes.
FEW_ROWS = 300

Progress = Callable[[int], None]
"""Called with the number of rows just done."""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What `calibrate` found, and the two files that say it."""

    temperature: float
    noise: float | None
    """Share of the labels taken for wrong; None where the fit knows no noise."""
    before: Mapping[str, float]
    after: Mapping[str, float]
    doubts: Sequence[str]
    """Sentences for the person who gave the labels."""
    calibration: bytes
    golden: bytes


def run_examples(model: Model, rows: Sequence[Any], progress: Progress) -> NDArray[np.floating]:
    """Logits of the rows, through the model's own input path. Raises InvalidInput and EngineFailed."""
    step = model.bundle.card.serving.max_batch
    # All at once, so that a refusal numbers the row among all of them.
    checked = model.input.check(rows)
    parts = []
    for start in range(0, len(rows), step):
        batch = Rows(checked.values[start : start + step])
        parts.append(model.logits(batch))
        progress(len(batch))
    return np.concatenate(parts)


def calibrate(
    model: Model, examples: Examples, *, golden_rows: Sequence[Any] | None, robust: bool, progress: Progress
) -> Calibrated:
    """Raises DataInvalid where the examples do not fit the model or cannot carry a temperature."""
    bundle = model.bundle
    activation = bundle.card.activation
    targets = _targets(examples, bundle.labels)
    logits = run_examples(model, examples.rows, progress) if examples.logits is None else examples.logits
    method = _method(activation, robust=robust)
    fit = _fit(logits, targets, activation=activation, method=method)
    plain = fit_temperature(logits, targets) if method == "robust" else None
    noise = fit.noise if method == "robust" else None
    before = figures(logits, targets, activation=activation, temperature=1.0)
    after = figures(logits, targets, activation=activation, temperature=fit.temperature)
    values = {
        "format": FORMAT,
        "bound_to": bindings(
            bound_parts(bundle.card), model=bundle.model, labels=bundle.labels_content, tokenizer=bundle.tokenizer
        ),
        "temperature": fit.temperature,
        **({} if noise is None else {"noise": noise}),
        "evidence": {
            "data": {"sha256": examples.sha256, "rows": len(examples.labels)},
            "method": method,
            "plain_temperature": None if plain is None else plain.temperature,
            "on_the_rows_fitted": {"before": before, "after": after},
            "versions": {"softgate": __version__, "engine": ENGINE, "numpy": np.__version__},
            "command": shlex.join(["softgate", *sys.argv[1:]]),
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    }
    golden = _golden(model, _stand_ins(bundle, examples) if golden_rows is None else golden_rows)
    return Calibrated(
        temperature=fit.temperature,
        noise=noise,
        before=before,
        after=after,
        doubts=_doubts(fit, plain, targets, worse=after.get("nll", 0.0) > before.get("nll", 0.0) + MUCH_LOSS),
        calibration=seal(values),
        golden=write_golden(golden),
    )


def _doubts(fit: TemperatureFit, plain: TemperatureFit | None, targets: NDArray[np.intp], worse: bool) -> Sequence[str]:
    """
    What a person should look at before trusting the temperature.

    The robust fit cannot tell a wrong label from a confident error of the model. Where it takes many rows for
    mislabelled, or makes the labels as they stand clearly less likely than no calibration does, a person must say which
    of the two they are.
    """
    doubts = []
    if len(targets) < FEW_ROWS:
        doubts.append(f"From {len(targets)} rows T is uncertain by a tenth and more; wanted at least {FEW_ROWS}.")
    if len(np.unique(targets)) == 1:
        doubts.append("All rows have one label; wanted rows of every label, as they occur.")
    if plain is not None and (fit.noise > MUCH_NOISE or worse):
        doubts.append(
            f"The fit takes {fit.noise:.1%} of the labels for wrong. If they are right, the model errs with "
            f"confidence, and --plain is the fit to use: it gives T = {plain.temperature:.4g}."
        )
    return doubts


def write(bundle: Bundle, calibrated: Calibrated) -> tuple[Path, Path]:
    """
    Put both files beside the graph, each whole or not at all; returns where they are.

    Raises ModelError where the folder cannot be written.
    """
    folder = bundle.folder / bundle.version
    calibration, golden = folder / "calibration.json", folder / "golden.json"
    _replace(golden, calibrated.golden)
    _replace(calibration, calibrated.calibration)
    return calibration, golden


def figures(
    logits: NDArray[np.floating], targets: NDArray[np.intp], *, activation: str, temperature: float
) -> Mapping[str, float]:
    """Accuracy, negative log-likelihood (softmax only), Brier score and ECE15 at a temperature."""
    probabilities = ACTIVATIONS[activation](apply_temperature(logits, temperature))
    correct = probabilities.argmax(axis=1) == targets
    found = {
        "accuracy": float(correct.mean()),
        "brier": brier_score(probabilities, targets),
        "ece15": expected_calibration_error(max_probability(probabilities), correct),
    }
    if activation == "softmax":
        found["nll"] = negative_log_likelihood(probabilities, targets)
    return found


def _targets(examples: Examples, labels: Sequence[str]) -> NDArray[np.intp]:
    index = {label: column for column, label in enumerate(labels)}
    unknown = [row for row, names in enumerate(examples.labels) if len(names) != 1 or names[0] not in index]
    if unknown:
        names = examples.labels[unknown[0]]
        got = f"the label {names[0]!r}, which labels.txt does not hold" if len(names) == 1 else f"{len(names)} labels"
        raise DataInvalid(f"{examples.place(unknown[0])}: got {got}; {len(unknown)} such in all.")
    return np.array([index[names[0]] for names in examples.labels], dtype=np.intp)


def _method(activation: str, *, robust: bool) -> str:
    if activation != "softmax":
        return "brier"
    return "robust" if robust else "plain"


def _fit(logits: NDArray[np.floating], targets: NDArray[np.intp], *, activation: str, method: str) -> TemperatureFit:
    try:
        if method == "brier":
            # Exact zeros make the likelihood infinite; the Brier score stays finite.
            fit = fit_temperature_by_brier(logits, targets, activation=ACTIVATIONS[activation])
        else:
            fit = (fit_robust_temperature if method == "robust" else fit_temperature)(logits, targets)
    except ValueError as exc:
        raise DataInvalid(f"The temperature cannot be fitted: {exc}") from exc
    if fit.clamped:
        low, high = TEMPERATURE_RANGE
        why = "The examples are too few, or the model was trained on them; wanted rows it has not seen."
        if fit.temperature == high:
            why = "The labels do not fit what the model says; wanted labels.txt in the order of the graph's columns."
        elif method == "robust":
            why += " Labels may also have been taken for wrong that are right: try --plain."
        raise DataInvalid(
            f"The fitted temperature lies at {fit.temperature:g}, an end of the range {low:g} to {high:g}. {why}"
        )
    return fit


def _stand_ins(bundle: Bundle, examples: Examples) -> Sequence[Any]:
    """Golden rows where none are given: numbers from the data, but no text of it, which may be somebody's."""
    if bundle.card.input.kind == "text":
        made_up = [label.replace("_", " ") for label in bundle.labels]
        return (made_up * LEAST_ROWS)[: max(LEAST_ROWS, min(MOST_ROWS, len(made_up)))]
    step = max(1, len(examples.rows) // MOST_ROWS)
    return examples.rows[::step][:MOST_ROWS]


def _golden(model: Model, rows: Sequence[Any]) -> Golden:
    if len(rows) < LEAST_ROWS:
        raise DataInvalid(f"Got {len(rows)} golden rows, wanted {LEAST_ROWS} to {MOST_ROWS}.")
    chosen = rows[:MOST_ROWS]
    logits = model.logits(model.input.check(chosen)).astype(np.float64)
    if not np.isfinite(logits).all():
        raise DataInvalid("A golden row has a logit that is NaN or infinite; wanted rows whose logits can be compared.")
    return Golden(chosen, logits, [model.bundle.labels[column] for column in logits.argmax(axis=1)])


def _replace(path: Path, content: bytes) -> None:
    """A reader sees the old file or the new one, never a part, whatever happens meanwhile."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                os.chmod(file.name, 0o644)
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as exc:
        raise ModelError(f"{path}: cannot be written: {exc.strerror}.") from exc
