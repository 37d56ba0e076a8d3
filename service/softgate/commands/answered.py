"""Rows of a file → the lines that answer them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from softgate.errors import ImageInvalid, InvalidInput, SoftgateError
from softgate.policy.batch import Part
from softgate.policy.classifier import Classifier
from softgate.runtime.inputs.tokens import TokenInput
from softgate.runtime.repository import Model
from softgate.types import Predictions, View
from softgate.web.protocols.native import decode, decode_row
from softgate.web.protocols.predictions import encode_lines
from softgate.web.stream import refusal
from softgate.workbench.row_files import Row

Piece = msgspec.Raw | msgspec.UnsetType


@dataclass(frozen=True, slots=True)
class Answer:
    content: bytes
    """A line of JSON."""
    outcome: tuple[int, int] | str
    """Action and reason; a code where the row is refused."""
    line: int
    """Of the input, where the row stands."""


class Labelled(msgspec.Struct):
    """A line as `calibrate` takes it; its label has no part in it."""

    inputs: Piece = msgspec.UNSET
    text: Piece = msgspec.UNSET
    text_pair: Piece = msgspec.UNSET
    path: str | msgspec.UnsetType = msgspec.UNSET


_LABELLED = msgspec.json.Decoder(Labelled)


def answered(classifier: Classifier, rows: Sequence[Row], view: View, profile: str | None) -> list[Answer]:
    """Rows that cannot be predicted together are tried by halves, until those that cannot at all stand alone."""
    try:
        checked = classifier.check([_value(row) for row in rows])
        predictions = classifier.predict_now(checked, profile=profile)
    except SoftgateError as exc:
        if len(rows) == 1:
            return [Answer(refusal(rows[0].line, exc.code, str(exc)), exc.code, rows[0].line)]
    else:
        return _encoded(classifier, rows, predictions, view)
    middle = len(rows) // 2
    halves = (answered(classifier, half, view, profile) for half in (rows[:middle], rows[middle:]))
    return [answer for half in halves for answer in half]


def _encoded(classifier: Classifier, rows: Sequence[Row], predictions: Predictions, view: View) -> list[Answer]:
    lines = encode_lines(classifier, Part.whole(classifier, predictions), view)
    decisions = predictions.decisions
    outcomes = zip(decisions.action.tolist(), decisions.reason.tolist(), strict=True)
    return [Answer(line, outcome, row.line) for line, outcome, row in zip(lines, outcomes, rows, strict=True)]


def _value(row: Row) -> Any:
    """An image's file is read by the thread that decodes it. Raises InvalidInput for what is no row."""
    if isinstance(row.value, InvalidInput):
        raise row.value
    if not isinstance(row.value, Path):
        return row.value
    try:
        return row.value.read_bytes()
    except (OSError, ValueError) as exc:
        raise ImageInvalid("Expected the path of a PNG or JPEG file that can be read.") from exc


def lengths(model: Model, rows: Sequence[Row]) -> Sequence[int]:
    """What rows are sorted by: tokens where there are any, else all are alike."""
    if not isinstance(model.input, TokenInput):
        return [0] * len(rows)
    values = ["" if isinstance(row.value, InvalidInput) else row.value for row in rows]
    try:
        return model.input.lengths(model.input.check(values))
    except InvalidInput:
        return [len(str(value)) for value in values]


def decoder(model: Model, *, folder: Path) -> Callable[[bytes], Any]:
    """
    What makes a row of a line of JSON: the row itself, as a client would send it, or `inputs`, `text` or `path` of an
    object, whose other parts are passed over.

    `folder`: where paths start. What it gives raises InvalidInput.
    """
    kind, way = model.bundle.card.input.kind, model.input
    # An object may be the row itself, and one of its columns may have that name.
    wrapped = "inputs" not in {spec.name for spec in model.inputs}

    def decoded(content: bytes) -> Any:
        if not (wrapped and content.lstrip().startswith(b"{")):
            return decode_row(content, way.row)
        parts = decode(_LABELLED, content, at="the line")
        if parts.inputs is not msgspec.UNSET:
            return decode_row(bytes(parts.inputs), way.row)
        if kind == "image" and parts.path is not msgspec.UNSET:
            return folder / parts.path
        if kind == "text" and parts.text is not msgspec.UNSET:
            texts = [part for part in (parts.text, parts.text_pair) if part is not msgspec.UNSET]
            found = [decode_row(bytes(text), str) for text in texts]
            return found if len(found) > 1 else found[0]
        return decode_row(content, way.row)

    return decoded
