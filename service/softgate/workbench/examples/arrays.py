"""Arrays that numpy has written, read so that no file runs code or takes more memory than it says it needs."""

import math
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from softgate.errors import DataInvalid
from softgate.runtime.table import shown

# Of all arrays, unpacked: a few kilobytes of a zip may stand for more than the machine has.
MAX_BYTES = 16 * 2**30
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_npz(path: Path, file: IO[bytes], names: Sequence[str]) -> Sequence[NDArray[Any]]:
    """The arrays of these names, in their order; what else the file holds is not read. Raises DataInvalid, OSError."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            if not set(names) <= members.keys():
                raise DataInvalid(f"{path}: got the arrays {shown(sorted(members))}, wanted {' and '.join(names)}.")
            _check_size(path, sum(members[name].file_size for name in names))
            return [_member(archive, members[name], place=f"{path}, {name}") for name in names]
    except (DataInvalid, OSError):
        raise
    except Exception as exc:
        # Zip and numpy raise a dozen kinds for a file that is broken, encrypted or packed in some other way.
        raise DataInvalid(f"{path}: not a readable .npz file, as numpy.savez writes it: {exc}.") from exc


def read_npy(path: Path, file: IO[bytes]) -> NDArray[Any]:
    """The one array of a .npy file. Raises DataInvalid and OSError."""
    try:
        size = os.fstat(file.fileno()).st_size
        _check_size(path, size)
        _check_header(file, size, place=str(path))
        file.seek(0)
        return _read(file)
    except (DataInvalid, OSError):
        raise
    except Exception as exc:
        raise DataInvalid(f"{path}: not a readable .npy file, as numpy.save writes it: {exc}.") from exc


def checked_logits(path: Path, logits: NDArray[Any], *, n_classes: int) -> NDArray[np.floating]:
    """In the machine's order of bytes; `n_classes` 0: any number of them. Raises DataInvalid."""
    fits = logits.ndim == 2 and logits.size > 0 and n_classes in (0, logits.shape[1])
    if not fits or logits.dtype.kind != "f" or logits.dtype.itemsize > 8:
        raise DataInvalid(
            f"{path}: got logits of {logits.dtype} and shape {logits.shape}, wanted float16, float32 or float64 and "
            f"shape (rows, {n_classes or 'classes'})."
        )
    native: NDArray[np.floating] = logits.astype(logits.dtype.newbyteorder("="), copy=False)
    return native


def _check_size(path: Path, size: int) -> None:
    if size > MAX_BYTES:
        raise DataInvalid(f"{path}: got {size} bytes of arrays, wanted at most {MAX_BYTES}.")


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, *, place: str) -> NDArray[Any]:
    with archive.open(member) as file:
        _check_header(file, member.file_size, place=place)
    with archive.open(member) as file:
        return _read(file)


def _check_header(file: IO[bytes], file_size: int, *, place: str) -> None:
    shape, _, dtype = HEADERS[npy.read_magic(file)](file)
    if dtype.hasobject:
        raise DataInvalid(f"{place}: got Python objects, wanted an array of numbers or strings.")
    size = file.tell() + math.prod(shape) * dtype.itemsize
    # numpy would make room for whatever the header says before it reads.
    if size != file_size:
        raise DataInvalid(f"{place}: got {file_size} bytes, wanted {size} for the shape {shape} of {dtype}.")


def _read(file: IO[bytes]) -> NDArray[Any]:
    array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
    return array
