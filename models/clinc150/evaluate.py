"""
Print the table of the model card, measured through the shipped files, one row at a time.

    python models/clinc150/evaluate.py --data PATH/clinc150 [--test]

Temperature and threshold are those of calibration.json and classifier.toml;
`--test` reads the test rows too, which nothing is chosen on.
"""

import argparse
import json
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp, softmax
from sklearn.metrics import roc_auc_score
from tokenizers import Tokenizer

Rows = list[tuple[str, str]]
Floats = NDArray[np.float64]
Classes = NDArray[np.int64]


@dataclass(frozen=True)
class Answers:
    """Logits of rows in scope with their classes, and of rows out of scope."""

    logits: Floats
    classes: Classes
    outliers: Floats

    def over(self, temperature: float) -> "Answers":
        return Answers(self.logits / temperature, self.classes, self.outliers / temperature)


class Classifier:
    """The model folder, run as it is served: one thread, one row."""

    def __init__(self, folder: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(folder / "1" / "model.onnx", options)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.labels = (folder / "labels.txt").read_text(encoding="utf-8").splitlines()

    def logits(self, text: str) -> tuple[Floats, float, float]:
        """Logits, and the seconds that tokenization and graph took."""
        start = time.perf_counter()
        ids = np.array([self.tokenizer.encode(text).ids], np.int64)
        middle = time.perf_counter()
        (logits,) = self.session.run(["logits"], {"input_ids": ids.reshape(1, -1)})
        return logits[0].astype(np.float64), middle - start, time.perf_counter() - middle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with data_full.json and domains.json")
    parser.add_argument("--model", type=Path, default=Path(__file__).parent, help="model folder")
    parser.add_argument("--test", action="store_true", help="read the test rows too")
    arguments = parser.parse_args()
    splits = json.loads((arguments.data / "data_full.json").read_text(encoding="utf-8"))
    domains = json.loads((arguments.data / "domains.json").read_text(encoding="utf-8"))
    classifier = Classifier(arguments.model)
    member_of = np.array([[label in domains[domain] for domain in sorted(domains)] for label in classifier.labels])
    temperature = json.loads((arguments.model / "1" / "calibration.json").read_text(encoding="utf-8"))["temperature"]
    card = tomllib.loads((arguments.model / "classifier.toml").read_text(encoding="utf-8"))
    for split in ("val", "test") if arguments.test else ("val",):
        answers = _answers(classifier, splits[split], splits[f"oos_{split}"])
        _report(split, answers, temperature, card["routing"]["threshold"], member_of)


def negative_log_likelihood(logits: Floats, classes: Classes) -> float:
    return float(-log_softmax(logits, axis=1)[np.arange(len(classes)), classes].mean())


def expected_calibration_error(logits: Floats, classes: Classes, *, n_bins: int = 15) -> float:
    """Mean distance of accuracy and confidence over bins of equal width, weighted by their rows."""
    confidence = softmax(logits, axis=1).max(axis=1)
    surplus = (logits.argmax(axis=1) == classes) - confidence
    bins = np.ceil(confidence * n_bins).astype(int) - 1
    return float(np.abs(np.bincount(bins, surplus, n_bins)).sum() / len(classes))


def route_confidence(logits: Floats, member_of: NDArray[np.bool_]) -> Floats:
    """The largest sum of probabilities over the labels of one domain."""
    confidence: Floats = (softmax(logits, axis=1) @ member_of).max(axis=1)
    return confidence


def _answers(classifier: Classifier, rows: Rows, outliers: Rows) -> Answers:
    columns = {label: column for column, label in enumerate(classifier.labels)}
    runs = [classifier.logits(text) for text, _ in rows]
    far = [classifier.logits(text) for text, _ in outliers]
    tokenization, graph = (1e6 * np.array([run[i] for run in runs]) for i in (1, 2))
    for name, microseconds in (("tokenization", tokenization), ("graph", graph), ("both", tokenization + graph)):
        print(f"{name}: p50 {np.median(microseconds):.0f} us, p99 {np.quantile(microseconds, 0.99):.0f} us")
    return Answers(
        logits=np.stack([run[0] for run in runs]),
        classes=np.array([columns[name] for _, name in rows]),
        outliers=np.stack([run[0] for run in far]),
    )


def _report(name: str, raw: Answers, temperature: float, threshold: float, member_of: NDArray[np.bool_]) -> None:
    for t in (1.0, temperature):
        scaled = raw.over(t)
        energies = np.concatenate([t * logsumexp(rows, axis=1) for rows in (scaled.logits, scaled.outliers)])
        in_scope = np.arange(len(energies)) < len(scaled.logits)
        accuracy = (raw.logits.argmax(axis=1) == raw.classes).mean()
        nll = negative_log_likelihood(scaled.logits, raw.classes)
        ece = expected_calibration_error(scaled.logits, raw.classes)
        auroc = roc_auc_score(in_scope, energies)
        print(f"| {name}, T = {t:.5g} | {accuracy:.4f} | {nll:.4f} | {ece:.4f} | {auroc:.4f} |")
    within, beyond = (
        (route_confidence(rows, member_of) < threshold).mean() for rows in (scaled.logits, scaled.outliers)
    )
    print(f"{name}: fallback {within:.4f} in scope, {beyond:.4f} out of scope")


if __name__ == "__main__":
    main()
