"""
The shipped intent classifier, end to end.

Every test sentence goes over HTTP; the other side is plain onnxruntime, scipy and scikit-learn, and none of
softgate's code.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from tokenizers import Tokenizer

from servers import served
from shared_data import shared

MODEL = Path(__file__).parents[2] / "models" / "clinc150"
LABELS = (MODEL / "labels.txt").read_text().split()
ROWS_PER_REQUEST = 100

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """Rows in scope come first, then the out-of-scope ones."""

    probabilities: Floats
    energy: Floats
    fallback: NDArray[np.bool_]


@pytest.fixture(scope="module")
def test_rows() -> tuple[list[str], NDArray[np.intp], int]:
    """Texts, the classes of those in scope, and how many those are."""
    splits = json.loads(shared("data", "clinc150", "data_full.json").read_text())
    texts = [text for split in ("test", "oos_test") for text, _ in splits[split]]
    classes = np.array([LABELS.index(label) for _, label in splits["test"]])
    return texts, classes, len(classes)


@pytest.fixture(scope="module")
def online(test_rows: tuple[list[str], NDArray[np.intp], int]) -> Answers:
    texts, _, _ = test_rows
    predictions: list[dict[str, Any]] = []
    with served(MODEL) as server:
        for start in range(0, len(texts), ROWS_PER_REQUEST):
            answer = server.predict("clinc150", inputs=texts[start : start + ROWS_PER_REQUEST])
            assert answer.status_code == 200, answer.text
            predictions += answer.json()["predictions"]
    return Answers(
        np.array([[prediction["probabilities"][label] for label in LABELS] for prediction in predictions]),
        np.array([prediction["energy"] for prediction in predictions]),
        np.array([prediction["decision"]["action"] == "fallback" for prediction in predictions]),
    )


def offline_logits(texts: list[str]) -> Floats:
    """By plain onnxruntime, a row at a time."""
    session = onnxruntime.InferenceSession(MODEL / "1" / "model.onnx")
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    rows = [
        session.run(["logits"], {"input_ids": np.array([tokenizer.encode(text).ids], dtype=np.int64)})[0][0]
        for text in texts
    ]
    return np.array(rows, dtype=np.float64)


@pytest.fixture(scope="module")
def offline(test_rows: tuple[list[str], NDArray[np.intp], int]) -> tuple[Floats, float]:
    """Logits of the test rows, and the stored temperature."""
    return offline_logits(test_rows[0]), json.loads((MODEL / "1" / "calibration.json").read_text())["temperature"]


def ece15(confidence: Floats, correct: NDArray[np.bool_]) -> float:
    """Guo et al. (2017): 15 bins of equal width, each open below and closed above."""
    total = 0.0
    for low in range(15):
        inside = (confidence > low / 15) & (confidence <= (low + 1) / 15)
        if inside.any():
            total += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    return float(total)


def figures(probabilities: Floats, energy: Floats, classes: NDArray[np.intp]) -> dict[str, float]:
    n = len(classes)
    in_scope = probabilities[:n]
    predicted = in_scope.argmax(axis=1)
    return {
        "accuracy": accuracy_score(classes, predicted),
        "nll": log_loss(classes, in_scope, labels=range(len(LABELS))),
        "ece15": ece15(in_scope.max(axis=1), predicted == classes),
        "auroc": roc_auc_score(np.arange(len(energy)) < n, energy),
    }


def test_served_figures_equal_those_made_without_softgate(
    test_rows: tuple[list[str], NDArray[np.intp], int], online: Answers, offline: tuple[Floats, float]
) -> None:
    _, classes, _ = test_rows
    logits, temperature = offline

    over_http = figures(online.probabilities, online.energy, classes)
    alone = figures(
        softmax(logits / temperature, axis=1), temperature * logsumexp(logits / temperature, axis=1), classes
    )

    assert over_http == pytest.approx(alone, abs=1e-5)
    assert over_http["accuracy"] >= 0.935
    assert over_http["auroc"] >= 0.955
    assert over_http["ece15"] <= 0.020
    card = (MODEL / "README.md").read_text()
    for name, value in over_http.items():
        assert f"| {name} | {value:.4f} |" in card


def test_every_row_of_the_cards_table_is_what_the_files_give(
    test_rows: tuple[list[str], NDArray[np.intp], int], offline: tuple[Floats, float]
) -> None:
    splits = json.loads(shared("data", "clinc150", "data_full.json").read_text())
    val = offline_logits([text for split in ("val", "oos_val") for text, _ in splits[split]])
    val_classes = np.array([LABELS.index(label) for _, label in splits["val"]])
    logits, temperature = offline
    card = (MODEL / "README.md").read_text()

    for name, rows, classes in (("val", val, val_classes), ("test", logits, test_rows[1])):
        for t in (1.0, temperature):
            found = figures(softmax(rows / t, axis=1), t * logsumexp(rows / t, axis=1), classes)
            values = " | ".join(f"{found[key]:.4f}" for key in ("accuracy", "nll", "ece15", "auroc"))
            assert f"| {name}, T = {t:.5g} | {values} |" in card


def test_most_sentences_out_of_scope_fall_back_and_few_others(
    test_rows: tuple[list[str], NDArray[np.intp], int], online: Answers
) -> None:
    n = test_rows[2]

    assert online.fallback[n:].mean() >= 0.60
    assert online.fallback[:n].mean() <= 0.15
    card = (MODEL / "README.md").read_text()
    assert f"| fallback, out of scope | {online.fallback[n:].mean():.4f} |" in card
    assert f"| fallback, in scope | {online.fallback[:n].mean():.4f} |" in card


def test_the_probabilities_of_a_row_sum_to_one_and_are_sorted(online: Answers) -> None:
    with served(MODEL) as server:
        (prediction,) = server.predict("clinc150", inputs=["move 50 dollars to savings"]).json()["predictions"]

    probabilities = list(prediction["probabilities"].values())
    assert len(probabilities) == 150
    assert abs(sum(probabilities) - 1) <= 1e-6
    assert probabilities == sorted(probabilities, reverse=True)
    assert np.abs(online.probabilities.sum(axis=1) - 1).max() <= 1e-6


def test_the_model_is_small_and_calibrated_on_itself() -> None:
    assert (MODEL / "1" / "model.onnx").stat().st_size <= 12_000_000
    assert json.loads((MODEL / "1" / "calibration.json").read_text())["evidence"]["data"]["rows"] == 3000
