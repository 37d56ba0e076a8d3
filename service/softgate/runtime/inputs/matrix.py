"""Rows of equal shape → one tensor (n_rows, n_features), or of more axes."""

import struct
from collections.abc import Mapping, Sequence
from functools import reduce
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softgate.errors import CardInvalid, InvalidInput, ShapeMismatch
from softgate.runtime.inputs import numbers
from softgate.types import Rows, TensorSpec

_FLOAT32 = np.dtype(np.float32)


class MatrixInput:
    """For graphs that take one tensor: rows are lists, nested as deep as the tensor has axes beside the first."""

    pairs = False

    def __init__(self, spec: TensorSpec, *, columns: Sequence[str] | None, missing: bool) -> None:
        """Raises CardInvalid where `columns` does not name each feature."""
        self._spec = spec
        self.tensors: Sequence[TensorSpec] = (spec,)
        self._missing = missing
        self._shape = spec.shape[1:]
        self._columns = columns
        if columns is not None and (len(self._shape) != 1 or self._shape[0] not in (None, len(columns))):
            raise CardInvalid(f"input.columns names {len(columns)} features; the graph takes {spec}.")
        self._n_features = self._shape[0] if columns is None else len(columns)
        self.depth = len(self._shape)
        self._element = numbers.element(spec.dtype, missing=missing)
        plain = self.depth == 1 and columns is None and not missing and spec.dtype == np.float32
        self._layout = struct.Struct(f"={self._n_features}f") if plain and self._n_features is not None else None
        """Of a row of features that need no second look."""
        lists = reduce(lambda inner, _: list[inner], self._shape, self._element)  # type: ignore[valid-type]
        self.row = lists if columns is None else lists | dict[str, self._element]  # type: ignore[name-defined]

    def check(self, values: Sequence[Any]) -> Rows:
        """Raises InvalidInput, ShapeMismatch and NonFiniteInput."""
        if self._layout is not None:
            array = _packed(values, self._layout)
            if array is not None:
                return Rows(array)
        rows = values if self._columns is None else self._in_order(values)
        try:
            if self.depth == 1:
                self._check_widths(rows)
            array, fits = numbers.cast(rows, self._spec.dtype, missing=self._missing)
        except (TypeError, ValueError, OverflowError) as exc:
            raise self._refusal(rows) from exc
        if not self._fits(array.shape[1:]):
            raise self._refusal(rows)
        if not fits.all():
            row, *place = np.argwhere(~fits)[0].tolist()
            where = f"feature {place[0]}" if len(place) == 1 else f"place {place}"
            raise numbers.misfit(self._spec.dtype, place=f"row {row}, {where}")
        return Rows(array)

    def check_tensors(self, tensors: Sequence[NDArray[Any]]) -> Rows:
        """Raises InvalidInput, ShapeMismatch and NonFiniteInput."""
        (array,) = tensors
        if not self._fits(array.shape[1:]):
            raise ShapeMismatch(f"Expected {_sizes(self._shape)} in each row; got {_sizes(array.shape[1:])}.")
        return Rows(numbers.of_tensor(array, self._spec, missing=self._missing))

    def feed(self, rows: Rows) -> Mapping[str, NDArray[np.generic]]:
        return {self._spec.name: np.asarray(rows.values)}

    def samples(self, n_rows: int) -> Sequence[Any] | None:
        shape = (self._n_features, *self._shape[1:])
        if None in shape:
            return None
        values = numbers.made_up(self._spec.dtype, (n_rows, *(size for size in shape if size is not None)))
        rows: Sequence[Any] = values.tolist()
        return rows

    def _in_order(self, rows: Sequence[Any]) -> Sequence[Any]:
        assert self._columns is not None, "Only rows with named columns have an order to be put in."
        return [
            in_order(values, self._columns, row=row) if isinstance(values, dict) else values
            for row, values in enumerate(rows)
        ]

    def _check_widths(self, rows: Sequence[Sequence[Any]]) -> None:
        wanted = len(rows[0]) if self._n_features is None else self._n_features
        for row, features in enumerate(rows):
            if len(features) != wanted:
                raise ShapeMismatch(f"Expected {wanted} features per row; row {row} has {len(features)}.")
        if wanted == 0:
            raise ShapeMismatch("Expected at least 1 feature per row; got 0.")

    def _fits(self, shape: Sequence[int]) -> bool:
        wanted = (self._n_features, *self._shape[1:])
        return len(shape) == self.depth and all(
            size > 0 and wanted_size in (None, size) for wanted_size, size in zip(wanted, shape, strict=True)
        )

    def _refusal(self, rows: Sequence[Any]) -> InvalidInput:
        """Names the first row that is no array of the shape wanted; where each is one, they differ in a free size."""
        kind = numbers.NAMES[self._spec.dtype.kind]
        wanted = f"lists of {kind}" if self.depth == 1 else f"{_sizes(self._shape)} {kind}"
        for row, features in enumerate(rows):
            try:
                shape = numbers.cast(features, self._spec.dtype, missing=self._missing)[0].shape
            except (TypeError, ValueError, OverflowError):
                error = InvalidInput if self.depth == 1 else ShapeMismatch
                return error(f"Expected {wanted} in each row; row {row} has something else.")
            if not self._fits(shape):
                found = _sizes(shape) if shape else "a single value"
                return ShapeMismatch(f"Expected {wanted} in each row; row {row} has {found}.")
        return ShapeMismatch(f"Expected {wanted} in each row; the rows differ from each other.")


def _packed(rows: Sequence[Any], layout: struct.Struct) -> NDArray[np.float32] | None:
    """float32 of shape (n_rows, n_features), in a fifth of the time that `numbers.cast` takes; None where it must."""
    try:
        packed = layout.pack(*rows[0]) if len(rows) == 1 else b"".join([layout.pack(*row) for row in rows])
        # A value that is not finite leaves no finite sum.
        total: Any = sum(map(sum, rows))
        finite = isfinite(total)
    except (TypeError, struct.error, OverflowError):
        return None
    return np.ndarray((len(rows), layout.size // _FLOAT32.itemsize), _FLOAT32, packed) if finite else None


def _sizes(shape: Sequence[int | None]) -> str:
    return " x ".join("any" if size is None else str(size) for size in shape)


def in_order(values: Mapping[str, Any], columns: Sequence[str], *, row: int) -> list[Any]:
    """The values of a row that is an object, in the order of `columns`. Raises ShapeMismatch; echoes no key of it."""
    missing = [column for column in columns if column not in values]
    if missing:
        raise ShapeMismatch(f"Expected the column {missing[0]} in each row; row {row} has none.")
    if len(values) > len(columns):
        raise ShapeMismatch(f"Expected only the columns {', '.join(columns)}; row {row} has another.")
    return [values[column] for column in columns]
