"""
The shipped digit classifier, end to end.

Every test image goes over HTTP; the other side is plain onnxruntime, scipy and scikit-learn, and none of softgate's
code. The data comes with scikit-learn.
"""

import io
import json
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.special import logsumexp, softmax
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, log_loss

from pictures import encoded
from servers import served
from softgate.client import Client

MODEL = Path(__file__).parents[2] / "models" / "digits"
CARD = (MODEL / "README.md").read_text()

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Images:
    pixels: NDArray[np.uint8]
    classes: NDArray[np.intp]


@dataclass(frozen=True)
class Answers:
    probabilities: Floats
    logits: Floats
    energy: Floats
    action: NDArray[np.str_]


@dataclass(frozen=True)
class Calibration:
    temperature: float
    gate: float
    threshold: float
    evidence: dict[str, Any]

    def probabilities(self, logits: Floats) -> Floats:
        found: Floats = softmax(logits / self.temperature, axis=1)
        return found

    def energy(self, logits: Floats) -> Floats:
        found: Floats = self.temperature * logsumexp(logits / self.temperature, axis=1)
        return found

    def action(self, logits: Floats) -> NDArray[np.str_]:
        sure = self.probabilities(logits).max(axis=1) >= self.threshold
        found: NDArray[np.str_] = np.where(
            self.energy(logits) < self.gate, "abstain", np.where(sure, "route", "fallback")
        )
        return found


def split(place: int) -> Images:
    """Of every five images of a digit that one, in the data's order: 0 to test with, 1 to choose by."""
    data = load_digits()
    rows = np.sort(np.concatenate([np.flatnonzero(data.target == digit)[place::5] for digit in range(10)]))
    return Images(np.rint(data.images[rows] * 255 / 16).astype(np.uint8), data.target[rows])


@pytest.fixture(scope="module")
def images() -> Images:
    return split(0)


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    read = json.loads((MODEL / "1" / "calibration.json").read_text())
    # At 0 a prediction set is the most probable label alone, and nothing is asked back.
    assert (read["set_quantile"], read.get("bias")) == (0, None)
    return Calibration(read["temperature"], read["gate"], read["thresholds"]["default"], read["evidence"])


@pytest.fixture(scope="module")
def online(images: Images) -> Answers:
    with served(MODEL) as server, Client(server.url, model="digits") as client:
        predictions = list(client.predict_many(map(encoded, images.pixels), logits=True))
    return Answers(
        np.array([[prediction.probabilities[str(digit)] for digit in range(10)] for prediction in predictions]),
        np.array([prediction.logits for prediction in predictions]),
        np.array([prediction.energy for prediction in predictions]),
        np.array([prediction.decision.action for prediction in predictions]),
    )


def offline_logits(pixels: NDArray[np.uint8]) -> Floats:
    """By plain onnxruntime, a row at a time."""
    session = onnxruntime.InferenceSession(MODEL / "1" / "model.onnx")
    rows = [
        session.run(["logits"], {"pixels": (image * (16 / 255)).astype(np.float32)[None, None]})[0][0]
        for image in pixels
    ]
    return np.array(rows, dtype=np.float64)


def ece15(confidence: Floats, correct: NDArray[np.bool_]) -> float:
    """Guo et al. (2017): 15 bins of equal width, each open below and closed above."""
    total = 0.0
    for low in range(15):
        inside = (confidence > low / 15) & (confidence <= (low + 1) / 15)
        if inside.any():
            total += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    return float(total)


def figures(probabilities: Floats, action: NDArray[np.str_], classes: NDArray[np.intp]) -> dict[str, float]:
    predicted, confidence, routed = probabilities.argmax(axis=1), probabilities.max(axis=1), action == "route"
    return {
        "accuracy": accuracy_score(classes, predicted),
        "nll": log_loss(classes, probabilities, labels=range(10)),
        "ece15": ece15(confidence, predicted == classes),
        "turned away": (action == "abstain").mean(),
        "routed": routed.mean(),
        "right, of those routed": (predicted == classes)[routed].mean(),
    }


