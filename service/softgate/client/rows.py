"""Rows as the API takes them, and many of them in batches."""

import json
import math
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

from softgate.errors import InvalidInput, NonFiniteInput, SoftgateError

T = TypeVar("T")
# With some room for what else a request says, what a server takes unless its operator says otherwise.
MOST_BYTES = 4_000_000


class Array(Protocol):
    """What numpy's arrays and others are, here."""

    def tolist(self) -> Any: ...


# A text, the bytes of an image, numbers, a pair of texts, or columns by name.
Row: TypeAlias = str | bytes | Sequence[Any] | Mapping[str, Any] | Array


@dataclass(frozen=True, slots=True)
class Batch:
    """Neighbours among many rows, as JSON; or one row that cannot be written so, and why."""

    start: int
    rows: Sequence[bytes]
    failure: InvalidInput | None = None

    @property
    def places(self) -> range:
        return range(self.start, self.start + max(len(self.rows), 1))


def encoded(row: Row) -> bytes:
    """A row as JSON; NaN, a number that is not known, is null there. Raises InvalidInput."""
    try:
        return _written(row)
    except (TypeError, ValueError, RecursionError) as exc:
        raise InvalidInput(
            "Expected a row that JSON has a form for: no mapping without names, nothing endless."
        ) from exc


def _written(row: Row) -> bytes:
    try:
        return as_json(row)
    except ValueError:
        return as_json(_known(row))


def as_json(value: Any) -> bytes:
    """Raises InvalidInput, and ValueError for a number that JSON has no form for."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain, separators=(",", ":"))
    # Half of a surrogate pair is the server's to refuse.
    return text.encode(errors="surrogatepass")


def batches(rows: Iterable[Row], *, size: int, most_bytes: int = MOST_BYTES) -> Iterator[Batch]:
    """Of at most so many rows and bytes; a row that is larger alone. Ends at the first that cannot be written."""
    start, taken, n_bytes = 0, list[bytes](), 0
    for place, row in enumerate(rows):
        try:
            content = encoded(row)
        except InvalidInput as exc:
            if taken:
                yield Batch(start, taken)
            yield Batch(place, (), exc)
            return
        if taken and n_bytes + len(content) > most_bytes:
            yield Batch(start, taken)
            start, taken, n_bytes = place, [], 0
        taken.append(content)
        n_bytes += len(content) + 1
        if len(taken) == size:
            yield Batch(start, taken)
            start, taken, n_bytes = place + 1, [], 0
    if taken:
        yield Batch(start, taken)


def in_order(batches: Iterable[Batch], start: Callable[[Batch], T], *, started: deque[T], at_once: int) -> Iterator[T]:
    """What `start` makes of each, in their order. `started` holds those not given yet: no more than `at_once`."""
    for batch in batches:
        started.append(start(batch))
        if len(started) == at_once:
            yield started.popleft()
    while started:
        yield started.popleft()


@contextmanager
def placed(batch: Batch) -> Iterator[None]:
    """What goes wrong meanwhile says which rows it is about."""
    try:
        yield
    except SoftgateError as exc:
        exc.rows = batch.places
        exc.add_note(f"Of rows[{exc.rows.start}:{exc.rows.stop}].")
        raise


def _plain(value: Any) -> Any:
    """What the JSON encoder does not know, by something that it does."""
    if isinstance(value, bytes | bytearray):
        return b64encode(value).decode()
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise InvalidInput(f"Expected texts, numbers, lists, mappings or bytes in a row; got {type(value).__name__}.")


def _known(value: Any) -> Any:
    """The same with None for NaN. Raises NonFiniteInput for an infinity, and InvalidInput."""
    if isinstance(value, float) and not math.isfinite(value):
        if math.isinf(value):
            raise NonFiniteInput("Expected finite numbers in a row, or NaN for one that is not known; got an infinity.")
        return None
    if isinstance(value, Mapping):
        return {name: _known(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_known(item) for item in value]
    return value if isinstance(value, str | int | float | None) else _known(_plain(value))
