"""
Golden rows: a few inputs with the logits and labels they gave when `1/golden.json` was written.

A corrupted graph usually loads and answers; replaying these rows before a version goes ready is what notices.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softgate.errors import GoldenMismatch
from softgate.runtime import files

# CPUs add in different orders; 24 layers of float32 differ by about 1e-4, a wrong weight by far more.
TOLERANCE = 1e-3
LEAST_ROWS, MOST_ROWS = 8, 32


@dataclass(frozen=True, slots=True)
class Golden:
    rows: Sequence[Any]
    """As a client would send them."""
    logits: NDArray[np.float64]
    labels: Sequence[str]


def read_golden(path: Path) -> Golden | None:
    """The golden rows at `path`, None where there is no file. Raises GoldenMismatch for a file that is not one."""
    try:
        values = json.loads(files.content(path))
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise GoldenMismatch(f"{path}: cannot be read: {exc.strerror}.") from exc
    except (ValueError, RecursionError) as exc:
        raise GoldenMismatch(f"{path}: not JSON: {exc}.") from exc
    try:
        golden = Golden(values["rows"], np.array(values["logits"], dtype=np.float64), values["labels"])
        lists = isinstance(golden.rows, list) and isinstance(golden.labels, list) and golden.logits.ndim == 2
        complete = lists and len(golden.rows) == len(golden.labels) == len(golden.logits)
        complete = complete and all(isinstance(label, str) for label in golden.labels)
    except (KeyError, TypeError, ValueError):
        complete = False
    if not complete:
        raise GoldenMismatch(f"{path}: wanted an object with rows, logits and labels, one of each per row.")
    if not LEAST_ROWS <= len(golden.rows) <= MOST_ROWS:
        raise GoldenMismatch(f"{path}: got {len(golden.rows)} rows, wanted {LEAST_ROWS} to {MOST_ROWS}.")
    return golden


def write_golden(golden: Golden) -> bytes:
    """The file for these rows, one row per line."""
    columns = {
        "rows": [json.dumps(row, ensure_ascii=False) for row in golden.rows],
        "labels": [json.dumps(label, ensure_ascii=False) for label in golden.labels],
        "logits": [json.dumps([round(value, 6) for value in row]) for row in golden.logits.tolist()],
    }
    parts = ['"{}": [\n{}\n]'.format(name, ",\n".join(lines)) for name, lines in columns.items()]
    return ("{" + ",\n".join(parts) + "}\n").encode("utf-8")


def compare(golden: Golden, logits: NDArray[np.floating], labels: Sequence[str]) -> None:
    """
    Logits of the golden rows now, `labels` naming their columns. Raises GoldenMismatch, naming the first that differs.
    """
    if logits.shape != golden.logits.shape:
        raise GoldenMismatch(
            f"The golden rows have logits of shape {golden.logits.shape}; the graph gives {logits.shape}."
        )
    off = ~np.isclose(logits, golden.logits, rtol=TOLERANCE, atol=TOLERANCE).all(axis=1)
    for row, label in enumerate(golden.labels):
        if off[row]:
            worst = float(np.abs(logits[row] - golden.logits[row]).max())
            raise GoldenMismatch(f"Golden row {row}: a logit differs by {worst:.3g}; wanted at most {TOLERANCE:g}.")
        # On another CPU two equal logits may change places: what ties with the best may be the label.
        best = np.isclose(logits[row], logits[row].max(), rtol=TOLERANCE, atol=TOLERANCE)
        if label not in {labels[column] for column in np.flatnonzero(best).tolist()}:
            raise GoldenMismatch(f"Golden row {row}: the label is {labels[int(logits[row].argmax())]}; wanted {label}.")
