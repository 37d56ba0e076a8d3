"""Rows of named columns, numbers and strings mixed → one tensor per input of the graph, as pipelines export them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softgate.errors import GraphInvalid, InvalidInput, ShapeMismatch
from softgate.runtime.inputs import numbers
from softgate.runtime.inputs.matrix import in_order
from softgate.types import Rows, TensorSpec


class ColumnsInput:
    """
    For graphs with several inputs. A row is an object by input name, or a flat list in the graph's order.

    Checked rows are a structured array, one field per input.
    """

    row: Any = dict[str, Any] | list[Any]
    depth = 1
    pairs = False

    def __init__(self, specs: Sequence[TensorSpec], *, missing: bool) -> None:
        """Raises GraphInvalid where an input is more than a column, or a block of known width."""
        for spec in specs:
            if len(spec.shape) not in (1, 2) or (len(spec.shape) == 2 and spec.shape[1] is None):
                raise GraphInvalid(
                    "input.kind is tensor, which wants a graph with one tensor, or with inputs of shape "
                    f"[batch], [batch, 1] or [batch, columns]; got {spec}."
                )
        self.tensors: Sequence[TensorSpec] = tuple(specs)
        self._specs = {spec.name: spec for spec in specs}
        self._names = list(self._specs)
        self._missing = missing
        self._widths = [spec.shape[1] or 0 if len(spec.shape) == 2 else 1 for spec in specs]
        fields = [(spec.name, spec.dtype, spec.shape[1:]) for spec in specs]
        self._dtype = np.dtype(fields)

    def check(self, values: Sequence[Any]) -> Rows:
        """Raises InvalidInput, ShapeMismatch and NonFiniteInput."""
        rows = [self._cells(row, cells) for row, cells in enumerate(values)]
        array = np.empty(len(rows), self._dtype)
        for position, (name, spec) in enumerate(self._specs.items()):
            array[name] = self._column(name, spec, [cells[position] for cells in rows])
        return Rows(array)

    def check_tensors(self, tensors: Sequence[NDArray[Any]]) -> Rows:
        """Raises InvalidInput and NonFiniteInput."""
        array = np.empty(len(tensors[0]), self._dtype)
        for values, (name, spec) in zip(tensors, self._specs.items(), strict=True):
            array[name] = numbers.of_tensor(values, spec, missing=self._missing)
        return Rows(array)

    def feed(self, rows: Rows) -> Mapping[str, NDArray[np.generic]]:
        array = np.asarray(rows.values)
        return {name: np.ascontiguousarray(array[name]) for name in self._names}

    def samples(self, n_rows: int) -> Sequence[Any]:
        shapes = {name: (n_rows, *self._dtype[name].shape) for name in self._names}
        columns = {name: numbers.made_up(self._dtype[name].base, shape).tolist() for name, shape in shapes.items()}
        return [{name: columns[name][row] for name in self._names} for row in range(n_rows)]

    def _cells(self, row: int, values: Any) -> Sequence[Any]:
        """One entry per input: a value for an input of one column, a list for a wider one."""
        if isinstance(values, dict):
            return in_order(values, self._names, row=row)
        if not isinstance(values, list):
            raise InvalidInput(f"Expected an object or a list in each row; row {row} is neither.")
        wanted = sum(self._widths)
        if len(values) != wanted:
            raise ShapeMismatch(f"Expected {wanted} values per row; row {row} has {len(values)}.")
        stops = np.cumsum(self._widths).tolist()
        parts = [values[stop - width : stop] for stop, width in zip(stops, self._widths, strict=True)]
        return [part[0] if width == 1 else part for part, width in zip(parts, self._widths, strict=True)]

    def _column(self, name: str, spec: TensorSpec, cells: Sequence[Any]) -> NDArray[Any]:
        kind, wanted = numbers.NAMES[spec.dtype.kind], spec.shape[1:]
        # A column's only value may stand in a list of its own, as the graph has it.
        if wanted == (1,):
            cells = [cell if isinstance(cell, list) else [cell] for cell in cells]
        for row, cell in enumerate(cells):
            if not _is(cell, spec, missing=self._missing):
                raise InvalidInput(f"Expected {kind} in the column {name}; row {row} has something else.")
        try:
            array, fits = numbers.cast(cells, spec.dtype, missing=self._missing)
        except (TypeError, ValueError, OverflowError) as exc:
            raise InvalidInput(f"Expected {kind} in the column {name}; a row has something else.") from exc
        if not fits.all():
            row = int(np.argwhere(~fits)[0][0])
            raise numbers.misfit(spec.dtype, place=f"row {row}, column {name}")
        return array


def _is(cell: Any, spec: TensorSpec, *, missing: bool) -> bool:
    if len(spec.shape) == 2:
        width = spec.shape[1]
        flat = isinstance(cell, list) and len(cell) == width
        return flat and all(_is_value(value, spec.dtype, missing=missing) for value in cell)
    return _is_value(cell, spec.dtype, missing=missing)


def _is_value(value: Any, dtype: np.dtype[np.generic], *, missing: bool) -> bool:
    if value is None:
        return missing and dtype.kind == "f"
    if dtype.kind in "fiu":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, numbers.ELEMENTS[dtype.kind])
