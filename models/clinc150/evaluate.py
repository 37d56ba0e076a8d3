"""
Print the figures of the model card, measured through the shipped files, one row at a time.

    python models/clinc150/evaluate.py --data PATH/clinc150 [--test]

Temperature, shifts, gate and threshold are those of calibration.json, which was
fitted on the validation rows: of those only the figures without it are printed.
`--test` reads the test rows too, which nothing is chosen on.
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp, softmax
from sklearn.metrics import roc_auc_score
from tokenizers import Tokenizer

Rows = list[tuple[str, str]]
Floats = NDArray[np.float64]
Classes = NDArray[np.int64]
Truths = NDArray[np.bool_]


@dataclass(frozen=True)
class Answers:
    """Logits of rows in scope with their classes, and of rows out of scope."""

    logits: Floats
    classes: Classes
    outliers: Floats


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
    calibration = json.loads((arguments.model / "1" / "calibration.json").read_text(encoding="utf-8"))
    for split in ("val", "test") if arguments.test else ("val",):
        answers = _answers(classifier, splits[split], splits[f"oos_{split}"])
        _report(f"{split}, uncalibrated", answers, temperature=1.0, bias=np.zeros(len(classifier.labels)))
        if split == "test":
            temperature, bias = calibration["temperature"], np.array(calibration["bias"])
            _report("test, calibrated", answers, temperature=temperature, bias=bias)
            _report_decisions(answers, calibration, member_of)


def negative_log_likelihood(log_probabilities: Floats, classes: Classes) -> float:
    return float(-log_probabilities[np.arange(len(classes)), classes].mean())


def expected_calibration_error(confidence: Floats, correct: Truths, *, n_bins: int = 15) -> float:
    """Mean distance of accuracy and confidence over bins of equal width, weighted by their rows."""
    bins = np.ceil(confidence * n_bins).astype(int) - 1
    return float(np.abs(np.bincount(bins, correct - confidence, n_bins)).sum() / len(correct))


def debiased_calibration_error(confidence: Floats, correct: Truths, *, n_bins: int = 15) -> float:
    """Root of the mean square of that distance over bins of as many rows each, less what chance adds."""
    order, n = np.argsort(confidence, kind="stable"), len(confidence)
    square = 0.0
    for rows in np.split(order, np.arange(1, n_bins) * n // n_bins):
        accuracy = correct[rows].mean()
        gap = accuracy - confidence[rows].mean()
        square += len(rows) / n * (gap**2 - accuracy * (1 - accuracy) / (len(rows) - 1))
    return float(np.sqrt(max(square, 0)))


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


def _report(name: str, answers: Answers, *, temperature: float, bias: Floats) -> None:
    log_probabilities = log_softmax(answers.logits / temperature + bias, axis=1)
    confidence, correct = np.exp(log_probabilities.max(axis=1)), log_probabilities.argmax(axis=1) == answers.classes
    energies = np.concatenate([energy(logits, temperature) for logits in (answers.logits, answers.outliers)])
    values = (
        correct.mean(),
        negative_log_likelihood(log_probabilities, answers.classes),
        expected_calibration_error(confidence, correct),
        debiased_calibration_error(confidence, correct),
        roc_auc_score(np.arange(len(energies)) < len(answers.logits), energies),
    )
    print(f"| {name} | {' | '.join(f'{value:.4f}' for value in values)} |")


def energy(logits: Floats, temperature: float) -> Floats:
    scores: Floats = temperature * logsumexp(logits / temperature, axis=1)
    return scores


def _report_decisions(answers: Answers, calibration: dict[str, Any], member_of: Truths) -> None:
    """A row is routed where the gate lets it pass and the probabilities of one domain's labels add up to enough."""
    temperature, bias = calibration["temperature"], np.array(calibration["bias"])
    gate, threshold = calibration["gate"], calibration["thresholds"]["default"]
    logits = np.concatenate([answers.logits, answers.outliers])
    in_scope = np.arange(len(logits)) < len(answers.logits)
    by_domain = softmax(logits / temperature + bias, axis=1) @ member_of
    past = energy(logits, temperature) >= gate
    routed = past & (by_domain.max(axis=1) >= threshold)
    right = np.zeros(len(logits), dtype=bool)
    right[in_scope] = by_domain[in_scope].argmax(axis=1) == member_of.argmax(axis=1)[answers.classes]
    for name, value in (
        ("turned away, in scope", 1 - past[in_scope].mean()),
        ("turned away, out of scope", 1 - past[~in_scope].mean()),
        ("routed", routed.mean()),
        ("routed, in scope", routed[in_scope].mean()),
        ("routed, out of scope", routed[~in_scope].mean()),
        ("right, of those routed", right[routed].mean()),
        ("right, of those routed in scope", right[routed & in_scope].mean()),
    ):
        print(f"| {name} | {value:.4f} |")


if __name__ == "__main__":
    main()
