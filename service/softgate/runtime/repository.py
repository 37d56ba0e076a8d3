"""
A model folder → a model ready to run.

Two steps, so that every worker serves the very bytes that were verified once: `read_bundle` reads and verifies the
files and starts nothing; `Model` loads a session from those bytes, warms it and replays the golden rows.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from softgate.errors import CardInvalid, GoldenMismatch, GraphInvalid, InvalidInput, SoftgateError
from softgate.runtime.calibration import Calibration, bindings, read_calibration, sha256
from softgate.runtime.card import Card, bound_parts, check_names, read_card, read_labels
from softgate.runtime.golden import Golden, compare, read_golden
from softgate.runtime.inputs import INPUTS, Input
from softgate.runtime.outputs import KINDS_WITH_ENERGY, OUTPUTS
from softgate.runtime.session import Session, find_output
from softgate.types import Rows

CARD = "classifier.toml"


@dataclass(frozen=True, slots=True)
class Bundle:
    """One version of a model folder: its files, read once and verified."""

    folder: Path
    card: Card
    version: str
    labels: tuple[str, ...]
    labels_content: bytes
    model: bytes
    model_sha256: str
    tokenizer: bytes | None
    calibration: Calibration | None
    golden: Golden | None

    @property
    def name(self) -> str:
        return self.card.name


def find_bundles(folder: Path) -> list[Bundle]:
    """
    The bundle of `folder` itself, or one for each model folder in it, by name.

    Raises CardInvalid where there is none or two share a name, and what `read_bundle` raises.
    """
    if (folder / CARD).exists():
        return [read_bundle(folder)]
    if not folder.is_dir():
        raise CardInvalid(f"{folder}: not a folder.")
    bundles = [read_bundle(path.parent) for path in sorted(folder.glob(f"*/{CARD}"))]
    if not bundles:
        raise CardInvalid(f"{folder}: holds no model folder; wanted at least one NAME/{CARD}.")
    seen: dict[str, Path] = {}
    for bundle in bundles:
        if bundle.name in seen:
            raise CardInvalid(f"{bundle.folder} and {seen[bundle.name]} are both named {bundle.name}.")
        seen[bundle.name] = bundle.folder
    return bundles


def read_bundle(folder: Path, *, calibrated: bool = True) -> Bundle:
    """
    Read and verify the version that the card pins, else the highest.

    `calibrated=False` leaves the calibration and the golden rows out: for the command that is about to write them.
    Raises CardInvalid, CalibrationInvalid, GraphInvalid or GoldenMismatch.
    """
    card = read_card(folder / CARD)
    labels, labels_content = read_labels(folder / "labels.txt")
    check_names(card, labels, path=folder / CARD)
    version = _version(folder, card)
    model = _read(folder / version / "model.onnx")
    tokenizer = _read(folder / "tokenizer.json") if (folder / "tokenizer.json").exists() else None
    bound_to = bindings(bound_parts(card), model=model, labels=labels_content, tokenizer=tokenizer)
    return Bundle(
        folder=folder,
        card=card,
        version=version,
        labels=labels,
        labels_content=labels_content,
        model=model,
        model_sha256=sha256(model),
        tokenizer=tokenizer,
        calibration=read_calibration(folder / version / "calibration.json", bound_to) if calibrated else None,
        golden=read_golden(folder / version / "golden.json") if calibrated else None,
    )


class Model:
    """A bundle with its session: rows in, logits out. Ready once made: warmed, and its golden rows replayed."""

    def __init__(self, bundle: Bundle, *, threads: int) -> None:
        """Raises ModelError, its message starting with the model's folder."""
        try:
            self._load(bundle, threads)
        except SoftgateError as exc:
            raise type(exc)(f"{bundle.folder}: {exc}") from exc

    def _load(self, bundle: Bundle, threads: int) -> None:
        card = bundle.card
        self.bundle = bundle
        self.has_energy = card.output.kind in KINDS_WITH_ENERGY
        self._session = Session(bundle.model, threads=threads)
        self.input: Input = INPUTS[card.input.kind](
            self._session.inputs,
            tensor=card.input.tensor,
            max_tokens=card.input.max_tokens,
            tokenizer=bundle.tokenizer,
        )
        for spec in self._session.inputs:
            if spec.shape and spec.shape[0] is not None:
                raise GraphInvalid(
                    f"Input {spec.name} takes exactly {spec.shape[0]} rows at a time; "
                    "wanted a graph exported with a batch axis that may vary."
                )
        self._output = find_output(self._session, card.output.tensor, n_classes=len(bundle.labels))
        self._to_logits = OUTPUTS[card.output.kind]
        self._warm()

    def logits(self, rows: Rows) -> NDArray[np.floating]:
        """Shape (n_rows, n_classes), at most `max_batch` rows at a time through the graph. Raises EngineFailed."""
        step = self.bundle.card.serving.max_batch
        if len(rows) <= step:
            return self._run(rows)
        parts = [self._run(Rows(rows.values[start : start + step])) for start in range(0, len(rows), step)]
        return np.concatenate(parts)

    def _run(self, rows: Rows) -> NDArray[np.floating]:
        logits = self._to_logits(self._session.run(self._output, self.input.feed(rows)))
        wanted = (len(rows), len(self.bundle.labels))
        if logits.shape != wanted:
            raise GraphInvalid(f"The graph gave an output of shape {logits.shape}; wanted {wanted}.")
        return logits

    def _warm(self) -> None:
        for n_rows in (1, 2):
            samples = self.input.samples(n_rows)
            if samples is not None:
                self._run(samples)
        golden = self.bundle.golden
        if golden is not None:
            try:
                rows = self.input.check(golden.rows)
            except InvalidInput as exc:
                raise GoldenMismatch(f"The golden rows do not fit the graph: {exc}") from exc
            compare(golden, self.logits(rows), self.bundle.labels)


def _version(folder: Path, card: Card) -> str:
    versions = sorted(int(path.name) for path in folder.iterdir() if path.is_dir() and _is_version(path.name))
    if not versions:
        raise CardInvalid(f"{folder}: holds no version; wanted a folder named 1 with a model.onnx in it.")
    if card.version is not None and card.version not in versions:
        raise CardInvalid(f"{folder / CARD}: version: got {card.version}, wanted one of {versions}.")
    return str(versions[-1] if card.version is None else card.version)


def _is_version(name: str) -> bool:
    return name.isascii() and name.isdecimal() and not name.startswith("0")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise GraphInvalid(f"{path}: cannot be read: {exc.strerror}.") from exc
