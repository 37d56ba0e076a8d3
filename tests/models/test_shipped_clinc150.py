"""
The shipped intent classifier, end to end.

Every test sentence goes over HTTP; the other side is plain onnxruntime, scipy and scikit-learn, and none of
softgate's code.
"""

import json
import tomllib
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
from softgate.client import Client

MODEL = Path(__file__).parents[2] / "models" / "clinc150"
LABELS = (MODEL / "labels.txt").read_text().split()
ROUTES = np.array(
    [tomllib.loads((MODEL / "classifier.toml").read_text())["routing"]["routes"][label] for label in LABELS]
)
CARD = (MODEL / "README.md").read_text()

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """Rows in scope come first, then the out-of-scope ones."""

    probabilities: Floats
    energy: Floats
    action: NDArray[np.str_]
    target: NDArray[np.str_]


@dataclass(frozen=True)
class Calibration:
    temperature: float
    bias: Floats
    gate: float
    threshold: float
    evidence: dict[str, Any]

    def probabilities(self, logits: Floats) -> Floats:
        found: Floats = softmax(logits / self.temperature + self.bias, axis=1)
        return found

    def energy(self, logits: Floats) -> Floats:
        """Without the shifts: how familiar a row is does not depend on which classes are frequent."""
        found: Floats = self.temperature * logsumexp(logits / self.temperature, axis=1)
        return found


