"""Labelled examples from a file or a folder: what a classifier is calibrated with. One module per kind of data."""

import io
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from softgate.errors import DataInvalid
from softgate.workbench.examples import csv_file, image_folder, json_lines, npz_file
from softgate.workbench.examples.labelled import Examples, Wanted, read_text

__all__ = ["Examples", "read_examples", "read_rows"]


def read_examples(
    path: Path,
    *,
    labels: Sequence[str] = (),
    multi_label: bool = False,
    out_of_scope_label: str | None = None,
    by_name: bool | None = None,
    strings: Collection[str] = (),
) -> Examples:
    """
    Examples of a CSV, JSON Lines or .npz file, or of a folder of images.

    Parameters
    ----------
    labels
        Names of the model's labels, in the order of its columns: what label indices of a .npz file stand for. Labels
        that are names may be others; whoever knows what for compares them.
    multi_label
        Whether labels may hold at the same time: a CSV file may have a column `labels` then, JSON a list, a .npz a
        matrix of 0 and 1.
    out_of_scope_label
        What the index -1 of a .npz file stands for.
    by_name
        Whether each row of a CSV file becomes an object by column name, numbers and strings mixed, or a text or a list
        of numbers. None: objects where there is no column `text` and one of the others is not of numbers.
    strings
        Columns of a CSV file that are no numbers, even where they look like some (`1`, `02134`).

    Raises DataInvalid, which names the line, the file or the row.
    """
    return _read(path, Wanted(labels, multi_label, out_of_scope_label, by_name, strings))


def read_rows(path: Path, *, by_name: bool | None = None, strings: Collection[str] = ()) -> Sequence[Any]:
    """Rows without labels: a text file with one text per line, or any examples with rows. Raises DataInvalid."""
    if path.suffix.lower() == ".txt":
        try:
            # Ends of lines as in any text file, but no others: a text may hold U+2028.
            lines = io.StringIO(read_text(path)[0], newline=None).read().split("\n")
            return [line for line in lines if line.strip()]
        except OSError as exc:
            raise _unreadable(path, exc) from exc
    if path.suffix.lower() == ".npz":
        raise DataInvalid(f"{path}: got logits, wanted rows as a client would send them.")
    # Labels are not looked at here, so either form will do.
    return _read(path, Wanted(multi_label=True, by_name=by_name, strings=strings)).rows


def _read(path: Path, wanted: Wanted) -> Examples:
    try:
        if path.is_dir():
            return image_folder.read(path, wanted)
        reader = READERS.get(path.suffix.lower())
        if reader is None:
            raise DataInvalid(
                f"{path}: got a file that ends in {path.suffix!r}, wanted one of {', '.join(READERS)}, "
                "or a folder of images."
            )
        return reader(path, wanted)
    except OSError as exc:
        raise _unreadable(path, exc) from exc


def _unreadable(path: Path, exc: OSError) -> DataInvalid:
    return DataInvalid(f"{exc.filename or path}: cannot be read: {exc.strerror or exc}.")


READERS: Mapping[str, Callable[[Path, Wanted], Examples]] = {
    ".csv": csv_file.read,
    ".jsonl": json_lines.read,
    ".ndjson": json_lines.read,
    ".npz": npz_file.read,
}
