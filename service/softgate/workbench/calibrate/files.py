"""The two files of a calibration, each whole or not at all; and the golden rows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from softgate.errors import DataInvalid, InvalidInput
from softgate.runtime.golden import LEAST_ROWS, MOST_ROWS, Golden, write_golden
from softgate.runtime.repository import Bundle, Model
from softgate.workbench.calibrate.labelled import run_checked
from softgate.workbench.examples import Examples
from softgate.workbench.whole_file import replace


def write(bundle: Bundle, *, calibration: bytes, golden: bytes | None) -> Sequence[Path]:
    """
    Put them beside the graph; returns where they are. Without golden rows those that are there stay.

    Raises ModelError where the folder cannot be written.
    """
    folder = bundle.folder / bundle.version
    contents = {"golden.json": golden, "calibration.json": calibration}
    written = [folder / name for name, content in contents.items() if content is not None]
    for path in written:
        replace(path, contents[path.name] or b"")
    return written


def golden_rows(model: Model, path: Path, rows: Sequence[Any]) -> bytes:
    """
    `golden.json` of rows that a person chose, from `path`.

    Raises DataInvalid for too few rows, rows that the model does not take, or whose logits cannot be compared.
    """
    if len(rows) < LEAST_ROWS:
        raise DataInvalid(f"{path}: got {len(rows)} golden rows, wanted {LEAST_ROWS} to {MOST_ROWS}.")
    try:
        return _golden(model, list(rows[:MOST_ROWS]))
    except InvalidInput as exc:
        raise DataInvalid(f"{path}: got golden rows that the model does not take, counted from 0: {exc}") from exc


def stand_ins(model: Model, examples: Examples) -> bytes | None:
    """
    The same of rows of the data, which the model has taken; None where they are too few, or only logits are known.

    No text of the data, which may be somebody's: made-up ones stand in for it. Raises DataInvalid.
    """
    rows: Sequence[Any] = examples.rows
    # Not where logits are all that is known: golden rows that are there are better than label names.
    if len(rows) and model.bundle.card.input.kind == "text":
        made_up = [label.replace("_", " ") for label in model.bundle.labels]
        rows = (made_up * LEAST_ROWS)[: max(LEAST_ROWS, min(MOST_ROWS, len(made_up)))]
    if len(rows) < LEAST_ROWS:
        return None
    step = max(1, len(rows) // MOST_ROWS)
    return _golden(model, [rows[row] for row in range(0, len(rows), step)][:MOST_ROWS])


def _golden(model: Model, rows: Sequence[Any]) -> bytes:
    logits = run_checked(model, rows).astype(np.float64)
    if not np.isfinite(logits).all():
        raise DataInvalid("A golden row has a logit that is NaN or infinite; wanted rows whose logits can be compared.")
    return write_golden(Golden(rows, logits, [model.bundle.labels[column] for column in logits.argmax(axis=1)]))
