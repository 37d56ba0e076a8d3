"""Rows of numbers → one tensor (n_rows, n_features)."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softgate.errors import CardInvalid, GraphInvalid, InvalidInput, NonFiniteInput, ShapeMismatch
from softgate.types import Rows, TensorSpec


class TensorInput:
    """For graphs that take one numeric tensor (n_rows, n_features)."""

    def __init__(
        self, specs: Sequence[TensorSpec], *, tensor: str | None, max_tokens: int, tokenizer: bytes | None
    ) -> None:
        """Raises GraphInvalid where the graph takes something else."""
        if tokenizer is not None:
            raise CardInvalid("input.kind is tensor, yet the model folder holds a tokenizer.json; wanted kind text.")
        self._spec = _matrix(specs, tensor)
        self._n_features = self._spec.shape[1]
        self.element: type = int if self._spec.dtype.kind in "iu" else float

    def check(self, values: Sequence[object]) -> Rows:
        """Raises InvalidInput, ShapeMismatch and NonFiniteInput."""
        rows: Sequence[Any] = values
        try:
            self._check_widths(rows)
            return Rows(self._cast(rows))
        except (TypeError, ValueError, OverflowError) as exc:
            other = next((row for row, features in enumerate(rows) if not _is_numbers(features)), 0)
            raise InvalidInput(f"Expected a list of numbers in each row; row {other} is something else.") from exc

    def feed(self, rows: Rows) -> Mapping[str, NDArray[np.generic]]:
        return {self._spec.name: np.asarray(rows.values)}

    def samples(self, n_rows: int) -> Rows | None:
        return None if self._n_features is None else Rows(np.zeros((n_rows, self._n_features), self._spec.dtype))

    def _check_widths(self, rows: Sequence[Sequence[Any]]) -> None:
        wanted = len(rows[0]) if self._n_features is None else self._n_features
        for row, features in enumerate(rows):
            if len(features) != wanted:
                raise ShapeMismatch(f"Expected {wanted} features per row; row {row} has {len(features)}.")
        if wanted == 0:
            raise ShapeMismatch("Expected at least 1 feature per row; got 0.")

    def _cast(self, rows: Sequence[Sequence[Any]]) -> NDArray[np.generic]:
        dtype = self._spec.dtype
        if dtype.kind == "f":
            # 1e39 is a number in JSON and infinity in float32; the test below names it.
            with np.errstate(over="ignore"):
                array = np.array(rows, dtype=np.float64).astype(dtype)
            fits = np.isfinite(array)
        else:
            limits = np.iinfo(dtype.type)  # type: ignore[type-var]  # the kind was checked
            exact = np.array(rows, dtype=object)
            with np.errstate(invalid="ignore"):
                fits = ((exact >= limits.min) & (exact <= limits.max)).astype(bool)
            array = np.where(fits, exact, 0).astype(dtype)
            fits &= array == exact
        if array.ndim != 2:
            raise ValueError(f"Expected rows of numbers; got {array.ndim} dimensions.")
        if not fits.all():
            row, feature = np.argwhere(~fits)[0]
            raise NonFiniteInput(f"Expected numbers that fit {dtype}; row {row}, feature {feature} does not.")
        return array


def _is_numbers(features: object) -> bool:
    if not isinstance(features, list):
        return False
    return all(isinstance(value, int | float) and abs(value) <= sys.float_info.max for value in features)


def _matrix(specs: Sequence[TensorSpec], tensor: str | None) -> TensorSpec:
    named = [spec for spec in specs if tensor in (None, spec.name)]
    if len(specs) != 1 or len(named) != 1 or named[0].dtype.kind not in "fiu" or len(named[0].shape) != 2:
        got = ", ".join(f"{spec.name} {spec.dtype} {list(spec.shape)}" for spec in specs)
        wanted = f"one numeric input{f' named {tensor}' if tensor else ''} of shape [batch, features]"
        raise GraphInvalid(f"input.kind is tensor, which wants a graph with {wanted}; got {got}.")
    return named[0]
