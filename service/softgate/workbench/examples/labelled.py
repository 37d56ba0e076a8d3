"""Labelled examples, and what the readers of every kind of data share."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softgate.errors import DataInvalid
from softgate.runtime.calibration import sha256
from softgate.runtime.table import shown

LABEL, LABELS = "label", "labels"
TEXT, PAIR = "text", "text_pair"


@dataclass(frozen=True, slots=True)
class Examples:
    rows: Sequence[Any]
    """As a client would send them; empty where the logits are given. Images are read when a row is asked for."""
    labels: Sequence[tuple[str, ...]]
    """Per example: one label; several or none where labels may hold at the same time."""
    sha256: str
    """Of the file they came from; of a folder, over what `sha256sum` prints for its images, sorted by name."""
    logits: NDArray[np.floating] | None = None
    """Shape (n_examples, n_classes), where the model has been run already. May hold NaN."""
    places: Sequence[str] = ()
    """Where each example stands in the data, as a person would look for it: `line 7`, `7/0003.png`, `logits[7]`."""

    def place(self, index: int) -> str:
        return self.places[index] if self.places else f"example {index + 1}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the classifier makes of the data; `read_examples` says what each part means."""

    labels: Sequence[str] = ()
    multi_label: bool = False
    out_of_scope_label: str | None = None
    by_name: bool | None = None
    strings: Collection[str] = ()


def read_text(path: Path) -> tuple[str, str]:
    """A text file without its byte order mark, and its digest. Raises DataInvalid and OSError."""
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig"), sha256(content)
    except UnicodeDecodeError as exc:
        raise DataInvalid(f"{path}: not UTF-8: {exc.reason} at byte {exc.start}. Save it as UTF-8.") from exc


def checked_labels(names: Sequence[Any], *, place: str) -> tuple[str, ...]:
    """Raises DataInvalid for what is no name, and for a name that stands twice."""
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise DataInvalid(f"{place}: got the label {shown(name)}, wanted a name.")
    if len(set(names)) < len(names):
        raise DataInvalid(f"{place}: got the labels {shown(list(names))}, wanted each once.")
    return tuple(names)


def label_key(names: Collection[str], wanted: Wanted) -> str | None:
    """Which of `label` and `labels` stands among the names; None where neither does that is wanted, or both do."""
    found = [name for name in (LABEL, LABELS) if name in names]
    return found[0] if found == [LABEL] or (found == [LABELS] and wanted.multi_label) else None


def label_names(wanted: Wanted) -> str:
    return f"{LABEL} or {LABELS}" if wanted.multi_label else LABEL
