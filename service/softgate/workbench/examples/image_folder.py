"""A folder of images: FOLDER/LABEL/NAME.png, .jpg or .jpeg. Rows are read when asked for: a folder may hold many."""

import binascii
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

from softgate.errors import DataInvalid
from softgate.runtime.table import shown
from softgate.workbench.examples.labelled import Examples, Wanted, checked_labels

SUFFIXES = (".png", ".jpg", ".jpeg")
NAMED = ".png, .jpg or .jpeg files"


class Images(Sequence[str]):
    """Files as a client would send them, in base64; a slice of them reads none. Raises DataInvalid on the way."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder = folder
        self._names = names

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "Images": ...
    def __getitem__(self, index: int | slice) -> "str | Images":
        if isinstance(index, slice):
            return Images(self._folder, self._names[index])
        path = self._folder / self._names[index]
        try:
            return binascii.b2a_base64(path.read_bytes(), newline=False).decode()
        except OSError as exc:
            raise DataInvalid(f"{path}: cannot be read: {exc.strerror}.") from exc


def read(path: Path, wanted: Wanted) -> Examples:
    """Raises DataInvalid and OSError."""
    # By the whole name, so that the order is that of `sort` and the digest can be made by hand.
    names = sorted(name for label in _labels(path) for name in _images(path, label))
    labels = [checked_labels([name.partition("/")[0]], place=f"{path}/{name}") for name in names]
    return Examples(Images(path, names), labels, _digest(path, names), places=names)


def _labels(path: Path) -> Sequence[str]:
    labels = []
    for entry in _entries(path):
        if not entry.is_dir():
            raise DataInvalid(f"{path}: got the file {shown(entry.name)}, wanted nothing but a folder per label.")
        labels.append(entry.name)
    if not labels:
        raise DataInvalid(f"{path}: got a folder without folders, wanted one per label with {NAMED} in it.")
    return labels


def _images(path: Path, label: str) -> Sequence[str]:
    names = []
    for entry in _entries(path / label):
        # Asked first: a pipe that is named like an image would never end.
        if not entry.is_file() or not entry.name.lower().endswith(SUFFIXES):
            raise DataInvalid(f"{path / label}: got {shown(entry.name)}, wanted nothing but {NAMED}.")
        names.append(f"{label}/{entry.name}")
    if not names:
        raise DataInvalid(f"{path / label}: holds no images; wanted {NAMED} of the label {shown(label)}.")
    return names


def _entries(path: Path) -> Iterator[os.DirEntry[str]]:
    """What is not hidden, in the order of names, so that the same mistake is named at every run."""
    with os.scandir(path) as entries:
        yield from sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)


def _digest(path: Path, names: Sequence[str]) -> str:
    whole = hashlib.sha256()
    for name in names:
        with (path / name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{digest}  ".encode() + os.fsencode(name) + b"\n")
    return whole.hexdigest()
