"""The requests that are sent: one row each, as a client would send it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from softgate.errors import DataInvalid
from softgate.runtime.quota import usable_cpus
from softgate.runtime.repository import Bundle, Model

MADE_UP_ROWS = 16
# They are a program's constants for wrk; more of them show nothing more.
MOST_BODIES = 1000


def of_rows(rows: Sequence[Any]) -> Sequence[bytes]:
    return [json.dumps({"inputs": row}, ensure_ascii=False).encode() for row in rows]


def of_bundle(bundle: Bundle) -> tuple[Sequence[bytes], str]:
    """Bodies and what they are: golden rows, else rows made up for the graph. Raises DataInvalid without any."""
    if bundle.golden is not None:
        return of_rows(bundle.golden.rows), f"{len(bundle.golden.rows)} golden rows"
    rows = Model(bundle, threads=usable_cpus()).input.samples(MADE_UP_ROWS)
    if not rows:
        raise DataInvalid(f"{bundle.folder}: no row is known that this graph takes; give some with --input FILE.")
    return of_rows(rows), f"{len(rows)} made-up rows"


def of_file(path: Path) -> Sequence[bytes]:
    """
    Of a file of JSON lines, each a row or, as an object with `inputs`, a whole request body.

    Raises DataInvalid, which names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeError) as exc:
        raise DataInvalid(f"{path}: cannot be read: {getattr(exc, 'strerror', None) or exc}.") from exc
    bodies: list[bytes] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as exc:
            raise DataInvalid(f"{path}: line {number} is not JSON: {exc}.") from exc
        whole = isinstance(value, dict) and "inputs" in value
        bodies += [line.strip().encode()] if whole else of_rows([value])
        if len(bodies) > MOST_BODIES:
            raise DataInvalid(f"{path}: got more than {MOST_BODIES:,} rows, which is the most that are sent in turn.")
    if not bodies:
        raise DataInvalid(f"{path}: got no line, wanted a row or a request body in each.")
    return bodies
