"""Rows of numbers and strings → the graph's tensors: one of any shape, or several columns by name."""

from collections.abc import Sequence
from dataclasses import dataclass

from softgate.errors import CardInvalid, GraphInvalid
from softgate.runtime.inputs.columns import ColumnsInput
from softgate.runtime.inputs.matrix import MatrixInput
from softgate.runtime.table import Table
from softgate.types import TensorSpec


@dataclass(frozen=True, slots=True)
class TensorKeys:
    tensor: str | None
    """Name of the graph's input, where the card states it."""
    columns: tuple[str, ...] | None
    """Names of the features of one matrix, in its order: rows may be objects then."""
    missing: bool | None
    """null stands for a number that is not known: the graph gets NaN."""


def read(table: Table) -> TensorKeys:
    return TensorKeys(
        tensor=table.text("tensor", None),
        columns=table.texts("columns", None),
        # Left out where it is not set, so that a calibration made before the key existed stays valid.
        missing=table.boolean("missing", None) or None,
    )


def build(specs: Sequence[TensorSpec], keys: TensorKeys, *, tokenizer: bytes | None) -> MatrixInput | ColumnsInput:
    """Raises CardInvalid and GraphInvalid where the graph takes something else."""
    if tokenizer is not None:
        raise CardInvalid("input.kind is tensor, yet the model folder holds a tokenizer.json; wanted kind text.")
    if not specs:
        raise GraphInvalid("input.kind is tensor, which wants a graph with inputs; it has none.")
    if keys.tensor is not None and [keys.tensor] != [spec.name for spec in specs]:
        raise GraphInvalid(f"input.tensor is {keys.tensor}; the graph takes {_named(specs)}.")
    if len(specs) == 1 and len(specs[0].shape) >= 2:
        return MatrixInput(specs[0], columns=keys.columns, missing=bool(keys.missing))
    if keys.columns is not None:
        raise CardInvalid(f"input.columns names the features of one matrix; the graph takes {_named(specs)}.")
    return ColumnsInput(specs, missing=bool(keys.missing))


def _named(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(map(str, specs))
