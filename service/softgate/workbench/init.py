"""
From a graph to a model folder: a complete card, written from what `inspect` found.

It asks for nothing that it can know, and refuses to guess what it can't.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from softgate.errors import CardInvalid, GraphInvalid, ModelError
from softgate.runtime.beside import locate
from softgate.runtime.card import MODEL_NAME
from softgate.runtime.golden import Golden, write_golden
from softgate.runtime.labels import MAX_LABEL_CHARACTERS, read_labels
from softgate.runtime.repository import Model, read_bundle
from softgate.workbench.inspect import Inspection, Output, Tensor
from softgate.workbench.template import render, shown

GOLDEN_ROWS = 16


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user says of the model; None leaves it to the graph."""

    labels: Path | None = None
    tokenizer: Path | None = None
    activation: str | None = None
    input: str | None = None
    output: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A model folder to be written."""

    card: str
    activation: str
    labels: Sequence[str]
    doubts: Sequence[str]
    """What a person should look at: sentences."""
    external_data: Sequence[str] = ()
    """Files beside the graph that hold weights of its."""


def plan(name: str, found: Inspection, wishes: Wishes) -> Plan:
    """What to write for this graph. Raises CardInvalid or GraphInvalid, which say what has to be told."""
    if not MODEL_NAME.fullmatch(name):
        raise CardInvalid(
            f"Got the folder name {name!r}, wanted one matching {MODEL_NAME.pattern}: it names the model."
        )
    # Of what could not be loaded the notes say why.
    if not found.outputs:
        raise GraphInvalid(" ".join(found.notes))
    answer = _answer(found, wishes)
    activation = _activation(found, answer, wishes)
    labels, doubts = _labels(found, answer, activation, wishes)
    kind, more = _input(found, wishes)
    card = render(found, name=name, answer=answer, activation=activation, labels=labels, kind=kind)
    return Plan(card, activation, labels, [*doubts, *more], found.external_data)


def write(folder: Path, model: Path, planned: Plan, wishes: Wishes) -> None:
    """The folder, whole or not at all. Raises ModelError, of which CardInvalid is for a tokenizer not to be read."""
    if folder.resolve() == Path.cwd():
        raise ModelError(f"{folder}: is the folder you are in; wanted the name of a new folder.")
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ModelError(f"{folder}: is there already and not empty; wanted the name of a new folder.")
    tokenizer = None if wishes.tokenizer is None else _read(wishes.tokenizer)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as staging:
            stage = Path(staging) / folder.name
            (stage / "1").mkdir(parents=True)
            (stage / "classifier.toml").write_text(planned.card, encoding="utf-8")
            (stage / "labels.txt").write_text("\n".join(planned.labels) + "\n", encoding="utf-8")
            shutil.copyfile(model, stage / "1" / "model.onnx")
            for name in planned.external_data:
                shutil.copyfile(locate(model.parent, name), stage / "1" / name)
            if tokenizer is not None:
                (stage / "tokenizer.json").write_bytes(tokenizer)
            os.replace(stage, folder)
    except OSError as exc:
        raise ModelError(f"{folder}: cannot be written: {exc.strerror}.") from exc


def _read(tokenizer: Path) -> bytes:
    try:
        return tokenizer.read_bytes()
    except OSError as exc:
        raise CardInvalid(f"{tokenizer}: cannot be read: {exc.strerror}.") from exc


def keep(folder: Path, golden: Iterable[str]) -> str | None:
    """
    Add the golden rows, at most one content of golden.json, to a folder just written; returns them.

    Where they cannot be had, the folder is no more, a full disk and a Ctrl-C included. Raises ModelError.
    """
    try:
        content = next(iter(golden), None)
        if content is not None:
            (folder / "1" / "golden.json").write_text(content, encoding="utf-8")
    except BaseException as exc:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(exc, OSError):
            raise ModelError(f"{folder}: cannot be written: {exc.strerror}.") from exc
        raise
    return content


def golden(folder: str) -> Iterator[str]:
    """
    The content of golden.json for a folder just written: made-up rows, with what the graph gives for them now.

    It runs the graph: to be called in a process of its own. Yields nothing where no such rows can be made up.
    Raises ModelError where the folder cannot be loaded.
    """
    model = Model(read_bundle(Path(folder)), threads=1)
    rows = model.input.samples(GOLDEN_ROWS)
    if rows is None or any(doubt.code == "made_up_rows_fail" for doubt in model.doubts):
        return
    logits = model.logits(model.input.check(rows)).astype(np.float64)
    if np.isfinite(logits).all():
        labels = [model.bundle.labels[column] for column in logits.argmax(axis=1).tolist()]
        yield write_golden(Golden(rows, logits, labels)).decode()


def _answer(found: Inspection, wishes: Wishes) -> Output:
    outputs = {output.name: output for output in found.outputs}
    if wishes.output is not None and wishes.output not in outputs:
        raise GraphInvalid(f"Got the output {wishes.output}, wanted one of {', '.join(outputs)}.")
    answer = found.answer if wishes.output is None else outputs[wishes.output]
    if answer is None:
        several = [output.name for output in found.outputs if output.holds not in (None, "label", "labels")]
        if several:
            raise GraphInvalid(f"Several outputs could be the answer; say which by --tensor: {', '.join(several)}.")
        raise GraphInvalid(
            f"None of the outputs {', '.join(outputs)} looks like scores of classes; "
            "wanted floats of shape [batch, classes]. Is the graph a classifier?"
        )
    if answer.holds in (None, "label", "labels") or answer.n_columns is None:
        raise GraphInvalid(f"The output {answer.name} holds no scores of classes; wanted floats of [batch, classes].")
    return answer


def _activation(found: Inspection, answer: Output, wishes: Wishes) -> str:
    if wishes.activation == "sigmoid" and answer.ends_in.endswith("Softmax"):
        raise GraphInvalid(
            f"The graph ends in {answer.ends_in}: its labels exclude each other, so they have no sigmoid each."
        )
    if wishes.activation is not None:
        return wishes.activation
    settled = found.activation_of(answer)
    if settled is None:
        raise CardInvalid(
            f"The graph does not settle how its {answer.n_columns} scores become probabilities. "
            "Say --activation softmax if a row has exactly one label, --activation sigmoid if it may have several."
        )
    return settled


def _labels(found: Inspection, answer: Output, activation: str, wishes: Wishes) -> tuple[Sequence[str], Sequence[str]]:
    n_columns = answer.n_columns or 0
    wanted = 2 if n_columns == 1 and activation != "sigmoid" else n_columns
    if wishes.labels is not None:
        labels, _ = read_labels(wishes.labels)
        if len(labels) != wanted:
            raise CardInvalid(
                f"{wishes.labels}: got {len(labels)} labels, wanted {wanted}, one per class of the graph."
            )
        return labels, ()
    if len(found.labels) == wanted and _may_be_labels(found.labels):
        return found.labels, ()
    numbers = [str(number) for number in range(wanted)]
    return numbers, ["The graph does not name its classes, so they are numbered: write their names in labels.txt."]


def _may_be_labels(names: Sequence[str]) -> bool:
    fit = all(name.strip() and name.isprintable() and len(name) <= MAX_LABEL_CHARACTERS for name in names)
    return fit and len(set(names)) == len(names)


def _input(found: Inspection, wishes: Wishes) -> tuple[str, Sequence[str]]:
    kind = wishes.input or _input_kind(found.inputs, has_tokenizer=wishes.tokenizer is not None)
    if kind == "text" and wishes.tokenizer is None and any(tensor.type != "string" for tensor in found.inputs):
        raise CardInvalid(
            f"The graph takes token ids ({shown(found.inputs)}): say which tokenizer makes them, by "
            "--tokenizer tokenizer.json, or --input tensor if clients send the numbers themselves."
        )
    if kind == "image":
        return kind, [
            "Pixels are scaled to 0..1, without mean and standard deviation: write in classifier.toml under [input] "
            "what the model was trained with."
        ]
    return kind, ()


def _input_kind(inputs: Sequence[Tensor], *, has_tokenizer: bool) -> str:
    integers = all(tensor.type.startswith("int") and len(tensor.shape) == 2 for tensor in inputs)
    named = any("input_ids" in tensor.name or "token" in tensor.name for tensor in inputs)
    if has_tokenizer or (integers and named):
        return "text"
    first = inputs[0]
    if len(inputs) == 1 and first.type == "string" and list(first.shape[1:]) in ([], [1], [None]):
        return "text"
    if len(inputs) == 1 and len(first.shape) == 4:
        raise CardInvalid(
            f"The graph takes {shown(inputs)}: say --input image for PNG and JPEG files, "
            "or --input tensor if clients send the numbers themselves."
        )
    return "tensor"
