"""A .npz file of numpy: `logits` of a model that has been run already, and `labels`."""

import hashlib
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from softgate.errors import DataInvalid
from softgate.runtime.table import shown
from softgate.workbench.examples.labelled import Examples, Wanted, checked_labels

# Of both arrays, unpacked: a few kilobytes of a zip may stand for more than the machine has.
MAX_BYTES = 16 * 2**30
ARRAYS = ("logits", "labels")
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
OUT_OF_SCOPE = -1


def read(path: Path, wanted: Wanted) -> Examples:
    """Raises DataInvalid and OSError."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        logits, labels = _arrays(path, file)
    _check_logits(path, logits, wanted)
    if labels.shape[:1] != logits.shape[:1]:
        raise DataInvalid(
            f"{path}: got labels of shape {labels.shape} for {len(logits)} rows of logits, wanted {len(logits)}."
        )
    names = _names(path, labels, wanted)
    native = logits.astype(logits.dtype.newbyteorder("="), copy=False)
    return Examples((), names, digest, logits=native, places=[f"logits[{row}]" for row in range(len(logits))])


def _arrays(path: Path, file: IO[bytes]) -> Sequence[NDArray[Any]]:
    try:
        with zipfile.ZipFile(file) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            if not set(ARRAYS) <= members.keys():
                raise DataInvalid(f"{path}: got the arrays {shown(sorted(members))}, wanted {' and '.join(ARRAYS)}.")
            size = sum(members[name].file_size for name in ARRAYS)
            if size > MAX_BYTES:
                raise DataInvalid(f"{path}: got {size} bytes of arrays, wanted at most {MAX_BYTES}.")
            return [_array(archive, members[name], place=f"{path}, {name}") for name in ARRAYS]
    except (DataInvalid, OSError):
        raise
    except Exception as exc:
        # Zip and numpy raise a dozen kinds for a file that is broken, encrypted or packed in some other way.
        raise DataInvalid(f"{path}: not a readable .npz file, as numpy.savez writes it: {exc}.") from exc


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, *, place: str) -> NDArray[Any]:
    with archive.open(member) as file:
        shape, _, dtype = HEADERS[npy.read_magic(file)](file)
        size = file.tell() + math.prod(shape) * dtype.itemsize
    if dtype.hasobject:
        raise DataInvalid(f"{place}: got Python objects, wanted an array of numbers or strings.")
    # numpy would make room for whatever the header says before it reads.
    if size != member.file_size:
        raise DataInvalid(f"{place}: got {member.file_size} bytes, wanted {size} for the shape {shape} of {dtype}.")
    with archive.open(member) as file:
        array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
        return array


def _check_logits(path: Path, logits: NDArray[Any], wanted: Wanted) -> None:
    n_classes = len(wanted.labels)
    fits = logits.ndim == 2 and logits.size > 0 and n_classes in (0, logits.shape[1])
    if not fits or logits.dtype.kind != "f" or logits.dtype.itemsize > 8:
        raise DataInvalid(
            f"{path}: got logits of {logits.dtype} and shape {logits.shape}, wanted float16, float32 or float64 and "
            f"shape (rows, {n_classes or 'classes'})."
        )


def _names(path: Path, labels: NDArray[Any], wanted: Wanted) -> Sequence[tuple[str, ...]]:
    kind = labels.dtype.kind
    if labels.ndim == 1 and kind == "U":
        return [checked_labels([name], place=f"{path}, labels[{row}]") for row, name in enumerate(labels.tolist())]
    if labels.ndim == 1 and kind in "iu":
        return [(_name(index, wanted, place=f"{path}, labels[{row}]"),) for row, index in enumerate(labels.tolist())]
    if wanted.multi_label and kind in "biuf" and labels.shape[1:] == (len(wanted.labels),):
        return _held(path, labels, wanted)
    matrix = f", or 0 and 1 of shape (rows, {len(wanted.labels)})" if wanted.multi_label else ""
    raise DataInvalid(
        f"{path}: got labels of {labels.dtype} and shape {labels.shape}, wanted integers or strings of shape (rows,)"
        f"{matrix}."
    )


def _name(index: int, wanted: Wanted, *, place: str) -> str:
    if index == OUT_OF_SCOPE and wanted.out_of_scope_label is not None:
        return wanted.out_of_scope_label
    if index == OUT_OF_SCOPE:
        raise DataInvalid(f"{place}: got -1, which is out of scope; wanted the name of the label for such rows too.")
    if not 0 <= index < len(wanted.labels):
        known = f"0 to {len(wanted.labels) - 1}" if wanted.labels else "names, as the model's are not known"
        raise DataInvalid(f"{place}: got {index}, wanted {known}.")
    return wanted.labels[index]


def _held(path: Path, labels: NDArray[Any], wanted: Wanted) -> Sequence[tuple[str, ...]]:
    other = ~((labels == 0) | (labels == 1))
    if other.any():
        row, column = np.argwhere(other)[0].tolist()
        raise DataInvalid(f"{path}, labels[{row}, {column}]: got {labels[row, column]}, wanted 0 or 1.")
    return [tuple(wanted.labels[column] for column in np.flatnonzero(row).tolist()) for row in labels]
