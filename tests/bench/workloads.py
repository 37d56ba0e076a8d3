"""What is served and what is asked of it: model folders, rows, and request bodies in each server's form."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import helper
from tokenizers import Tokenizer

from bench.encoder import CLINC150, Precision, write_encoder
from graphs import graph, linear, tensor, write_model
from references import write_referenced

ROOT = Path(__file__).parents[2]
N_SENTENCES = 200
# Every step of a decision has something to do: a temperature, a threshold, a prediction set, a gate.
CALIBRATED: Mapping[str, Any] = {
    "temperature": 1.3,
    "thresholds": {"default": 0.6},
    "set_score": "topp",
    "set_quantile": 0.95,
    "gate": -1e6,
}


class Absent(Exception):
    """What a comparison needs and this machine does not have."""


def shared(*parts: str) -> Path:
    """A file of the folder of shared data, beside the checkout or where SOFTGATE_SHARED says. Raises Absent."""
    folder = Path(os.environ.get("SOFTGATE_SHARED") or ROOT.parent / "shared")
    path = folder.joinpath(*parts)
    if not path.exists():
        raise Absent(f"{'/'.join(parts)} is absent; SOFTGATE_SHARED names the folder of shared data.")
    return path


@dataclass(frozen=True)
class Workload:
    folder: Path
    """A softgate model folder."""
    rows: Sequence[Any]
    """Texts, or lists of numbers."""

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def model(self) -> Path:
        return self.folder / "1" / "model.onnx"

    @property
    def labels(self) -> Path:
        return self.folder / "labels.txt"

    @property
    def tokenizer(self) -> Path | None:
        path = self.folder / "tokenizer.json"
        return path if path.exists() else None

    def native(self, **view: Any) -> Sequence[bytes]:
        """Bodies for softgate, each with an id; the hand-written server and LitServe are sent the same."""
        bodies = ({"inputs": [row], "id": f"request-{place}", **view} for place, row in enumerate(self.rows))
        return [json.dumps(body).encode() for body in bodies]

    def open_inference(self) -> Sequence[bytes]:
        """The same rows as tensors of the Open Inference Protocol, for MLServer."""
        return [json.dumps(_tensors(row, f"request-{place}")).encode() for place, row in enumerate(self.rows)]

    def ids(self) -> Sequence[Sequence[int]]:
        """Token ids of each text."""
        tokenizer = Tokenizer.from_file(str(self.tokenizer))
        return [tokenizer.encode(text).ids for text in self.rows]

    def feeds(self) -> Sequence[Mapping[str, NDArray[Any]]]:
        """What the graph itself is given for each row, alone."""
        (source,) = session(self.model).get_inputs()
        if self.tokenizer is not None:
            return [{source.name: np.array([ids], dtype=np.int64)} for ids in self.ids()]
        return [{source.name: np.array([row], dtype=np.float32)} for row in self.rows]


def session(model: Path) -> onnxruntime.InferenceSession:
    """One thread, which sleeps when it has nothing to do."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def tiny(folder: Path) -> Workload:
    """W1: 64 numbers, a hidden layer of 64, 10 classes."""
    random = np.random.default_rng(0)
    # Logits that spread by 3: some rows are clear, some are not.
    scales = [((64, 64), 1 / 8), ((64, 10), 1 / 2)]
    weights = {
        f"weights_{place}": random.normal(scale=scale, size=shape).astype(np.float32)
        for place, (shape, scale) in enumerate(scales)
    }
    nodes = [
        helper.make_node("MatMul", ["features", "weights_0"], ["mixed"]),
        helper.make_node("Relu", ["mixed"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "weights_1"], ["logits"]),
    ]
    sources, results = [tensor("features", np.float32, "rows", 64)], [tensor("logits", np.float32, "rows", 10)]
    made = graph(nodes, sources, results, weights)
    labels = [f"class-{place}" for place in range(10)]
    write_model(folder / "tiny", made, name="tiny", labels=labels, routing="")
    return _calibrated(Workload(folder / "tiny", _numbers(random, 64)))


def wide(folder: Path, *, n_classes: int) -> Workload:
    """64 numbers, one layer, so many classes, told apart well: few labels are in a prediction set."""
    random = np.random.default_rng(0)
    weights = random.normal(scale=3 / 2, size=(64, n_classes)).astype(np.float32)
    name, labels = f"wide-{n_classes}", [f"class-{place}" for place in range(n_classes)]
    write_model(folder / name, linear(weights), name=name, labels=labels, routing="")
    return _calibrated(Workload(folder / name, _numbers(random, 64)))


def text() -> Workload:
    """W2: the shipped classifier of sentences. Raises Absent."""
    return Workload(CLINC150, sentences())


def transformer(folder: Path, *, precision: Precision, serving: str = "", name: str = "") -> Workload:
    """W3: six layers, 384 wide, 150 classes. Raises Absent."""
    rows = sentences()
    return _calibrated(
        Workload(write_encoder(folder, precision=precision, serving=serving, name=name or precision), rows)
    )


def sentences() -> Sequence[str]:
    """Of CLINC150's test set, a fixed draw. Raises Absent."""
    known = json.loads(shared("data", "clinc150", "data_full.json").read_text())["test"]
    chosen = np.random.default_rng(0).choice(len(known), N_SENTENCES, replace=False)
    return [known[place][0] for place in chosen]


def _numbers(random: np.random.Generator, width: int) -> Sequence[Sequence[float]]:
    rows: list[list[float]] = np.round(random.normal(size=(64, width)), 4).tolist()
    return rows


def _calibrated(workload: Workload) -> Workload:
    running = session(workload.model)
    logits = np.concatenate([running.run(None, dict(feed))[0] for feed in workload.feeds()])
    write_referenced(workload.folder, logits, **CALIBRATED)
    return workload


def _tensors(row: Any, identity: str) -> dict[str, Any]:
    form = {"datatype": "BYTES", "shape": [1, 1]} if isinstance(row, str) else {"datatype": "FP32"}
    data = [row] if isinstance(row, str) else row
    return {"id": identity, "inputs": [{"name": "rows", "shape": [1, len(data)], "data": data, **form}]}
