"""
A model folder → a model ready to run.

Two steps, so that every worker serves the very bytes that were verified once: `read_bundle` reads and verifies the
files and starts nothing; `Model` loads a session from those bytes, warms it and replays the golden rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softgate.errors import (
    CardInvalid,
    EngineFailed,
    GoldenMismatch,
    GraphInvalid,
    InvalidInput,
    MemoryExhausted,
    SoftgateError,
)
from softgate.runtime.beside import read_beside
from softgate.runtime.calibration import Calibration, bindings, read_calibration, sha256
from softgate.runtime.card import Card, bound_parts, read_card
from softgate.runtime.golden import Golden, compare, read_golden
from softgate.runtime.inputs import INPUTS, Input
from softgate.runtime.labels import calibrated_names, check_names, read_labels
from softgate.runtime.outputs import Head
from softgate.runtime.plausibility import Doubt, doubts
from softgate.runtime.session import Session
from softgate.types import ModelFiles, Rows, TensorSpec

CARD = "classifier.toml"
# Enough that what holds for all of them is no accident.
SAMPLE_ROWS = 8


@dataclass(frozen=True, slots=True)
class Bundle:
    """One version of a model folder: its files, read once and verified."""

    folder: Path
    card: Card
    version: str
    labels: tuple[str, ...]
    labels_content: bytes
    model: ModelFiles
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
    model = ModelFiles(_read(folder / version / "model.onnx"), read_beside(folder / version, card.external_data))
    tokenizer = _read(folder / "tokenizer.json") if (folder / "tokenizer.json").exists() else None
    bundle = Bundle(
        folder=folder,
        card=card,
        version=version,
        labels=labels,
        labels_content=labels_content,
        model=model,
        model_sha256=sha256(model.content),
        tokenizer=tokenizer,
        calibration=None,
        golden=None,
    )
    if not calibrated:
        return bundle
    calibration, golden = calibration_beside(bundle), read_golden(folder / version / "golden.json")
    return replace(bundle, calibration=calibration, golden=golden)


def unverified(bundle: Bundle) -> Doubt | None:
    """What nothing in the folder vouches for; None where golden rows or a calibration do."""
    if bundle.golden is not None or bundle.calibration is not None:
        return None
    what = "The order of labels.txt" + ("" if bundle.tokenizer is None else " and the tokenizer")
    return Doubt(
        "unverified",
        f"{what} cannot be verified: there are neither golden rows nor a calibration that holds.",
        "Run softgate calibrate on labelled rows: it writes both.",
        certain=False,
    )


def calibration_beside(bundle: Bundle) -> Calibration | None:
    """The calibration of this very graph, these labels and this card; None: no file. Raises CalibrationInvalid."""
    card, path = bundle.card, bundle.folder / bundle.version / "calibration.json"
    bound_to = bindings(bound_parts(card), model=bundle.model, labels=bundle.labels_content, tokenizer=bundle.tokenizer)
    return read_calibration(path, bound_to, names=calibrated_names(card, bundle.labels))


class Model:
    """A bundle with its session: rows in, logits out. Ready once made: warmed, and its golden rows replayed."""

    def __init__(self, bundle: Bundle, *, threads: int, tried: bool = True) -> None:
        """
        `tried=False` loads the graph and runs nothing, for whoever has its logits already.

        Raises ModelError, its message starting with the model's folder.
        """
        try:
            self._load(bundle, threads)
            if tried:
                self._warm()
        except SoftgateError as exc:
            raise type(exc)(f"{bundle.folder}: {exc}") from exc

    def _load(self, bundle: Bundle, threads: int) -> None:
        card = bundle.card
        self.bundle = bundle
        self._session = Session(bundle.model.content, external=bundle.model.external, threads=threads)
        self.input: Input = INPUTS[card.input.kind].build(
            self._session.inputs, card.input.keys, tokenizer=bundle.tokenizer
        )
        self.fixed_batch = _fixed_batch(self._session.inputs)
        self._head = Head(
            self._session.outputs,
            kind=card.output.kind,
            tensor=card.output.tensor,
            labels=bundle.labels,
            independent=card.multi_label,
        )
        self.has_energy = self._head.has_energy
        self.one_logit = self._head.one_logit
        self.doubts: tuple[Doubt, ...] = ()
        """What of the card may not fit the graph; what certainly does not is refused."""

    @property
    def inputs(self) -> Sequence[TensorSpec]:
        """What the graph takes."""
        return self._session.inputs

    @property
    def output(self) -> str:
        """Name of the graph's output that carries the answer."""
        return self._head.spec.name

    def logits(self, rows: Rows) -> NDArray[np.floating]:
        """Shape (n_rows, n_classes). Raises EngineFailed, and InvalidInput for what only the input's work can tell."""
        return self._head.logits(self.values(rows))

    def values(self, rows: Rows) -> NDArray[np.floating]:
        """The output as the graph gives it, shape (n_rows, n_columns), at most `max_batch` rows at a time."""
        step = self.fixed_batch or self.bundle.card.serving.max_batch
        if len(rows) <= step:
            return self._run(rows)
        parts = [self._run(Rows(rows.values[start : start + step])) for start in range(0, len(rows), step)]
        return np.concatenate(parts)

    def _run(self, rows: Rows) -> NDArray[np.floating]:
        n_rows = len(rows)
        if self.fixed_batch is not None and n_rows < self.fixed_batch:
            # The graph takes no fewer: the last row stands in for those that are not there.
            rows = Rows.join([rows, *[Rows(rows.values[-1:])] * (self.fixed_batch - n_rows)])
        (output,) = self._session.run([self._head.spec.name], self.input.feed(rows))
        values = self._head.values(output)
        if len(values) != len(rows):
            raise GraphInvalid(f"The graph gave {len(values)} rows for {len(rows)}.")
        return values[:n_rows]

    def _warm(self) -> None:
        samples = self.input.samples(SAMPLE_ROWS)
        if samples is not None:
            self.doubts = self._try(samples)
            wrong = [str(doubt) for doubt in self.doubts if doubt.certain]
            if wrong:
                raise GraphInvalid(" ".join(wrong))
        golden = self.bundle.golden
        if golden is not None:
            try:
                rows = self.input.check(golden.rows)
            except InvalidInput as exc:
                raise GoldenMismatch(f"The golden rows do not fit the graph: {exc}") from exc
            compare(golden, self.logits(rows), self.bundle.labels)

    def _try(self, samples: Sequence[Any]) -> tuple[Doubt, ...]:
        """Run made-up rows: one, two and all. Raises EngineFailed where one runs and two do not."""
        check = self.input.check
        try:
            self.values(check(samples[:1]))
        except MemoryExhausted:
            raise
        except EngineFailed as exc:
            # A category or an index that the graph does not know: real rows may well run.
            remedy = "Golden rows would tell whether real ones run."
            return (Doubt("made_up_rows_fail", str(exc), remedy, certain=False),)
        self.values(check(samples[:2]))
        values = self.values(check(samples))
        return doubts(values, kind=self.bundle.card.output.kind, columns=self._head.columns(values))


def _fixed_batch(specs: Sequence[TensorSpec]) -> int | None:
    """How many rows the graph takes at a time, None where it may be any number. Raises GraphInvalid."""
    sizes = {spec.shape[0] for spec in specs if spec.shape}
    if len(sizes) != 1 or any(not spec.shape for spec in specs):
        named = ", ".join(map(str, specs))
        raise GraphInvalid(f"The graph takes {named}; wanted a first axis that is the batch, of one size for all.")
    size = sizes.pop()
    if size == 0:
        raise GraphInvalid(f"The graph takes {', '.join(map(str, specs))}: no row at a time; wanted at least one.")
    return size


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
