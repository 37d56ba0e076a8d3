"""A .npz file of numpy: `logits` of a model that has been run already, and `labels`."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softgate.errors import DataInvalid
from softgate.workbench.examples.arrays import checked_logits, read_npz
from softgate.workbench.examples.labelled import Examples, Wanted, checked_labels

ARRAYS = ("logits", "labels")
OUT_OF_SCOPE = -1


def read(path: Path, wanted: Wanted) -> Examples:
    """Raises DataInvalid and OSError."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        logits, labels = read_npz(path, file, ARRAYS)
    logits = checked_logits(path, logits, n_classes=len(wanted.labels))
    if labels.shape[:1] != logits.shape[:1]:
        raise DataInvalid(
            f"{path}: got labels of shape {labels.shape} for {len(logits)} rows of logits, wanted {len(logits)}."
        )
    names = _names(path, labels, wanted)
    return Examples((), names, digest, logits=logits, places=[f"logits[{row}]" for row in range(len(logits))])


def _names(path: Path, labels: NDArray[Any], wanted: Wanted) -> Sequence[tuple[str, ...]]:
    kind = labels.dtype.kind
    if labels.ndim == 1 and kind == "U":
        return [checked_labels([name], place=f"{path}, labels[{row}]") for row, name in enumerate(labels.tolist())]
    if labels.ndim == 1 and kind in "iu":
        return [(_name(index, wanted, place=f"{path}, labels[{row}]"),) for row, index in enumerate(labels.tolist())]
    if wanted.multi_label and kind in "biuf" and labels.shape[1:] == (len(wanted.labels),):
        return _held(path, labels, wanted)
    matrix = f", or 0 and 1 of shape (rows, {len(wanted.labels)})" if wanted.multi_label else ""
    raise DataInvalid(
        f"{path}: got labels of {labels.dtype} and shape {labels.shape}, wanted integers or strings of shape (rows,)"
        f"{matrix}."
    )


def _name(index: int, wanted: Wanted, *, place: str) -> str:
    if index == OUT_OF_SCOPE and wanted.out_of_scope_label is not None:
        return wanted.out_of_scope_label
    if index == OUT_OF_SCOPE:
        raise DataInvalid(f"{place}: got -1, which is out of scope; wanted the name of the label for such rows too.")
    if not 0 <= index < len(wanted.labels):
        known = f"0 to {len(wanted.labels) - 1}" if wanted.labels else "names, as the model's are not known"
        raise DataInvalid(f"{place}: got {index}, wanted {known}.")
    return wanted.labels[index]


def _held(path: Path, labels: NDArray[Any], wanted: Wanted) -> Sequence[tuple[str, ...]]:
    other = ~((labels == 0) | (labels == 1))
    if other.any():
        row, column = np.argwhere(other)[0].tolist()
        raise DataInvalid(f"{path}, labels[{row}, {column}]: got {labels[row, column]}, wanted 0 or 1.")
    return [tuple(wanted.labels[column] for column in np.flatnonzero(row).tolist()) for row in labels]
