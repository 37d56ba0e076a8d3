"""Rows to classify, read one by one from a file of any length: CSV, JSON Lines, or a text or a path per line."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from softgate.errors import DataInvalid, InvalidInput, ShapeMismatch, TextTooLong
from softgate.runtime.inputs.columns import ColumnsInput
from softgate.runtime.inputs.matrix import MatrixInput
from softgate.runtime.lines import Line, Lines
from softgate.runtime.repository import Model
from softgate.runtime.table import shown
from softgate.workbench.examples.csv_file import number
from softgate.workbench.examples.labelled import LABEL, LABELS, PAIR, TEXT

PATH = "path"
# Of a file that is read from standard input, which has no name.
STANDARD_INPUT = ".ndjson"
MAX_LINE_BYTES = 16 * 2**20
PIECE_BYTES = 2**16
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Row:
    line: int
    """Of the file, from 1; of a record of several lines the first."""
    value: Any
    """As a client would send it; an image as the path of its file; what is wrong, where the line holds no row."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a line becomes a row of a model."""

    kind: str
    """The card's input.kind."""
    columns: Sequence[str] | None
    """Names of a row's values, where they have names."""
    strings: Sequence[str]
    """Those of them that are no numbers."""
    decode: Callable[[bytes], Any]
    """A line of JSON to a row. Raises InvalidInput."""
    folder: Path
    """Where the paths of images start."""


Sized = Iterator[tuple[Row, int]]
"""Rows, each with about the bytes that it takes."""


def form(model: Model, *, decode: Callable[[bytes], Any], folder: Path) -> Form:
    card, columns = model.bundle.card, None
    if isinstance(model.input, ColumnsInput):
        columns = [spec.name for spec in model.inputs]
    elif isinstance(model.input, MatrixInput):
        columns = card.input.keys.columns
    strings = [spec.name for spec in model.inputs if spec.dtype.kind == "O"]
    return Form(card.input.kind, columns, strings, decode, folder)


def read_rows(file: IO[bytes], *, name: str, suffix: str, form: Form) -> Sized:
    """
    `name`: of the file, in messages.

    Raises DataInvalid where the file as a whole is none; a line that is no row comes as a row with what is wrong.
    """
    reader = READERS.get(suffix.lower())
    if reader is None:
        raise DataInvalid(f"{name}: got a file that ends in {suffix!r}, wanted one of {', '.join(READERS)}.")
    empty = True
    try:
        for row in reader(file, name, form):
            empty = False
            yield row
    except OSError as exc:
        raise DataInvalid(f"{name}: cannot be read: {exc.strerror or exc}.") from exc
    if empty:
        raise DataInvalid(f"{name}: holds no rows.")


def _csv(file: IO[bytes], name: str, form: Form) -> Sized:
    # A cell that is not UTF-8 is refused where it stands, as half a surrogate pair.
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    # Strict: a quote that nobody closes would swallow the rest of the file as one field.
    reader = csv.reader(text, strict=True)
    row_of: Callable[[Sequence[str]], Any] | None = None
    line = 1
    # One cell beyond Python's own 128 kB would be the end of the file, where only its row is too long.
    limit = csv.field_size_limit(MAX_LINE_BYTES)
    try:
        for record in reader:
            if row_of is None:
                row_of = _row_of(record, form, name=name)
            elif record:
                yield Row(line, _tried(row_of, record)), sum(map(len, record))
            line = reader.line_num + 1
    except csv.Error as exc:
        raise DataInvalid(f"{name}, line {line}: not CSV: {exc}.") from exc
    finally:
        csv.field_size_limit(limit)
        # The file is whoever's who opened it.
        text.detach()


def _row_of(names: Sequence[str], form: Form, *, name: str) -> Callable[[Sequence[str]], Any]:
    """What makes a row of a record's cells, for a table of these columns. Raises DataInvalid."""
    cells_of = {column: place for place, column in enumerate(names)}
    wanted = {"text": [TEXT], "image": [PATH]}.get(form.kind, form.columns or [])
    numbers = [column for column in names if column not in (LABEL, LABELS)] if form.columns is None else form.columns
    missing = [column for column in wanted if column not in cells_of]
    if missing or not numbers or len(cells_of) < len(names):
        told = f"{', '.join(wanted)} among others" if wanted else "one per feature"
        raise DataInvalid(f"{name}, line 1: got the columns {shown(list(names))}, wanted {told}, each once.")

    def cells(record: Sequence[str]) -> Sequence[str]:
        if len(record) != len(names):
            raise ShapeMismatch(f"Expected {len(names)} fields, one per column; got {len(record)}.")
        return record

    def value(record: Sequence[str], column: str) -> str | float | None:
        cell = record[cells_of[column]]
        if column in form.strings:
            return cell
        try:
            return number(cell)
        except ValueError:
            raise InvalidInput(f"Expected a number in the column {column}; got something else.") from None

    if form.kind == "text" and PAIR in cells_of:
        return lambda record: [cells(record)[cells_of[column]] for column in (TEXT, PAIR)]
    if form.kind == "text":
        return lambda record: cells(record)[cells_of[TEXT]]
    if form.kind == "image":
        return lambda record: form.folder / cells(record)[cells_of[PATH]]
    if form.columns is None:
        return lambda record: [value(cells(record), column) for column in numbers]
    return lambda record: {column: value(cells(record), column) for column in numbers}


def _json_lines(file: IO[bytes], name: str, form: Form) -> Sized:
    for line in _lines(file):
        yield Row(line.number, _tried(form.decode, _whole(line))), len(line.content or b"")


def _texts(file: IO[bytes], name: str, form: Form) -> Sized:
    if form.kind == "tensor":
        raise DataInvalid(f"{name}: got a file of texts or paths, wanted rows of numbers: .csv or .jsonl.")

    def text(content: bytes) -> Any:
        found = content.removesuffix(b"\r").decode(errors="surrogateescape")
        return found if form.kind == "text" else form.folder / found

    for line in _lines(file):
        yield Row(line.number, _tried(text, _whole(line))), len(line.content or b"")


def _lines(file: IO[bytes]) -> Iterator[Line]:
    lines = Lines(limit=MAX_LINE_BYTES)
    # Windows marks what it takes for UTF-8 with a first character of its own.
    piece = file.read(PIECE_BYTES).removeprefix(BYTE_ORDER_MARK)
    while piece:
        yield from lines.feed(piece)
        piece = file.read(PIECE_BYTES)
    yield from lines.rest()


def _whole(line: Line) -> bytes | TextTooLong:
    if line.content is None:
        return TextTooLong(f"Expected a line of at most {MAX_LINE_BYTES} bytes; got more.")
    return line.content


def _tried(make: Callable[[Any], Any], content: Any) -> Any:
    """The row, or what is wrong with it."""
    if isinstance(content, InvalidInput):
        return content
    try:
        return make(content)
    except InvalidInput as exc:
        return exc


READERS: Mapping[str, Callable[[IO[bytes], str, Form], Sized]] = {
    ".csv": _csv,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".txt": _texts,
}
