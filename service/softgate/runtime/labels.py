"""`labels.txt`, and what the card says of its labels."""

from collections.abc import Sequence
from pathlib import Path

from softgate.errors import CardInvalid
from softgate.runtime import files
from softgate.runtime.calibration import DEFAULT_PROFILE, Names
from softgate.runtime.card import Card
from softgate.runtime.table import shown

MAX_LABEL_CHARACTERS = 128


def read_labels(path: Path) -> tuple[tuple[str, ...], bytes]:
    """The label names in the order of the graph's columns, and the bytes they came from. Raises CardInvalid."""
    try:
        content = files.content(path)
        labels = tuple(content.decode("utf-8").removesuffix("\n").split("\n"))
    except FileNotFoundError as exc:
        raise CardInvalid(f"{path}: there is no such file. It holds one label per line, in the graph's order.") from exc
    except (UnicodeDecodeError, OSError) as exc:
        raise CardInvalid(f"{path}: not a readable UTF-8 file: {exc}.") from exc
    first: dict[str, int] = {}
    for line, label in enumerate(labels, start=1):
        if not label.strip() or not label.isprintable() or len(label) > MAX_LABEL_CHARACTERS:
            raise CardInvalid(
                f"{path}, line {line}: got {shown(label)}, "
                f"wanted a printable name of 1 to {MAX_LABEL_CHARACTERS} characters."
            )
        if label in first:
            raise CardInvalid(f"{path}, line {line}: {shown(label)} stands on line {first[label]} already.")
        first[label] = line
    return labels, content


def calibrated_names(card: Card, labels: Sequence[str]) -> Names:
    """The names that a calibration of this card and these labels may use."""
    return Names(
        activation=card.activation,
        multi_label=card.multi_label,
        labels=labels,
        thresholds=_with_thresholds(card, labels),
        profiles=(DEFAULT_PROFILE, *card.routing.profiles),
    )


def _with_thresholds(card: Card, labels: Sequence[str]) -> Sequence[str]:
    return labels if card.multi_label else list({card.routing.routes.get(label, label): None for label in labels})


def check_names(card: Card, labels: tuple[str, ...], *, path: Path) -> None:
    """Every label and route that the card names must exist. Raises CardInvalid."""
    known = set(labels)
    mistakes = [
        f"{path}: routing.routes.{label}: unknown label; labels.txt does not hold it."
        for label in card.routing.routes
        if label not in known
    ]
    names, kind = _with_thresholds(card, labels), "label" if card.multi_label else "route"
    mistakes += [
        f"{path}: routing.thresholds.{name}: unknown {kind}; wanted one of {shown(sorted(names))}."
        for name in card.routing.thresholds
        if name not in names
    ]
    mistakes += [
        f"{path}: routing.priority: {shown(label)} is unknown; labels.txt does not hold it."
        for label in card.routing.priority
        if label not in known
    ]
    if len(labels) == 1 and not card.multi_label:
        mistakes.append(
            f"{path}: activation: {card.activation} of one label gives it 1 always; wanted 2 labels or more."
        )
    if card.routing.priority and not card.multi_label:
        mistakes.append(f"{path}: routing.priority orders labels that hold at once, which only a sigmoid's may.")
    if mistakes:
        raise CardInvalid("\n".join(mistakes))