UNCALIBRATED = Calibration(1.0, np.zeros(len(LABELS)), -np.inf, np.nan, {})


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    read = json.loads((MODEL / "1" / "calibration.json").read_text())
    # At 0 a prediction set is the most probable label alone, and nothing is asked back.
    assert read["set_quantile"] == 0
    return Calibration(
        read["temperature"], np.array(read["bias"]), read["gate"], read["thresholds"]["default"], read["evidence"]
    )


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
    with served(MODEL) as server, Client(server.url, model="clinc150") as client:
        predictions = list(client.predict_many(texts))
    return Answers(
        np.array([[prediction.probabilities[label] for label in LABELS] for prediction in predictions]),
        np.array([prediction.energy for prediction in predictions]),
        np.array([prediction.decision.action for prediction in predictions]),
        np.array([prediction.decision.target for prediction in predictions]),
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
def offline(test_rows: tuple[list[str], NDArray[np.intp], int]) -> Floats:
    """Logits of the test rows."""
    return offline_logits(test_rows[0])


def ece15(confidence: Floats, correct: NDArray[np.bool_]) -> float:
    """Guo et al. (2017): 15 bins of equal width, each open below and closed above."""
    total = 0.0
    for low in range(15):
        inside = (confidence > low / 15) & (confidence <= (low + 1) / 15)
        if inside.any():
            total += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    return float(total)


def l2(confidence: Floats, correct: NDArray[np.bool_]) -> float:
    """Kumar et al. (2019): root of the mean square of that gap over 15 bins of as many rows, less what chance adds."""
    order, n, square = np.argsort(confidence, kind="stable"), len(confidence), 0.0
    for rows in np.split(order, np.arange(1, 15) * n // 15):
        accuracy = correct[rows].mean()
        gap = accuracy - confidence[rows].mean()
        square += len(rows) / n * (gap**2 - accuracy * (1 - accuracy) / (len(rows) - 1))
    return float(np.sqrt(max(square, 0)))


def figures(probabilities: Floats, energy: Floats, classes: NDArray[np.intp]) -> dict[str, float]:
    n = len(classes)
    in_scope = probabilities[:n]
    predicted, confidence = in_scope.argmax(axis=1), in_scope.max(axis=1)
    return {
        "accuracy": accuracy_score(classes, predicted),
        "nll": log_loss(classes, in_scope, labels=range(len(LABELS))),
        "ece15": ece15(confidence, predicted == classes),
        "l2": l2(confidence, predicted == classes),
        "auroc": roc_auc_score(np.arange(len(energy)) < n, energy),
    }


def shares(action: NDArray[np.str_], target: NDArray[np.str_], classes: NDArray[np.intp]) -> dict[str, float]:
    """How the rows are decided; those out of scope come last, and to route one is an error."""
    n, routed = len(classes), action == "route"
    right = np.zeros(len(action), dtype=bool)
    right[:n] = target[:n] == ROUTES[classes]
    return {
        "turned away, in scope": (action == "abstain")[:n].mean(),
        "turned away, out of scope": (action == "abstain")[n:].mean(),
        "routed": routed.mean(),
        "routed, in scope": routed[:n].mean(),
        "routed, out of scope": routed[n:].mean(),
        "right, of those routed": right[routed].mean(),
        "right, of those routed in scope": right[:n][routed[:n]].mean(),
    }


def row(name: str, values: dict[str, float]) -> str:
    return f"| {name} | {' | '.join(f'{value:.4f}' for value in values.values())} |"


def test_served_figures_equal_those_made_without_softgate(
    test_rows: tuple[list[str], NDArray[np.intp], int], online: Answers, offline: Floats, calibration: Calibration
) -> None:
    _, classes, _ = test_rows

    over_http = figures(online.probabilities, online.energy, classes)
    alone = figures(calibration.probabilities(offline), calibration.energy(offline), classes)

    assert np.abs(online.probabilities - calibration.probabilities(offline)).max() <= 1e-4
    assert over_http == pytest.approx(alone, abs=1e-5)
    assert over_http["accuracy"] >= 0.935
    assert over_http["auroc"] >= 0.955
    assert over_http["ece15"] <= 0.020
    assert row("test, calibrated", over_http) in CARD


def test_every_row_of_the_cards_table_is_what_the_files_give(
    test_rows: tuple[list[str], NDArray[np.intp], int], offline: Floats, calibration: Calibration
) -> None:
    splits = json.loads(shared("data", "clinc150", "data_full.json").read_text())
    val = offline_logits([text for split in ("val", "oos_val") for text, _ in splits[split]])
    val_classes = np.array([LABELS.index(label) for _, label in splits["val"]])

    for name, logits, classes in (("val", val, val_classes), ("test", offline, test_rows[1])):
        found = figures(UNCALIBRATED.probabilities(logits), UNCALIBRATED.energy(logits), classes)
        assert row(f"{name}, uncalibrated", found) in CARD
    held_out = calibration.evidence["quality"]["after"] | calibration.evidence["gate"]
    names = ("accuracy", "nll", "ece15", "l2_debiased", "auroc")
    assert row("val, calibrated", {name: held_out[name] for name in names}) in CARD


def test_every_row_is_decided_as_offline_and_as_the_card_says(
    test_rows: tuple[list[str], NDArray[np.intp], int], online: Answers, offline: Floats, calibration: Calibration
) -> None:
    domains = np.unique(ROUTES)
    by_domain = calibration.probabilities(offline) @ (ROUTES[:, None] == domains)
    familiar, sure = calibration.energy(offline) - calibration.gate, by_domain.max(axis=1) - calibration.threshold
    action = np.where(familiar < 0, "abstain", np.where(sure >= 0, "route", "fallback"))
    target = np.where(action == "route", domains[by_domain.argmax(axis=1)], "human")

    # The two engines round differently: a row this close to a limit may fall to either side.
    clear = (np.abs(familiar) > 1e-4) & (np.abs(sure) > 1e-5)
    assert clear.mean() > 0.999
    assert (online.action == action)[clear].all()
    assert (online.target == target)[clear].all()
    for name, value in shares(online.action, online.target, test_rows[1]).items():
        assert f"| {name} | {value:.4f} |" in CARD


def test_the_promise_is_in_the_card_with_what_was_seen_when_it_was_made(calibration: Calibration) -> None:
    promise = calibration.evidence["promises"]["default"]
    routing = tomllib.loads((MODEL / "classifier.toml").read_text())["routing"]

    assert "threshold" not in routing
    assert (promise["precision"], promise["risk"]) == (routing["precision"], routing["risk"]) == (0.95, 0.1)
    assert promise["lower_bound"] >= promise["precision"]
    assert f"T = {calibration.temperature:.4f}" in CARD
    assert f"threshold {calibration.threshold:.4f}, gate {calibration.gate:.4f}" in CARD
    assert f"{promise['errors']} errors among {promise['accepted']} routed rows" in CARD
    assert f"routes {promise['held_out']['coverage']:.4f} of the rows" in CARD
    assert f"{promise['held_out']['precision']:.4f} of these to the right domain" in CARD
    assert f"{calibration.bias.min():.2f} to {calibration.bias.max():.2f}" in CARD


def test_the_command_in_the_file_is_the_cards(calibration: Calibration) -> None:
    assert f"\n    {calibration.evidence['command']}\n" in CARD


def test_the_probabilities_of_a_row_sum_to_one_and_are_sorted(online: Answers) -> None:
    with served(MODEL) as server:
        (prediction,) = server.predict("clinc150", inputs=["move 50 dollars to savings"]).json()["predictions"]

    probabilities = list(prediction["probabilities"].values())
    assert len(probabilities) == 150
    assert abs(sum(probabilities) - 1) <= 1e-6
    assert probabilities == sorted(probabilities, reverse=True)
    assert np.abs(online.probabilities.sum(axis=1) - 1).max() <= 1e-6


def test_the_model_is_small_and_calibrated_on_rows_out_of_scope_too() -> None:
    assert (MODEL / "1" / "model.onnx").stat().st_size <= 12_000_000
    data = json.loads((MODEL / "1" / "calibration.json").read_text())["evidence"]["data"]
    assert (data["in_scope"], data["out_of_scope"]) == (3000, 100)
