"""JSON Lines: an object per line with `label` or a list `labels`, and `inputs`, or `text` (with `text_pair`)."""

import json
from pathlib import Path
from typing import Any

from softgate.errors import DataInvalid
from softgate.runtime.table import shown
from softgate.workbench.examples.labelled import (
    LABEL,
    PAIR,
    TEXT,
    Examples,
    Wanted,
    checked_labels,
    label_key,
    label_names,
    read_text,
)

INPUTS = "inputs"


def read(path: Path, wanted: Wanted) -> Examples:
    """Raises DataInvalid and OSError."""
    text, digest = read_text(path)
    rows, labels, places = [], [], []
    # Not splitlines: a text may hold U+2028 and its like as they are.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"line {number}"
        row, names = _example(line, wanted, place=f"{path}, {place}")
        rows.append(row)
        labels.append(names)
        places.append(place)
    if not rows:
        raise DataInvalid(f"{path}: holds no examples.")
    return Examples(rows, labels, digest, places=places)


def _example(line: str, wanted: Wanted, *, place: str) -> tuple[Any, tuple[str, ...]]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise DataInvalid(f"{place}: not JSON: {exc}.") from exc
    if not isinstance(values, dict):
        raise DataInvalid(f"{place}: got {shown(values)}, wanted an object with {_keys(wanted)}.")
    key = label_key(values.keys(), wanted)
    if key is None or not values.keys() & {INPUTS, TEXT}:
        raise DataInvalid(f"{place}: got the keys {shown(list(values))}, wanted {_keys(wanted)}.")
    names = [values[key]] if key == LABEL else values[key]
    if not isinstance(names, list):
        raise DataInvalid(f"{place}: got the labels {shown(names)}, wanted a list of names.")
    return _row(values, place=place), checked_labels(names, place=place)


def _row(values: dict[str, Any], *, place: str) -> Any:
    if INPUTS in values:
        return values[INPUTS]
    texts = [values[key] for key in (TEXT, PAIR) if key in values]
    for text in texts:
        if not isinstance(text, str):
            raise DataInvalid(f"{place}: got the text {shown(text)}, wanted a string.")
    return texts if PAIR in values else texts[0]


def _keys(wanted: Wanted) -> str:
    return f"{label_names(wanted)}, and {INPUTS} or {TEXT}"
