"""
The shipped digit classifier, end to end.

Every test image goes over HTTP; the other side is plain onnxruntime, scipy and scikit-learn, and none of softgate's
code. The data comes with scikit-learn.
"""

import io
import json
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

from pictures import encoded, in_base64
from servers import served

MODEL = Path(__file__).parents[2] / "models" / "digits"
CARD = (MODEL / "README.md").read_text()
THRESHOLD = 0.9
ROWS_PER_REQUEST = 100

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
    fallback: NDArray[np.bool_]


def split(place: int) -> Images:
    """Of every five images of a digit that one, in the data's order: 0 to test with, 1 to choose by."""
    data = load_digits()
    rows = np.sort(np.concatenate([np.flatnonzero(data.target == digit)[place::5] for digit in range(10)]))
    return Images(np.rint(data.images[rows] * 255 / 16).astype(np.uint8), data.target[rows])


@pytest.fixture(scope="module")
def images() -> Images:
    return split(0)


@pytest.fixture(scope="module")
def temperature() -> float:
    return float(json.loads((MODEL / "1" / "calibration.json").read_text())["temperature"])


@pytest.fixture(scope="module")
def online(images: Images) -> Answers:
    rows = [in_base64(encoded(pixels)) for pixels in images.pixels]
    predictions: list[dict[str, Any]] = []
    with served(MODEL) as server:
        for start in range(0, len(rows), ROWS_PER_REQUEST):
            answer = server.predict("digits", inputs=rows[start : start + ROWS_PER_REQUEST], logits=True)
            assert answer.status_code == 200, answer.text
            predictions += answer.json()["predictions"]
    return Answers(
        np.array([[prediction["probabilities"][str(digit)] for digit in range(10)] for prediction in predictions]),
        np.array([prediction["logits"] for prediction in predictions]),
        np.array([prediction["energy"] for prediction in predictions]),
        np.array([prediction["decision"]["action"] == "fallback" for prediction in predictions]),
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


def figures(probabilities: Floats, classes: NDArray[np.intp]) -> dict[str, float]:
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    return {
        "accuracy": accuracy_score(classes, predicted),
        "nll": log_loss(classes, probabilities, labels=range(10)),
        "ece15": ece15(confidence, predicted == classes),
        "fallback": float((confidence < THRESHOLD).mean()),
        "right, of those routed": float((predicted == classes)[confidence >= THRESHOLD].mean()),
    }


def test_served_numbers_equal_those_made_without_softgate(images: Images, online: Answers, temperature: float) -> None:
    logits = offline_logits(images.pixels)

    assert np.abs(online.logits - logits).max() <= 1e-4
    assert np.abs(online.probabilities - softmax(logits / temperature, axis=1)).max() <= 1e-5
    energy = temperature * logsumexp(logits / temperature, axis=1)
    assert online.energy == pytest.approx(energy, abs=1e-4)


def test_served_figures_equal_those_made_without_softgate(images: Images, online: Answers, temperature: float) -> None:
    over_http = figures(online.probabilities, images.classes)
    alone = figures(softmax(offline_logits(images.pixels) / temperature, axis=1), images.classes)

    assert over_http == pytest.approx(alone, abs=1e-5)
    assert over_http["accuracy"] >= 0.975
    assert online.fallback.mean() == over_http["fallback"]
    for name, value in over_http.items():
        assert f"| {name} | {value:.4f} |" in CARD


def test_every_row_of_the_cards_table_is_what_the_files_give(images: Images, temperature: float) -> None:
    for name, part in (("val", split(1)), ("test", images)):
        logits = offline_logits(part.pixels)
        for t in (1.0, temperature):
            values = " | ".join(f"{value:.4f}" for value in figures(softmax(logits / t, axis=1), part.classes).values())
            assert f"| {name}, T = {t:.5g} | {values} |" in CARD


def test_the_threshold_is_the_least_at_which_every_validation_image_routed_is_right(temperature: float) -> None:
    part = split(1)
    probabilities = softmax(offline_logits(part.pixels) / temperature, axis=1)
    right, confidence = probabilities.argmax(axis=1) == part.classes, probabilities.max(axis=1)

    steps = [step / 20 for step in range(10, 20)]
    assert next(step for step in steps if right[confidence >= step].all()) == THRESHOLD
    assert f"threshold = {THRESHOLD:g} " in (MODEL / "classifier.toml").read_text()


def test_what_is_unlike_the_data_goes_to_a_person(images: Images, temperature: float) -> None:
    black_on_white = softmax(offline_logits(255 - images.pixels) / temperature, axis=1).max()
    noise = np.random.default_rng(0).integers(0, 256, (200, 8, 8), np.uint8)
    blank = np.stack([np.zeros((8, 8), np.uint8), np.full((8, 8), 255, np.uint8)])

    assert f"in black on white have {black_on_white:.2f} at most" in CARD
    for pixels in (noise, blank):
        assert softmax(offline_logits(pixels) / temperature, axis=1).max() < THRESHOLD


def test_the_example_is_the_test_image_that_it_is_said_to_be(images: Images) -> None:
    with Image.open(io.BytesIO((MODEL / "digit.png").read_bytes())) as image:
        assert np.array_equal(np.asarray(image), images.pixels[3])


def test_the_model_is_small_and_calibrated_on_images_it_has_not_seen() -> None:
    assert (MODEL / "1" / "model.onnx").stat().st_size <= 500_000
    assert json.loads((MODEL / "1" / "calibration.json").read_text())["evidence"]["data"]["rows"] == len(
        split(1).classes
    )
    assert [len(split(place).classes) for place in range(2)] == [364, 362]
