"""
A CSV file: `label`, and `text` (with `text_pair`, for pairs) or one column per feature.

With several labels at a time: `labels`, their names separated by `;`.
"""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from softgate.errors import DataInvalid
from softgate.runtime.table import shown
from softgate.workbench.examples.labelled import (
    LABEL,
    LABELS,
    PAIR,
    TEXT,
    Examples,
    Wanted,
    checked_labels,
    label_key,
    label_names,
    read_text,
)

SEPARATOR = ";"


def read(path: Path, wanted: Wanted) -> Examples:
    """Raises DataInvalid and OSError."""
    text, digest = read_text(path)
    records = _records(path, text)
    _, names = next(records, (1, []))
    key = _label_column(path, names, wanted)
    numbered = list(records)
    for line, record in numbered:
        if len(record) != len(names):
            raise DataInvalid(f"{path}, line {line}: got {len(record)} fields, wanted {len(names)}, one per column.")
    if not numbered:
        raise DataInvalid(f"{path}: holds no examples.")
    columns = {name: [record[position] for _, record in numbered] for position, name in enumerate(names)}
    places = [f"line {line}" for line, _ in numbered]
    cells = zip(columns.pop(key), places, strict=True)
    labels = [checked_labels(_split(cell, key), place=f"{path}, {place}") for cell, place in cells]
    return Examples(_rows(path, columns, places, wanted), labels, digest, places=places)


def _records(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Each record with the number of its first line."""
    # Strict: a quote that nobody closes would swallow the rest of the file as one field.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for record in reader:
            if record:
                yield line, record
            line = reader.line_num + 1
    except csv.Error as exc:
        raise DataInvalid(f"{path}, line {line}: not CSV: {exc}.") from exc


def _label_column(path: Path, names: Sequence[str], wanted: Wanted) -> str:
    key = label_key(names, wanted)
    inputs = set(names) - {LABEL, LABELS}
    half_a_pair = PAIR in inputs and TEXT not in inputs and not wanted.by_name
    if key is None or not inputs or len(set(names)) < len(names) or half_a_pair:
        label = label_names(wanted)
        raise DataInvalid(
            f"{path}, line 1: got the columns {list(names)}, wanted {label} and {TEXT} (and {PAIR}, for pairs), "
            f"or {label} and one per feature, each once, separated by commas."
        )
    return key


def _split(cell: str, key: str) -> Sequence[str]:
    if key == LABEL:
        return [cell]
    return [name.strip() for name in cell.split(SEPARATOR)] if cell.strip() else []


def _rows(path: Path, columns: Mapping[str, list[str]], places: Sequence[str], wanted: Wanted) -> Sequence[Any]:
    # Whatever else a table of texts holds (a number of the row, a source) is not an input, but a graph that takes its
    # inputs by name may have one of this name.
    if TEXT in columns and not wanted.by_name:
        texts = columns[TEXT]
        return [[text, pair] for text, pair in zip(texts, columns[PAIR], strict=True)] if PAIR in columns else texts
    if not all(name.strip() for name in columns):
        raise DataInvalid(
            f"{path}, line 1: got a column without a name, wanted features alone; pandas leaves its index out with "
            "index=False."
        )
    numbers = {name: None if name in wanted.strings else _numbers(cells) for name, cells in columns.items()}
    plain = [name for name, values in numbers.items() if values is None]
    if wanted.by_name or (wanted.by_name is None and plain):
        values = [columns[name] if cells is None else cells for name, cells in numbers.items()]
        return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]
    if plain:
        raise _no_number(path, plain[0], columns[plain[0]], places)
    return [list(row) for row in zip(*(cells for cells in numbers.values() if cells is not None), strict=True)]


def _numbers(cells: Sequence[str]) -> Sequence[float | None] | None:
    """None where a cell is no number."""
    try:
        return [number(cell) for cell in cells]
    except ValueError:
        return None


def number(cell: str) -> float | None:
    """None for a value that is not known. Raises ValueError for what is no number."""
    if not cell.strip():
        return None
    # Python reads 1_000 as a number; nothing that writes tables means one by it.
    if "_" in cell:
        raise ValueError(cell)
    value = float(cell)
    return None if math.isnan(value) else value


def _no_number(path: Path, name: str, cells: Sequence[str], places: Sequence[str]) -> DataInvalid:
    row = next((row for row, cell in enumerate(cells) if _numbers([cell]) is None), 0)
    return DataInvalid(f"{path}, {places[row]}: got {shown(cells[row])} in the column {name}, wanted a number.")
