"""
Files beside a graph that hold its weights: which names they may have, and their bytes.

A name comes from a card or from a graph that anybody may have written, so it leads nowhere but to a regular file in the
graph's own folder.
"""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from softgate.errors import GraphInvalid
from softgate.runtime.table import shown

MOST_NAME_BYTES = 255
# What else stands in a model folder, and what a calibration calls the parts it is bound to.
TAKEN = ("model.onnx", "calibration.json", "golden.json", "labels.txt", "tokenizer.json")
PLAIN_NAME = "the plain name of a file beside model.onnx"


def is_plain(name: str) -> bool:
    """Whether it can name such a file: one of the folder itself, and none that has another meaning."""
    fits = name.isprintable() and "/" not in name and "\\" not in name and '"' not in name
    fits = fits and name.strip() not in ("", ".", "..") and len(name.encode(errors="replace")) <= MOST_NAME_BYTES
    return fits and name not in TAKEN and not name.startswith("classifier.toml")


def read_beside(folder: Path, names: Iterable[str]) -> dict[str, bytes]:
    """The bytes of each of these files of `folder`, by name. Raises GraphInvalid."""
    return {name: _read(folder / name, locate(folder, name)) for name in names}


def locate(folder: Path, name: str) -> Path:
    """Where this file of `folder` really is. Raises GraphInvalid for what is no regular file of it."""
    if not is_plain(name):
        raise GraphInvalid(f"{folder}: got the file {shown(name)}, wanted {PLAIN_NAME}.")
    path = folder / name
    try:
        real = path.resolve(strict=True)
        mode = real.stat().st_mode
    except FileNotFoundError as exc:
        raise GraphInvalid(f"{path}: there is no such file, and the graph's weights are to be in it.") from exc
    except (OSError, RuntimeError) as exc:
        raise GraphInvalid(f"{path}: cannot be read: {getattr(exc, 'strerror', None) or exc}.") from exc
    if not real.is_relative_to(folder.resolve()):
        raise GraphInvalid(f"{path}: is a link that leads out of its folder; wanted a file in it.")
    if not stat.S_ISREG(mode):
        raise GraphInvalid(f"{path}: is no regular file; wanted one with the graph's weights.")
    return real


def _read(path: Path, real: Path) -> bytes:
    try:
        # Should it have become a pipe since, nothing waits for its other end; a link, it is not followed.
        with os.fdopen(os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            return file.read()
    except OSError as exc:
        raise GraphInvalid(f"{path}: cannot be read: {exc.strerror}.") from exc
