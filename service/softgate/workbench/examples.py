"""Labelled examples from a file: what a classifier is calibrated with."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softgate.errors import DataInvalid
from softgate.runtime.calibration import sha256

LABEL = "label"
TEXT_COLUMN = "text"
INPUT_KEYS = ("inputs", TEXT_COLUMN)


@dataclass(frozen=True, slots=True)
class Examples:
    rows: Sequence[Any]
    """As a client would send them: texts, or lists of numbers."""
    labels: Sequence[str]
    sha256: str
    """Of the file they came from."""


def read_examples(path: Path) -> Examples:
    """
    Examples of a CSV or JSON Lines file.

    CSV: a column `label`, and a column `text` or, for rows of numbers, one column per feature in the graph's order.
    JSON Lines: objects with `label`, and `text` or `inputs`.
    Raises DataInvalid, which names the line.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataInvalid(f"{path}: got a file that ends in {path.suffix!r}, wanted one of {', '.join(READERS)}.")
    try:
        content = path.read_bytes()
        pairs = list(reader(path, content.decode("utf-8-sig")))
    except UnicodeDecodeError as exc:
        raise DataInvalid(f"{path}: not UTF-8: {exc.reason} at byte {exc.start}. Save it as UTF-8.") from exc
    except OSError as exc:
        raise DataInvalid(f"{path}: cannot be read: {exc.strerror}.") from exc
    if not pairs:
        raise DataInvalid(f"{path}: holds no examples.")
    return Examples([row for row, _ in pairs], [label for _, label in pairs], sha256(content))


def read_rows(path: Path) -> Sequence[Any]:
    """Rows without labels: a text file with one text per line, or any file of examples. Raises DataInvalid."""
    if path.suffix.lower() != ".txt":
        return read_examples(path).rows
    try:
        return [line for line in path.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
    except (OSError, UnicodeDecodeError) as exc:
        raise DataInvalid(f"{path}: cannot be read: {exc}.") from exc


def _json_lines(path: Path, text: str) -> Iterator[tuple[Any, str]]:
    # Not splitlines: a text may hold U+2028 and its like as they are.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as exc:
            raise DataInvalid(f"{path}, line {number}: not JSON: {exc}.") from exc
        key = next((key for key in INPUT_KEYS if isinstance(values, dict) and key in values), None)
        if key is None or not isinstance(values.get(LABEL), str):
            raise DataInvalid(
                f"{path}, line {number}: wanted an object with {LABEL} and one of {', '.join(INPUT_KEYS)}."
            )
        yield values[key], values[LABEL]


def _csv(path: Path, text: str) -> Iterator[tuple[Any, str]]:
    # Strict: a quote that nobody closes would swallow the rest of the file as one field.
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        names = reader.fieldnames or ()
        columns = [column for column in names if column != LABEL]
        if LABEL not in names or not columns or len(set(names)) < len(names):
            raise DataInvalid(
                f"{path}, line 1: got the columns {list(names)}, "
                f"wanted {LABEL} and {TEXT_COLUMN}, or {LABEL} and one per feature, separated by commas."
            )
        for values in reader:
            if None in values or None in values.values():
                raise DataInvalid(f"{path}, line {reader.line_num}: wanted {len(columns) + 1} fields, one per column.")
            yield _features(path, reader.line_num, values, columns), values[LABEL]
    except csv.Error as exc:
        raise DataInvalid(f"{path}, line {reader.reader.line_num}: not CSV: {exc}.") from exc


def _features(path: Path, line: int, values: Mapping[str, str], columns: Sequence[str]) -> Any:
    # Whatever else a table of texts holds (a number of the row, a source) is not an input.
    if TEXT_COLUMN in columns:
        return values[TEXT_COLUMN]
    try:
        return [float(values[column]) for column in columns]
    except ValueError as exc:
        raise DataInvalid(f"{path}, line {line}: wanted a number in each of {', '.join(columns)}.") from exc


READERS: Mapping[str, Callable[[Path, str], Iterator[tuple[Any, str]]]] = {
    ".csv": _csv,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
}