def test_served_numbers_equal_those_made_without_softgate(
    images: Images, online: Answers, calibration: Calibration
) -> None:
    logits = offline_logits(images.pixels)

    assert np.abs(online.logits - logits).max() <= 1e-4
    assert np.abs(online.probabilities - calibration.probabilities(logits)).max() <= 1e-5
    assert online.energy == pytest.approx(calibration.energy(logits), abs=1e-4)
    # The engine rounds a batch otherwise than a row: one this close to the gate may fall to either side.
    clear = np.abs(calibration.energy(logits) - calibration.gate) > 1e-3
    assert clear.mean() > 0.99
    assert (online.action == calibration.action(logits))[clear].all()


def test_served_figures_equal_those_made_without_softgate(
    images: Images, online: Answers, calibration: Calibration
) -> None:
    logits = offline_logits(images.pixels)

    over_http = figures(online.probabilities, online.action, images.classes)
    alone = figures(calibration.probabilities(logits), calibration.action(logits), images.classes)

    assert over_http == pytest.approx(alone, abs=1e-5)
    assert over_http["accuracy"] >= 0.975
    for name, value in over_http.items():
        assert f"| {name} | {value:.4f} |" in CARD


def test_every_row_of_the_cards_table_is_what_the_files_give(images: Images, calibration: Calibration) -> None:
    for name, part in (("val", split(1)), ("test", images)):
        logits = offline_logits(part.pixels)
        found = list(figures(calibration.probabilities(logits), calibration.action(logits), part.classes).values())
        assert f"| {name} | {' | '.join(f'{value:.4f}' for value in found)} |" in CARD


def test_the_promise_is_in_the_card_with_what_was_seen_when_it_was_made(calibration: Calibration) -> None:
    promise = calibration.evidence["promises"]["default"]
    routing = tomllib.loads((MODEL / "classifier.toml").read_text())["routing"]

    assert "threshold" not in routing
    assert (promise["precision"], promise["risk"]) == (routing["precision"], routing["risk"]) == (0.95, 0.1)
    assert promise["lower_bound"] >= promise["precision"]
    assert f"T = {calibration.temperature:.4f}" in CARD
    assert f"threshold {calibration.threshold:.4f}, gate {calibration.gate:.4f}" in CARD
    assert f"{promise['errors']} errors among {promise['accepted']} routed images" in CARD
    assert f"routes {promise['held_out']['coverage']:.4f} of the images" in CARD
    assert f"{promise['held_out']['precision']:.4f} of these right" in CARD
    assert f"\n    {calibration.evidence['command']}\n" in CARD


def test_the_script_writes_the_images_that_were_calibrated_on(tmp_path: Path, calibration: Calibration) -> None:
    folder, part = tmp_path / "val", split(1)

    subprocess.run([sys.executable, MODEL / "split.py", "--split", "val", "--output", folder], check=True)

    # Pixels, as the bytes of a PNG are those of a version of zlib.
    written = {path.name: path for path in folder.glob("*/*.png")}
    assert len(written) == calibration.evidence["data"]["rows"] == len(part.classes)
    for name, pixels, digit in zip(sorted(written), part.pixels, part.classes.tolist(), strict=True):
        with Image.open(written[name]) as image:
            assert np.array_equal(np.asarray(image), pixels)
        assert written[name].parent.name == str(digit)


def test_what_is_unlike_the_data_is_turned_away(images: Images, calibration: Calibration) -> None:
    black_on_white = offline_logits(255 - images.pixels)
    noise = np.random.default_rng(0).integers(0, 256, (200, 8, 8), np.uint8)
    blank = np.stack([np.zeros((8, 8), np.uint8), np.full((8, 8), 255, np.uint8)])

    assert f"{calibration.energy(black_on_white).max():.2f} at most" in CARD
    for logits in (black_on_white, offline_logits(noise), offline_logits(blank)):
        assert (calibration.action(logits) == "abstain").all()


def test_the_example_is_the_test_image_that_it_is_said_to_be(images: Images) -> None:
    with Image.open(io.BytesIO((MODEL / "digit.png").read_bytes())) as image:
        assert np.array_equal(np.asarray(image), images.pixels[3])


def test_the_model_is_small_and_calibrated_on_images_it_has_not_seen() -> None:
    assert (MODEL / "1" / "model.onnx").stat().st_size <= 500_000
    assert json.loads((MODEL / "1" / "calibration.json").read_text())["evidence"]["data"]["rows"] == len(
        split(1).classes
    )
    assert [len(split(place).classes) for place in range(2)] == [364, 362]
