"""Logits of a model that has been run already, block by block: .npz, .npy, or JSON Lines such as stored answers."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softgate.errors import DataInvalid
from softgate.numerics.likelihood import row_blocks
from softgate.runtime.table import shown
from softgate.workbench.examples.arrays import checked_logits, read_npy, read_npz

LOGITS, PREDICTIONS = "logits", "predictions"
# Values per block of rows that are read from lines: about a MiB of float64, as `row_blocks` has it.
BLOCK_VALUES = 2**17
# JSON has no word for them: an answer has null, Python's own writer these.
NUMBERS = {int, float, type(None)}

Blocks = Iterator[NDArray[np.floating]]


def read_logits(path: Path, *, n_classes: int) -> Blocks:
    """
    Blocks of shape (n_rows, n_classes), each of at least one row; NaN and infinity are kept, null is NaN.

    Raises DataInvalid, which names the line.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataInvalid(f"{path}: got a file that ends in {path.suffix!r}, wanted one of {', '.join(READERS)}.")
    try:
        yield from reader(path, n_classes)
    except OSError as exc:
        raise DataInvalid(f"{path}: cannot be read: {exc.strerror or exc}.") from exc


def _npz(path: Path, n_classes: int) -> Blocks:
    with path.open("rb") as file:
        (logits,) = read_npz(path, file, [LOGITS])
    return _blocks(path, logits, n_classes)


def _npy(path: Path, n_classes: int) -> Blocks:
    with path.open("rb") as file:
        return _blocks(path, read_npy(path, file), n_classes)


def _blocks(path: Path, logits: NDArray[Any], n_classes: int) -> Blocks:
    if logits.ndim == 2 and logits.shape[0] and logits.shape[1] != n_classes:
        raise DataInvalid(f"{path}: got {logits.shape[1]} logits a row, wanted {n_classes}, one per label.")
    checked = checked_logits(path, logits, n_classes=n_classes)
    return (checked[rows] for rows in row_blocks(checked))


def _lines(path: Path, n_classes: int) -> Blocks:
    most = max(1, BLOCK_VALUES // n_classes)
    rows: list[NDArray[np.float64]] = []
    empty = True
    with path.open("rb") as file:
        # Not by splitlines: a label may hold U+2028 as it is.
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            place = f"{path}, line {number}"
            rows += [_row(values, n_classes, place=each) for values, each in _line(line, place=place)]
            empty = False
            for start in range(0, len(rows) - most + 1, most):
                yield np.stack(rows[start : start + most])
            del rows[: len(rows) // most * most]
    if rows:
        yield np.stack(rows)
    if empty:
        raise DataInvalid(f"{path}: holds no logits.")


def _line(line: bytes, *, place: str) -> Sequence[tuple[Any, str]]:
    """The logits of each row that a line stands for, and where they are."""
    try:
        # Windows marks what it takes for UTF-8 with a first character of its own.
        values = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as exc:
        raise DataInvalid(f"{place}: not JSON: {exc}.") from exc
    if not isinstance(values, dict) or not values.keys() & {LOGITS, PREDICTIONS}:
        got = f"the keys {shown(list(values))}" if isinstance(values, dict) else shown(values)
        raise DataInvalid(f'{place}: got {got}, wanted an answer to a request with "logits": true, or {LOGITS}.')
    if PREDICTIONS not in values:
        return [(values[LOGITS], place)]
    predictions = values[PREDICTIONS]
    if not isinstance(predictions, list) or not predictions:
        raise DataInvalid(f"{place}: got {PREDICTIONS} {shown(predictions)}, wanted a list of them.")
    found = []
    for index, prediction in enumerate(predictions):
        at = f"{place}, {PREDICTIONS}[{index}]"
        if not isinstance(prediction, dict) or LOGITS not in prediction:
            raise DataInvalid(f'{at}: got no {LOGITS}, wanted those of an answer to a request with "logits": true.')
        found.append((prediction[LOGITS], at))
    return found


def _row(values: Any, n_classes: int, *, place: str) -> NDArray[np.float64]:
    if not isinstance(values, list):
        raise DataInvalid(f"{place}: got {LOGITS} {shown(values)}, wanted a list of {n_classes} numbers.")
    if len(values) != n_classes:
        raise DataInvalid(f"{place}: got {len(values)} logits, wanted {n_classes}, one per label.")
    # Whatever float() takes is not enough: it takes true, and the text "1".
    wrong = next((value for value in values if type(value) not in NUMBERS), None)
    if wrong is not None:
        raise DataInvalid(f"{place}: got the logit {shown(wrong)}, wanted a number, or null for one that is none.")
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError as exc:
        raise DataInvalid(f"{place}: got an integer that no float64 holds, wanted logits.") from exc


READERS: Mapping[str, Callable[[Path, int], Blocks]] = {
    ".npz": _npz,
    ".npy": _npy,
    ".jsonl": _lines,
    ".ndjson": _lines,
}
