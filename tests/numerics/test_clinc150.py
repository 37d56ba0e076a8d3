"""What is known of three real classifiers: the fits and the sets must give the same figures again."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax as scipy_softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from shared_data import clinc_logits
from softgate.numerics.activations import softmax
from softgate.numerics.conformal import mass_before, prediction_sets
from softgate.numerics.scores import expected_calibration_error, negative_log_likelihood
from softgate.numerics.temperature import apply_temperature, fit_robust_temperature, fit_temperature

CLINC = ["tfidf_svc", "minilm_lr", "minilm_mlp"]


def calibration_error(logits: NDArray[Any], targets: NDArray[Any], temperature: float) -> float:
    probabilities = scipy_softmax(logits / temperature, axis=1)
    return expected_calibration_error(
        probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1) == targets
    )


def logits_as_they_are(n_classes: int) -> LogisticRegression:
    """A fitted classifier, to scikit-learn, whose rows are their own logits."""
    classifier = LogisticRegression()
    classifier.classes_ = np.arange(n_classes)
    classifier.coef_, classifier.intercept_ = np.eye(n_classes), np.zeros(n_classes)
    return classifier


@pytest.mark.parametrize("model", CLINC)
def test_fit_agrees_with_scikit_learn(model: str) -> None:
    data = clinc_logits(model)
    logits, targets = data["val"].astype(np.float64), data["y_val"]

    oracle = CalibratedClassifierCV(FrozenEstimator(logits_as_they_are(150)), method="temperature").fit(logits, targets)
    expected = 1 / oracle.calibrated_classifiers_[0].calibrators[0].beta_

    assert abs(fit_temperature(data["val"], targets).temperature - expected) < 1e-6


@pytest.mark.parametrize(
    ("model", "temperature", "losses", "errors"),
    [
        # Known figures of these logits: T on val; likelihood and ECE on test, at T = 1 and at T.
        ("tfidf_svc", 0.154, (3.078, 0.340), (0.8735, 0.0254)),
        ("minilm_lr", 0.692, (0.1992, 0.1626), (0.0516, 0.0050)),
        ("minilm_mlp", 1.809, (0.2602, 0.2067), (0.0278, 0.0091)),
    ],
)
def test_fit_meets_the_known_figures_of_clinc150(
    model: str, temperature: float, losses: tuple[float, float], errors: tuple[float, float]
) -> None:
    data = clinc_logits(model)

    fit = fit_temperature(data["val"], data["y_val"])

    assert fit.temperature == pytest.approx(temperature, abs=5e-4)
    for t, loss, error in zip((1.0, fit.temperature), losses, errors, strict=True):
        probabilities = softmax(apply_temperature(data["test"], t))
        assert negative_log_likelihood(probabilities, data["y_test"]) == pytest.approx(loss, abs=5e-4)
        assert calibration_error(data["test"], data["y_test"], t) == pytest.approx(error, abs=1e-4)


@pytest.mark.parametrize("model", CLINC)
def test_robust_fit_costs_little_on_clean_data(model: str) -> None:
    data = clinc_logits(model)

    robust, plain = (fit(data["val"], data["y_val"]) for fit in (fit_robust_temperature, fit_temperature))

    assert robust.temperature == pytest.approx(plain.temperature, rel=0.05)
    assert robust.noise < 0.005
    assert robust.loss <= plain.loss


@pytest.mark.parametrize("model", ["minilm_lr", "minilm_mlp"])
def test_robust_fit_withstands_5_percent_of_random_labels(model: str) -> None:
    data = clinc_logits(model)
    rng = np.random.default_rng(0)
    n_rows = len(data["y_val"])
    noisy = np.where(rng.random(n_rows) < 0.05, rng.integers(0, 150, n_rows), data["y_val"])

    robust, plain = (fit(data["val"], noisy) for fit in (fit_robust_temperature, fit_temperature))

    assert robust.noise == pytest.approx(0.05, abs=0.01)
    assert calibration_error(data["test"], data["y_test"], robust.temperature) <= 0.015
    assert calibration_error(data["test"], data["y_test"], plain.temperature) > 0.05


def test_sets_cover_the_truth_on_clinc150() -> None:
    data = clinc_logits("minilm_lr")
    temperature = fit_temperature(data["val"], data["y_val"]).temperature
    val, test = (softmax(apply_temperature(data[split], temperature)) for split in ("val", "test"))
    scores = mass_before(val)[np.arange(len(val)), data["y_val"]]
    # 99 %, as a rank: the ceil(3001 * 0.99)-th smallest of 3000 scores.
    quantile = np.sort(scores)[int(np.ceil(3001 * 0.99)) - 1]

    sets = prediction_sets(test, quantile)

    # Measured when the method was chosen: coverage 0.990 with 1.56 labels a set.
    assert sets[np.arange(len(test)), data["y_test"]].mean() == pytest.approx(0.990, abs=0.001)
    assert sets.sum(axis=1).mean() == pytest.approx(1.56, abs=0.01)
