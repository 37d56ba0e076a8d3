"""What is known of three real classifiers: the fits and the sets must give the same figures again."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from mapie.classification import SplitConformalClassifier
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from scipy.special import softmax as scipy_softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from shared_data import clinc_logits
from softgate.numerics.activations import softmax
from softgate.numerics.confidence import energy, max_probability
from softgate.numerics.conformal import (
    conformal_quantile,
    least_ambiguous,
    mass_before,
    prediction_set_quantile,
    prediction_sets,
)
from softgate.numerics.out_of_scope import area_under_roc, energy_gate, out_of_scope_gate
from softgate.numerics.reliability import (
    debiased_calibration_error,
    equal_mass_calibration_error,
    expected_calibration_error,
    null_band,
    p_value,
)
from softgate.numerics.scores import negative_log_likelihood
from softgate.numerics.selective import area_under_risk_coverage, coverage_at_precision
from softgate.numerics.temperature import apply_temperature, fit_robust_temperature, fit_temperature

CLINC = ["tfidf_svc", "minilm_lr", "minilm_mlp"]


class Known(NamedTuple):
    """Printed figures: T fitted on val, the rest of test; pairs are at T = 1 and at T, the rest at T."""

    model: str
    temperature: str
    accuracy: str
    losses: tuple[str, str]
    errors: tuple[str, str]
    """Expected calibration error, in per cent."""
    equal_mass: str
    """The same over bins of equal mass."""
    areas: tuple[str, str]
    """Under the risk-coverage curve, in thousandths."""
    coverages: tuple[str, str, str]
    """At a precision of 0.95, 0.98 and 0.99."""


KNOWN = [
    Known(
        model="tfidf_svc",
        temperature="0.154",
        accuracy="0.9284",
        losses=("3.078", "0.340"),
        errors=("87.35", "2.54"),
        equal_mass="2.35",
        areas=("12.55", "9.93"),
        coverages=("0.962", "0.862", "0.752"),
    ),
    Known(
        model="minilm_lr",
        temperature="0.692",
        accuracy="0.9547",
        losses=("0.1992", "0.1626"),
        errors=("5.16", "0.50"),
        equal_mass="0.49",
        areas=("4.63", "4.34"),
        coverages=("1.0", "0.942", "0.891"),
    ),
    Known(
        model="minilm_mlp",
        temperature="1.809",
        accuracy="0.9456",
        losses=("0.2602", "0.2067"),
        errors=("2.78", "0.91"),
        equal_mass="1.27",
        areas=("6.49", "6.70"),
        coverages=("0.993", "0.917", "0.830"),
    ),
]


class Pool(NamedTuple):
    """All in-scope rows of a model, to be split again and again: probabilities at T, targets, energy at T."""

    probabilities: NDArray[np.float64]
    targets: NDArray[np.intp]
    energy: NDArray[np.float64]


class Sets(NamedTuple):
    """Means over the splits."""

    coverage: float
    size: float
    empty: float


@cache
def pool(model: str) -> Pool:
    data = clinc_logits(model)
    temperature = fit_temperature(data["val"], data["y_val"]).temperature
    logits = np.concatenate([data["val"], data["test"]])
    targets = np.concatenate([data["y_val"], data["y_test"]])
    return Pool(softmax(apply_temperature(logits, temperature)), targets, energy(logits, temperature))


def resplits(n_rows: int, *, n_calibration: int = 3000) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    rng = np.random.default_rng(0)
    orders = (rng.permutation(n_rows) for _ in range(200))
    return [(order[:n_calibration], order[n_calibration:]) for order in orders]


def sets_over_resplits(model: str, scores: NDArray[np.float64], coverage: float, *, with_first: bool = False) -> Sets:
    """Sets of a score that is given for every row and class; `with_first` puts the most probable class into each."""
    probabilities, targets, _ = pool(model)
    own = np.take_along_axis(scores, targets[:, None], axis=1)[:, 0]
    first = probabilities.argmax(axis=1)
    found = []
    for calibration, test in resplits(len(targets)):
        inside = scores[test] <= conformal_quantile(own[calibration], coverage=coverage)
        rows = np.arange(len(test))
        inside[rows, first[test]] |= with_first
        sizes = inside.sum(axis=1)
        found.append((inside[rows, targets[test]].mean(), sizes.mean(), np.mean(sizes == 0)))
    return Sets(*np.mean(found, axis=0).tolist())


def agrees(value: float, printed: str) -> bool:
    return f"{value:.{len(printed.partition('.')[2])}f}" == printed


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


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.model)
def test_figures_of_clinc150_to_the_printed_digit(known: Known) -> None:
    data = clinc_logits(known.model)

    fitted = fit_temperature(data["val"], data["y_val"]).temperature

    assert agrees(fitted, known.temperature)
    for t, loss, error, known_area in zip((1.0, fitted), known.losses, known.errors, known.areas, strict=True):
        probabilities = softmax(apply_temperature(data["test"], t))
        confidence, correct = max_probability(probabilities), probabilities.argmax(axis=1) == data["y_test"]
        assert agrees(correct.mean(), known.accuracy)
        assert agrees(negative_log_likelihood(probabilities, data["y_test"]), loss)
        assert agrees(100 * expected_calibration_error(confidence, correct), error)
        # Printed of float32, in which half of minilm_mlp's rows tie near 1 at T = 1: in float64 its 6.49 is 6.50.
        narrow = scipy_softmax(data["test"] / np.float32(t), axis=1).max(axis=1)
        assert agrees(1000 * area_under_risk_coverage(narrow, correct), known_area)
        assert 1000 * area_under_risk_coverage(confidence, correct) == pytest.approx(float(known_area), abs=0.008)
    assert agrees(100 * equal_mass_calibration_error(confidence, correct), known.equal_mass)
    for precision, coverage in zip((0.95, 0.98, 0.99), known.coverages, strict=True):
        assert agrees(coverage_at_precision(confidence, correct, precision), coverage)


@pytest.mark.parametrize("model", CLINC)
def test_robust_fit_costs_little_on_clean_data(model: str) -> None:
    data = clinc_logits(model)

    robust, plain = (fit(data["val"], data["y_val"]) for fit in (fit_robust_temperature, fit_temperature))

    assert robust.temperature == pytest.approx(plain.temperature, rel=0.05)
    assert robust.noise < 0.005
    assert robust.loss <= plain.loss


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("model", ["minilm_lr", "minilm_mlp"])
def test_robust_fit_withstands_5_percent_of_random_labels(model: str, seed: int) -> None:
    data = clinc_logits(model)
    rng = np.random.default_rng(seed)
    n_rows = len(data["y_val"])
    noisy = np.where(rng.random(n_rows) < 0.05, rng.integers(0, 150, n_rows), data["y_val"])

    robust, plain = (fit(data["val"], noisy) for fit in (fit_robust_temperature, fit_temperature))

    assert robust.noise == pytest.approx(0.05, abs=0.01)
    assert calibration_error(data["test"], data["y_test"], robust.temperature) <= 0.015
    assert calibration_error(data["test"], data["y_test"], plain.temperature) > 0.05


@pytest.mark.parametrize(
    ("model", "by_plain", "by_debiased"),
    # Known: only the debiased error sees that minilm_mlp is off; tfidf_svc is off by any; minilm_lr by none.
    [("tfidf_svc", False, False), ("minilm_lr", True, True), ("minilm_mlp", True, False)],
)
def test_null_band_tells_who_is_calibrated(model: str, by_plain: bool, by_debiased: bool) -> None:
    data = clinc_logits(model)
    temperature = fit_temperature(data["val"], data["y_val"]).temperature
    probabilities = softmax(apply_temperature(data["test"], temperature))
    confidence, correct = max_probability(probabilities), probabilities.argmax(axis=1) == data["y_test"]

    plain, debiased = (
        p_value(error(confidence, correct), null_band(confidence, error))
        for error in (expected_calibration_error, debiased_calibration_error)
    )

    assert (plain > 0.05) == by_plain
    assert (debiased > 0.05) == by_debiased


@pytest.mark.parametrize("model", CLINC)
def test_lac_agrees_with_mapie(model: str) -> None:
    data = clinc_logits(model)
    temperature = fit_temperature(data["val"], data["y_val"]).temperature
    val, test = (apply_temperature(data[split], temperature) for split in ("val", "test"))
    levels = [0.9, 0.95, 0.99]

    oracle = SplitConformalClassifier(logits_as_they_are(150), confidence_level=levels, conformity_score="lac")
    oracle.conformalize(val, data["y_val"])
    _, expected = oracle.predict_set(test)

    expected_quantiles = oracle._mapie_classifier.conformity_score_function_.quantiles_
    for i, level in enumerate(levels):
        quantile = prediction_set_quantile(softmax(val), data["y_val"], coverage=level, score=least_ambiguous)
        sets = prediction_sets(softmax(test), quantile, score=least_ambiguous)
        assert quantile == pytest.approx(expected_quantiles[i], rel=1e-12)
        # MAPIE lets in what is within 1e-8 of the quantile.
        apart = sets != expected[:, :, i]
        assert np.abs(least_ambiguous(softmax(test))[apart] - quantile).max(initial=0.0) <= 1e-8


def test_topp_sets_meet_the_known_figures_of_clinc150() -> None:
    data = clinc_logits("minilm_lr")
    temperature = fit_temperature(data["val"], data["y_val"]).temperature
    val, test = (softmax(apply_temperature(data[split], temperature)) for split in ("val", "test"))

    quantile = prediction_set_quantile(val, data["y_val"], coverage=0.99)
    sets = prediction_sets(test, quantile)

    # Measured when the method was chosen: coverage 0.990 with 1.56 labels a set.
    assert sets[np.arange(len(test)), data["y_test"]].mean() == pytest.approx(0.990, abs=0.001)
    assert sets.sum(axis=1).mean() == pytest.approx(1.56, abs=0.01)
    # Row after row, alone or among others, the same set.
    assert_array_equal(prediction_sets(np.tile(test[:1], (1000, 1)), quantile), np.tile(sets[:1], (1000, 1)))
    assert_array_equal(prediction_sets(test[:1], quantile), sets[:1])


@pytest.mark.parametrize(
    ("model", "coverage", "largest_mean"),
    [
        ("tfidf_svc", 0.95, 1.45),
        ("tfidf_svc", 0.99, 14.0),
        ("minilm_lr", 0.95, 1.05),
        ("minilm_lr", 0.99, 2.0),
        ("minilm_mlp", 0.95, 1.1),
        ("minilm_mlp", 0.99, 5.5),
    ],
)
def test_topp_covers_and_stays_small_over_200_resplits(model: str, coverage: float, largest_mean: float) -> None:
    sets = sets_over_resplits(model, mass_before(pool(model).probabilities), coverage)

    assert sets.coverage >= coverage - 0.003
    assert sets.size <= largest_mean
    assert sets.empty == 0


@pytest.mark.parametrize("coverage", [0.95, 0.99])
@pytest.mark.parametrize("model", ["tfidf_svc", "minilm_lr"])
def test_aps_gives_larger_sets_than_topp_or_varying_and_empty_ones(model: str, coverage: float) -> None:
    probabilities = pool(model).probabilities
    before = mass_before(probabilities)
    share = np.random.default_rng(1).random((len(before), 1))

    topp = sets_over_resplits(model, before, coverage)
    # Adaptive prediction sets: the mass up to and with the class, and the same less a random share of the class.
    forced = sets_over_resplits(model, np.minimum(before + probabilities, 1), coverage, with_first=True)
    randomised = sets_over_resplits(model, np.minimum(before + share * probabilities, 1), coverage)

    assert forced.coverage > 0.999
    assert forced.size > 10 * topp.size
    assert randomised.size > 1.45 * topp.size
    assert randomised.empty > 0.002


@pytest.mark.parametrize("coverage", [0.95, 0.99])
@pytest.mark.parametrize("model", ["tfidf_svc", "minilm_lr"])
def test_lac_sets_are_smaller_than_those_of_topp_and_may_be_empty(model: str, coverage: float) -> None:
    probabilities = pool(model).probabilities

    topp = sets_over_resplits(model, mass_before(probabilities), coverage)
    lac = sets_over_resplits(model, least_ambiguous(probabilities), coverage)

    assert lac.coverage >= coverage - 0.003
    assert lac.size < topp.size
    assert (lac.empty > 0) == (coverage == 0.95)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.1])
@pytest.mark.parametrize("model", ["tfidf_svc", "minilm_lr"])
def test_gate_turns_away_no_more_than_its_share_over_200_resplits(model: str, share: float) -> None:
    energies = pool(model).energy
    gates = [(energy_gate(energies[calibration], share=share), test) for calibration, test in resplits(len(energies))]

    rejected = np.mean([np.mean(energies[test] < gate) for gate, test in gates])
    familiar_rejected = np.mean([np.mean(-energies[test] < gate) for gate, test in gates])

    assert share - 0.003 <= rejected <= share + 0.003
    # With the sign of the energy turned, the promise is broken.
    assert familiar_rejected > share + 0.003


@pytest.mark.parametrize(
    ("model", "recall", "rejected", "area"),
    [("minilm_lr", 0.843, 0.042, 0.9723), ("tfidf_svc", 0.798, 0.056, 0.9510)],
)
def test_gate_finds_the_share_of_out_of_scope_rows_that_is_known(
    model: str, recall: float, rejected: float, area: float
) -> None:
    data = clinc_logits(model)
    temperature = fit_temperature(data["val"], data["y_val"]).temperature

    gate = out_of_scope_gate(data["val"], temperature=temperature, share=0.05)
    in_scope, out_of_scope = (energy(data[split], temperature) for split in ("test", "oos_test"))

    assert np.mean(out_of_scope < gate) == pytest.approx(recall, abs=5e-4)
    assert np.mean(in_scope < gate) == pytest.approx(rejected, abs=5e-4)
    assert area_under_roc(in_scope, out_of_scope) == pytest.approx(area, abs=5e-5)


def test_gate_is_refused_to_a_graph_that_exports_log_softmax() -> None:
    data = clinc_logits("minilm_mlp")

    with pytest.raises(ValueError, match="Expected raw logits; got log-probabilities"):
        out_of_scope_gate(data["val"], temperature=1.809, share=0.05)
