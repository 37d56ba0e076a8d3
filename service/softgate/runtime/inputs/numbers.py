"""Values of JSON → arrays of a graph's own type. Safe casts only: a value that the type cannot hold is refused."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softgate.errors import InvalidInput, NonFiniteInput
from softgate.types import TensorSpec

# The type of one value in JSON, by the kind of the graph's type.
ELEMENTS = {"f": float, "i": int, "u": int, "b": bool, "O": str}
NAMES = {"f": "numbers", "i": "integers", "u": "integers", "b": "true or false", "O": "strings"}


def element(dtype: np.dtype[np.generic], *, missing: bool) -> Any:
    """The type of one value in JSON, as msgspec decodes it."""
    plain = ELEMENTS[dtype.kind]
    return plain | None if missing and dtype.kind == "f" else plain


def cast(
    values: Sequence[Any], dtype: np.dtype[np.generic], *, missing: bool
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """
    `values`, nested lists or not, as an array of `dtype`, and which of them fit.

    With `missing`, None among floats is NaN: the value that is not known. Raises TypeError, ValueError or OverflowError
    where a value is not of the kind at all, or the lists are ragged.
    """
    if dtype.kind == "f":
        # 1e39 is a number in JSON and infinity in float32.
        with np.errstate(over="ignore"):
            array = np.array(values, dtype=np.float64).astype(dtype)
        fits = np.isfinite(array)
        if missing:
            fits |= np.array(values, dtype=object) == None  # noqa: E711 - elementwise
        return array, fits
    exact = np.array(values, dtype=object)
    if dtype.kind == "O":
        return exact, _each(exact, is_whole)
    if dtype.kind == "b":
        return exact.astype(dtype), _each(exact, lambda value: isinstance(value, bool))
    limits = np.iinfo(dtype.type)  # type: ignore[type-var]  # the kind was checked
    with np.errstate(invalid="ignore"):
        fits = np.asarray((exact >= limits.min) & (exact <= limits.max), dtype=bool)
    array = np.where(fits, exact, 0).astype(dtype)
    return array, fits & (array == exact)


def is_whole(text: Any) -> bool:
    """Half a surrogate pair is a character to Python, but none to UTF-8 nor to a graph."""
    try:
        text.encode()
    except (UnicodeEncodeError, AttributeError):
        return False
    return True


def made_up(dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> NDArray[Any]:
    """
    Values to try a graph with, the first row plain and the others no two alike as far as 0 and 1 tell rows of whole
    numbers apart; the same at every call.
    """
    draw = np.random.default_rng(0)
    if dtype.kind == "f":
        values: NDArray[Any] = draw.normal(size=shape).astype(dtype)
    elif dtype.kind == "O":
        values = np.array([f"value {number}" for number in range(int(np.prod(shape)))], dtype=object).reshape(shape)
    else:
        # An index or a code: small ones exist where any do. A row is its number, written in binary.
        rows, places = np.ogrid[: shape[0], : int(np.prod(shape[1:]))]
        values = (rows >> np.minimum(places, 62) & 1).astype(dtype).reshape(shape)
    if dtype.kind != "O":
        values[:1] = 0
    return values


def of_tensor(array: NDArray[Any], spec: TensorSpec, *, missing: bool) -> NDArray[Any]:
    """
    The array, checked value by value; strings as str. With `missing`, NaN stands for what is not known.

    Raises InvalidInput and NonFiniteInput.
    """
    if array.dtype.kind == "f":
        fits = np.isfinite(array)
        if missing:
            fits |= np.isnan(array)
        if not fits.all():
            place = np.argwhere(~fits)[0].tolist()
            raise misfit(spec.dtype, place=f"{spec.name}{place}")
    elif array.dtype.kind == "O":
        return np.array([text_of(value) for value in array.flat], dtype=object).reshape(array.shape)
    return array


def text_of(value: str | bytes) -> str:
    """Raises InvalidInput for bytes that are no UTF-8, and for half a character."""
    try:
        text = value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError as exc:
        raise InvalidInput("Expected strings in UTF-8; one is not.") from exc
    if not is_whole(text):
        raise InvalidInput("Expected strings of whole characters; one has half a surrogate pair.")
    return text


def misfit(dtype: np.dtype[np.generic], *, place: str) -> InvalidInput:
    """The refusal of a value that `cast` found not to fit."""
    if dtype.kind in "fiu":
        return NonFiniteInput(f"Expected {NAMES[dtype.kind]} that fit {dtype}; {place} does not.")
    wanted = "strings of whole characters" if dtype.kind == "O" else NAMES[dtype.kind]
    return InvalidInput(f"Expected {wanted}; {place} has something else.")


def _each(values: NDArray[Any], holds: Any) -> NDArray[np.bool_]:
    return np.array([holds(value) for value in values.flat], dtype=bool).reshape(values.shape)
