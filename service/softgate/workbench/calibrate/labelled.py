"""Labelled rows with the logits that the served code gives them."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softgate.errors import DataInvalid, InvalidInput
from softgate.runtime.repository import Model
from softgate.runtime.table import shown
from softgate.types import Indices
from softgate.workbench.examples import Examples

OUT_OF_SCOPE = -1

Progress = Callable[[int], None]
"""Called with the number of rows just done."""


@dataclass(frozen=True, slots=True)
class Labelled:
    logits: NDArray[np.floating]
    """Shape (n_rows, n_classes), finite."""
    truth: NDArray[Any]
    """Shape (n_rows,), the column of the true label or OUT_OF_SCOPE; (n_rows, n_classes) where several hold."""

    def __len__(self) -> int:
        return len(self.logits)

    @property
    def several(self) -> bool:
        return self.truth.ndim == 2

    @property
    def in_scope(self) -> NDArray[np.bool_]:
        """Shape (n_rows,). Where several labels may hold, a row of which none does is one like others."""
        return np.ones(len(self), dtype=bool) if self.several else self.truth != OUT_OF_SCOPE

    def take(self, rows: NDArray[Any] | slice) -> "Labelled":
        return Labelled(self.logits[rows], self.truth[rows])


@dataclass(frozen=True, slots=True)
class Data:
    """Rows and where they are from."""

    rows: Labelled
    sha256: str
    out_of_scope_label: str | None


def label(model: Model, examples: Examples, *, out_of_scope_label: str | None, progress: Progress) -> Labelled:
    """
    Raises DataInvalid where the examples do not fit the model; what a row is refused for, as when serving.

    Logits are those of the model's own input path, batch by batch as it serves them.
    """
    labels = model.bundle.labels
    if out_of_scope_label is not None and out_of_scope_label in labels:
        raise DataInvalid(
            f"{shown(out_of_scope_label)} is a label of the model; wanted for out-of-scope rows one that is not."
        )
    truth = (
        _held(examples, labels, out_of_scope_label)
        if model.bundle.card.multi_label
        else _targets(examples, labels, out_of_scope_label)
    )
    logits = run(model, examples, progress) if examples.logits is None else examples.logits
    if logits.shape != (len(examples.labels), len(labels)):
        raise DataInvalid(
            f"Got logits of shape {logits.shape}, wanted one row per example and one column per label, "
            f"({len(examples.labels)}, {len(labels)})."
        )
    odd = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if odd.size:
        raise DataInvalid(
            f"{examples.place(int(odd[0]))}: got a logit that is NaN or infinite, in {odd.size} rows in all; "
            "wanted finite logits. Run softgate check."
        )
    return Labelled(logits, truth)


def run(model: Model, examples: Examples, progress: Progress) -> NDArray[np.floating]:
    """Logits through the model's own input path, a batch in memory at a time. Raises DataInvalid and EngineFailed."""
    step, rows = model.bundle.card.serving.max_batch, examples.rows
    parts = []
    for start in range(0, len(rows), step):
        batch = rows[start : start + step]
        try:
            parts.append(model.logits(model.input.check(batch)))
        except InvalidInput as exc:
            raise _refused(model, examples, start, len(batch)) from exc
        progress(len(batch))
    return np.concatenate(parts)


def _refused(model: Model, examples: Examples, start: int, n_rows: int) -> DataInvalid:
    """The first row of a batch that the model does not take, by its place in the data."""
    for row in range(start, start + n_rows):
        try:
            model.logits(model.input.check(examples.rows[row : row + 1]))
        except InvalidInput as exc:
            return DataInvalid(f"{examples.place(row)}: {re.sub(r'(?i)row 0', 'this row', str(exc))}")
    return DataInvalid(f"{examples.place(start)}: one of the {n_rows} rows from here on is refused beside the others.")


def run_checked(model: Model, rows: Sequence[Any]) -> NDArray[np.floating]:
    """The same for a few rows at once. Raises InvalidInput and EngineFailed."""
    return model.logits(model.input.check(rows))


def _targets(examples: Examples, labels: Sequence[str], out_of_scope_label: str | None) -> Indices:
    column = {name: place for place, name in enumerate(labels)}
    if out_of_scope_label is not None:
        column[out_of_scope_label] = OUT_OF_SCOPE
    unfit = [row for row, names in enumerate(examples.labels) if len(names) != 1 or names[0] not in column]
    if unfit:
        names = examples.labels[unfit[0]]
        got = f"the label {shown(names[0])}, which labels.txt does not hold" if names else "no label"
        got = got if len(names) < 2 else f"{len(names)} labels, and the labels of this model exclude each other"
        remedy = "" if out_of_scope_label is not None else " Rows of no label of the model need --out-of-scope-label."
        raise DataInvalid(f"{examples.place(unfit[0])}: got {got}; {len(unfit)} such in all.{remedy}")
    truth = np.array([column[names[0]] for names in examples.labels], dtype=np.intp)
    if not (truth != OUT_OF_SCOPE).any():
        raise DataInvalid(f"All {len(truth)} rows are out of scope; wanted rows of the model's labels.")
    return truth


def _held(examples: Examples, labels: Sequence[str], out_of_scope_label: str | None) -> NDArray[np.bool_]:
    column = {name: place for place, name in enumerate(labels)}
    held = np.zeros((len(examples.labels), len(labels)), dtype=bool)
    for row, names in enumerate(examples.labels):
        for name in names:
            if name == out_of_scope_label:
                continue
            if name not in column:
                raise DataInvalid(
                    f"{examples.place(row)}: got the label {shown(name)}, which labels.txt does not hold."
                )
            held[row, column[name]] = True
    return held
