"""The two files of a calibration, each whole or not at all; and the golden rows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from softgate.errors import DataInvalid
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


def golden_rows(model: Model, examples: Examples, given: Sequence[Any] | None) -> bytes | None:
    """
    `golden.json` of the rows given, else of what stands in for them; None where only logits are known.

    Raises DataInvalid for too few rows, or rows whose logits cannot be compared.
    """
    rows = _stand_ins(model.bundle, examples) if given is None else given
    if rows is None:
        return None
    if len(rows) < LEAST_ROWS:
        raise DataInvalid(f"Got {len(rows)} golden rows, wanted {LEAST_ROWS} to {MOST_ROWS}.")
    chosen = list(rows[:MOST_ROWS])
    logits = run_checked(model, chosen).astype(np.float64)
    if not np.isfinite(logits).all():
        raise DataInvalid("A golden row has a logit that is NaN or infinite; wanted rows whose logits can be compared.")
    return write_golden(Golden(chosen, logits, [model.bundle.labels[column] for column in logits.argmax(axis=1)]))


def _stand_ins(bundle: Bundle, examples: Examples) -> Sequence[Any] | None:
    """Where none are given: numbers and images from the data, but no text of it, which may be somebody's."""
    if bundle.card.input.kind == "text":
        made_up = [label.replace("_", " ") for label in bundle.labels]
        return (made_up * LEAST_ROWS)[: max(LEAST_ROWS, min(MOST_ROWS, len(made_up)))]
    if not len(examples.rows):
        return None
    step = max(1, len(examples.rows) // MOST_ROWS)
    return [examples.rows[row] for row in range(0, len(examples.rows), step)][:MOST_ROWS]
