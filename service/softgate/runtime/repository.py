"""
A model folder → a model ready to run.

Two steps, so that every worker serves the very bytes that were verified once: `read_bundle` reads and verifies the
files and starts nothing; `Model` loads a session from those bytes, warms it and replays the golden rows.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
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
from softgate.runtime import files
from softgate.runtime.beside import read_beside
from softgate.runtime.calibration import Calibration, bindings, read_calibration, sha256
from softgate.runtime.card import Card, bound_parts, read_card
from softgate.runtime.golden import Golden, compare, read_golden
from softgate.runtime.inputs import INPUTS, Input
from softgate.runtime.labels import calibrated_names, check_names, read_labels
from softgate.runtime.outputs import Head
from softgate.runtime.pace import Pace
from softgate.runtime.plausibility import Doubt, doubts
from softgate.runtime.runner import Runner
from softgate.runtime.session import Session
from softgate.runtime.settle import settle
from softgate.types import ModelFiles, Rows, TensorSpec

CARD = "classifier.toml"
# Enough that what holds for all of them is no accident.
SAMPLE_ROWS = 8
# To see whether one thread would do; it takes half a second.
MOST_BYTES_LOADED_TWICE = 200 * 10**6


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

    def __init__(
        self, bundle: Bundle, *, threads: int, tried: bool = True, clock: Callable[[], float] | None = None
    ) -> None:
        """
        `threads` is the most that one run is shared among, unless the card pins it.

        With a `clock` it is measured whether so many pay, and what a call of the graph costs; without one neither is.
        `tried=False` loads the graph and runs nothing, for whoever has its logits already.

        Raises ModelError, its message starting with the model's folder.
        """
        try:
            self._load(bundle, bundle.card.serving.threads or threads)
            if tried:
                self._warm(clock)
        except SoftgateError as exc:
            raise type(exc)(f"{bundle.folder}: {exc}") from exc

    def _load(self, bundle: Bundle, threads: int) -> None:
        card = bundle.card
        self.bundle = bundle
        session = Session(bundle.model.content, external=bundle.model.external, threads=threads)
        self.input: Input = INPUTS[card.input.kind].build(session.inputs, card.input.keys, tokenizer=bundle.tokenizer)
        self._head = Head(
            session.outputs,
            kind=card.output.kind,
            tensor=card.output.tensor,
            labels=bundle.labels,
            independent=card.multi_label,
        )
        self._runner = Runner(
            session,
            self.input,
            self._head,
            max_rows=card.serving.max_batch,
            max_padded_tokens=card.serving.max_padded_tokens,
        )
        self.fixed_batch = self._runner.fixed_batch
        self.has_energy = self._head.has_energy
        self.one_logit = self._head.one_logit
        self.doubts: tuple[Doubt, ...] = ()
        """What of the card may not fit the graph; what certainly does not is refused."""
        self.pace = Pace(threads)

    @property
    def inputs(self) -> Sequence[TensorSpec]:
        """What the graph takes."""
        return self._runner.session.inputs

    @property
    def output(self) -> str:
        """Name of the graph's output that carries the answer."""
        return self._head.spec.name

    @property
    def logits_dtype(self) -> np.dtype[Any]:
        return self._head.dtype

    def logits(self, rows: Rows) -> NDArray[np.floating]:
        """Shape (n_rows, n_classes). Raises EngineFailed, and InvalidInput for what only the input's work can tell."""
        try:
            return self._head.logits(self._runner.values(rows))
        except GraphInvalid as exc:
            # It gave as many rows and columns as it should when it was loaded.
            raise EngineFailed(str(exc)) from exc

    def logits_together(self, rows: Rows) -> NDArray[np.floating]:
        """The same with as many rows in a call as it may hold, however much padding that takes."""
        return self._head.logits(self._runner.values(rows, call_cost_in_tokens=math.inf))

    def _warm(self, clock: Callable[[], float] | None) -> None:
        samples = self.input.samples(SAMPLE_ROWS)
        if samples is not None:
            self.doubts = self._try(samples)
            wrong = [str(doubt) for doubt in self.doubts if doubt.certain]
            if wrong:
                raise GraphInvalid(" ".join(wrong))
            if clock is not None and not self.doubts:
                self._measure(clock)
        golden = self.bundle.golden
        if golden is not None:
            try:
                rows = self.input.check(golden.rows)
            except InvalidInput as exc:
                raise GoldenMismatch(f"The golden rows do not fit the graph: {exc}") from exc
            compare(golden, self.logits(rows), self.bundle.labels)

    def _measure(self, clock: Callable[[], float]) -> None:
        threads, serving, model = self.pace.threads, self.bundle.card.serving, self.bundle.model
        has_choice = threads > 1 and not serving.threads and model.n_bytes <= MOST_BYTES_LOADED_TWICE
        one = partial(Session, model.content, external=model.external, threads=1) if has_choice else None
        self.pace = settle(self._runner, self.input, threads=threads, one=one, max_rows=serving.max_batch, clock=clock)

    def _try(self, samples: Sequence[Any]) -> tuple[Doubt, ...]:
        """Run made-up rows: one, two and all. Raises EngineFailed where one runs and two do not."""
        check, values = self.input.check, partial(self._runner.values, call_cost_in_tokens=math.inf)
        try:
            values(check(samples[:1]))
        except MemoryExhausted:
            raise
        except EngineFailed as exc:
            # A category or an index that the graph does not know: real rows may well run.
            remedy = "Golden rows would tell whether real ones run."
            return (Doubt("made_up_rows_fail", str(exc), remedy, certain=False),)
        values(check(samples[:2]))
        found = values(check(samples))
        return doubts(found, kind=self.bundle.card.output.kind, columns=self._head.columns(found))


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
        return files.content(path)
    except OSError as exc:
        raise GraphInvalid(f"{path}: cannot be read: {exc.strerror}.") from exc
