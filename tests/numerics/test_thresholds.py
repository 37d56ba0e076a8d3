"""Thresholds by promise: by hand, against scipy and MAPIE, and by simulation on whole populations of CLINC150."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mapie.risk_control import BinaryClassificationController
from mapie.risk_control.fwer_control import FWERFixedSequenceTesting
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from scipy.stats import binom, binomtest

from shared_data import clinc_logits
from softgate.numerics.activations import softmax
from softgate.numerics.selective import coverage_at_precision
from softgate.numerics.temperature import apply_temperature, fit_temperature
from softgate.numerics.thresholds import (
    PrecisionThreshold,
    count_accepted,
    fixed_sequence,
    precision_lower_bound,
    precision_threshold,
    rows_needed,
    threshold_grid,
)

Floats = NDArray[np.float64]
Truths = NDArray[np.bool_]

CLINC = ["tfidf_svc", "minilm_lr", "minilm_mlp"]
N_DRAWS = 300


class Population(NamedTuple):
    """All rows there are, so that the true precision of any threshold can be read off."""

    confidence: Floats
    correct: Truths
    precisions: Floats
    """True precision when the k + 1 surest rows are accepted."""


@cache
def population(model: str) -> Population:
    data = clinc_logits(model)
    temperature = fit_temperature(data["val"], data["y_val"]).temperature
    logits = np.concatenate([data[split] for split in ("val", "test", "oos_val", "oos_test")])
    # Whatever an out-of-scope row is taken for is wrong.
    targets = np.concatenate([data["y_val"], data["y_test"], np.full(1100, -1)])
    probabilities = softmax(apply_temperature(logits, temperature))
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    falling = np.argsort(-confidence)
    return Population(confidence, correct, np.cumsum(correct[falling]) / np.arange(1, len(falling) + 1))


def naive_threshold(confidence: Floats, correct: Truths, precision: float) -> float | None:
    """The lowest threshold whose precision on the rows at hand is as wanted: what people do."""
    falling = np.argsort(-confidence)
    reached = np.flatnonzero(np.cumsum(correct[falling]) / np.arange(1, len(falling) + 1) >= precision)
    return float(confidence[falling[reached[-1]]]) if reached.size else None


def keeps_its_promise(model: str, *, precision: float, n_rows: int, naive: bool = False) -> tuple[float, float]:
    """Share of the draws in which the promise holds for the population, and mean coverage of it."""
    rows = population(model)
    random = np.random.default_rng(0)
    held, coverages = 0, []
    for _ in range(N_DRAWS):
        draw = random.integers(0, len(rows.confidence), n_rows)
        confidence, correct = rows.confidence[draw], rows.correct[draw]
        threshold = (
            naive_threshold(confidence, correct, precision)
            if naive
            else precision_threshold(confidence, correct, precision=precision, risk=0.1).threshold
        )
        # To refuse is to promise nothing, and to route nothing.
        accepted = 0 if threshold is None else int(np.count_nonzero(rows.confidence >= threshold))
        held += accepted == 0 or bool(rows.precisions[accepted - 1] >= precision)
        coverages.append(accepted / len(rows.confidence))
    return held / N_DRAWS, float(np.mean(coverages))


@pytest.mark.parametrize("n_rows", [500, 1500, 3000])
@pytest.mark.parametrize("precision", [0.95, 0.98])
@pytest.mark.parametrize("model", CLINC)
def test_the_promise_holds_for_the_population(model: str, precision: float, n_rows: int) -> None:
    oracle = coverage_at_precision(population(model).confidence, population(model).correct, precision)

    hold_rate, coverage = keeps_its_promise(model, precision=precision, n_rows=n_rows)

    # 0.9, less three standard errors of 300 draws.
    assert hold_rate >= 0.848
    if precision == 0.95 and n_rows >= 1500:
        assert coverage >= oracle - 0.05
    if precision == 0.98 and n_rows == 3000:
        assert coverage >= oracle - 0.12


@pytest.mark.parametrize("n_rows", [500, 1500, 3000])
@pytest.mark.parametrize("precision", [0.95, 0.98])
@pytest.mark.parametrize("model", CLINC)
def test_a_threshold_that_only_looks_good_on_its_own_rows_breaks_the_promise(
    model: str, precision: float, n_rows: int
) -> None:
    hold_rate, _ = keeps_its_promise(model, precision=precision, n_rows=n_rows, naive=True)

    assert hold_rate < 0.848


def logits_as_they_are(rows: Any) -> Floats:
    """What MAPIE calls a model: rows of one confidence → probabilities of "wrong" and "right"."""
    return np.column_stack([1 - rows[:, 0], rows[:, 0]])


def mapie(confidence: Floats, correct: Truths, thresholds: Floats, *, precision: float, n_starts: int) -> Any:
    oracle = BinaryClassificationController(
        logits_as_they_are,
        risk="precision",
        target_level=precision,
        confidence_level=0.9,
        fwer_method=FWERFixedSequenceTesting(n_starts),
        list_predict_params=thresholds,
    )
    return oracle.calibrate(confidence[:, None], correct.astype(int))


# MAPIE says that a risk which rises only on the whole may stop a walk early. It may, and several starts are for that.
@pytest.mark.filterwarnings("ignore:Fixed sequence testing requires a monotonic risk:UserWarning")
@pytest.mark.filterwarnings("ignore:No predict parameters were found:UserWarning")
@pytest.mark.parametrize("n_starts", [1, 4])
@pytest.mark.parametrize("precision", [0.95, 0.98])
@pytest.mark.parametrize("model", CLINC)
def test_agrees_with_mapie_on_the_same_list_of_thresholds(model: str, precision: float, n_starts: int) -> None:
    rows = population(model)
    draw = np.random.default_rng(3).integers(0, len(rows.confidence), 3000)
    confidence, correct = rows.confidence[draw], rows.correct[draw]
    thresholds = threshold_grid(confidence, n_thresholds=500)
    accepted, errors = count_accepted(confidence, correct, thresholds)
    # MAPIE recovers the errors from their share in floats, and rounds up: at some thresholds it counts one too many.
    by_mapie = mapie(confidence, correct, thresholds, precision=precision, n_starts=n_starts).p_values[:, 0]
    exact = binom.cdf(errors, accepted, 1 - precision)
    assert np.all(by_mapie >= exact - 1e-12)
    # A walk from the fewest rows mostly ends at once: from five times as many there is something to compare.
    kept = (np.abs(by_mapie - exact) < 1e-12) & (accepted >= 5 * rows_needed(precision, 0.1))
    # It parts the list into pieces of one whole size.
    thresholds = thresholds[kept][: kept.sum() // n_starts * n_starts]
    accepted, errors = count_accepted(confidence, correct, thresholds)

    oracle = mapie(confidence, correct, thresholds, precision=precision, n_starts=n_starts)
    last = fixed_sequence(errors, accepted, precision=precision, risk=0.1, n_starts=n_starts)

    assert last is not None
    assert thresholds[last] == oracle.best_predict_param == oracle.valid_predict_params.min()


def test_fewest_rows_of_known_promises() -> None:
    assert [rows_needed(precision, 0.1) for precision in (0.9, 0.95, 0.98, 0.99)] == [22, 45, 114, 230]
    # Shared by 150 classes.
    assert [rows_needed(precision, 0.1 / 150) for precision in (0.9, 0.95, 0.98, 0.99)] == [70, 143, 362, 728]
    assert rows_needed(0.5, 0.5) == 1
    assert rows_needed(0.5, 0.25) == 2
    assert rows_needed(0.1, 0.9) == 1


@given(st.floats(0.01, 0.9999), st.floats(1e-9, 0.99))
def test_one_row_fewer_than_needed_carries_no_promise(precision: float, risk: float) -> None:
    n = rows_needed(precision, risk)

    assert binom.cdf(0, n, 1 - precision) <= risk * (1 + 1e-9)
    assert n == 1 or binom.cdf(0, n - 1, 1 - precision) > risk * (1 - 1e-9)


@pytest.mark.parametrize("risk", [0.01, 0.1, 0.5])
def test_lower_bound_is_that_of_clopper_and_pearson(risk: float) -> None:
    errors, accepted = np.array([0, 0, 1, 3, 40, 99]), np.array([1, 45, 45, 100, 100, 100])

    bounds = precision_lower_bound(errors, accepted, risk=risk)

    if risk < 0.5:
        expected = [
            binomtest(int(n - e), int(n)).proportion_ci(1 - 2 * risk, method="exact").low
            for e, n in zip(errors, accepted, strict=True)
        ]
        assert_allclose(bounds, expected, rtol=1e-9)
    # At the bound, so few errors have a chance of exactly the risk.
    assert_allclose(binom.cdf(errors, accepted, 1 - bounds), risk, rtol=1e-9)


def test_lower_bound_of_nothing_right_is_0() -> None:
    assert_array_equal(precision_lower_bound(np.array([0, 5]), np.array([0, 5]), risk=0.1), [0, 0])


def test_threshold_by_hand() -> None:
    # At 0.8 and a risk of 0.25: 0.8^7 = 0.21 passes, 0.8^6 = 0.26 does not. So 7 rows, none of them wrong.
    confidence = np.array([0.9] * 7 + [0.8] * 3 + [0.7] * 2)
    correct = np.array([True] * 10 + [False] * 2)

    found = precision_threshold(confidence, correct, precision=0.8, risk=0.25, n_starts=1, n_thresholds=12)

    assert rows_needed(0.8, 0.25) == 7
    assert_array_equal(found.thresholds, [0.9, 0.8, 0.7])
    assert_array_equal(found.accepted, [7, 10, 12])
    assert_array_equal(found.errors, [0, 0, 2])
    # P(at most 2 of 12 wrong, at 0.2 each) = 0.56: the walk ends before it.
    assert (found.threshold, found.index) == (0.8, 1)
    assert_allclose(found.lower_bound[:2], [0.25 ** (1 / 7), 0.25 ** (1 / 10)])


def test_several_starts_pass_a_confident_error_by() -> None:
    confidence = np.linspace(1.0, 0.5, 1000)
    correct = np.ones(1000, dtype=bool)
    correct[[3, 20]] = False

    one, four = (
        precision_threshold(confidence, correct, precision=0.95, risk=0.1, n_starts=n_starts) for n_starts in (1, 4)
    )

    # Two errors among the 50 surest stop the only walk; those that start later find 2 in 1000.
    assert one.threshold is None
    assert four.threshold == 0.5


@pytest.mark.parametrize(
    ("n_rows", "precision", "risk"), [(100, 0.99, 0.1), (44, 0.95, 0.1), (20, 0.95, 0.1 / 150), (0, 0.9, 0.1)]
)
def test_too_few_rows_carry_no_threshold_though_all_are_right(n_rows: int, precision: float, risk: float) -> None:
    found = precision_threshold(
        np.linspace(1, 0.9, n_rows), np.ones(n_rows, dtype=bool), precision=precision, risk=risk, n_starts=1
    )

    assert found.threshold is None
    assert found.index is None
    assert n_rows < rows_needed(precision, risk)


def test_as_many_rows_as_needed_carry_one_if_all_are_right() -> None:
    found = precision_threshold(np.linspace(1, 0.9, 45), np.ones(45, bool), precision=0.95, risk=0.1, n_starts=1)

    assert found.threshold == 0.9


def test_rows_of_equal_confidence_stand_or_fall_together() -> None:
    confidence = np.ones(100)
    correct = np.arange(100) < 94

    found = precision_threshold(confidence, correct, precision=0.95, risk=0.1)

    assert_array_equal(found.thresholds, [1.0])
    assert found.threshold is None


Outcomes = st.lists(st.tuples(st.sampled_from([0.2, 0.5, 0.7, 0.9, 0.99, 1.0]), st.booleans()), max_size=200)


@given(Outcomes, st.sampled_from([0.5, 0.8, 0.9]), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_never_matters(rows: list[tuple[float, bool]], precision: float, random: Any) -> None:
    def threshold(rows: list[tuple[float, bool]]) -> PrecisionThreshold:
        confidence = np.array([confidence for confidence, _ in rows], dtype=float)
        correct = np.array([correct for _, correct in rows], dtype=bool)
        return precision_threshold(confidence, correct, precision=precision, risk=0.2)

    found = threshold(rows)
    random.shuffle(rows)
    shuffled = threshold(rows)

    assert found.threshold == shuffled.threshold
    assert_array_equal(found.errors, shuffled.errors)
    if found.index is not None:
        # What is chosen passes by itself, at the level of one start.
        p_value = binom.cdf(found.errors[found.index], found.accepted[found.index], 1 - precision)
        assert p_value <= 0.2 / 4 * (1 + 1e-9)
        assert found.lower_bound[found.index] >= precision - 1e-9


@given(Outcomes)
def test_counts_agree_with_a_plain_loop(rows: list[tuple[float, bool]]) -> None:
    confidence = np.array([confidence for confidence, _ in rows], dtype=float)
    correct = np.array([correct for _, correct in rows], dtype=bool)
    thresholds = threshold_grid(confidence, n_thresholds=7)

    accepted, errors = count_accepted(confidence, correct, thresholds)

    assert_array_equal(accepted, [np.sum(confidence >= threshold) for threshold in thresholds])
    assert_array_equal(errors, [np.sum(~correct[confidence >= threshold]) for threshold in thresholds])
    assert np.all(np.diff(thresholds) < 0)
    assert not rows or thresholds[-1] == confidence.min()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: rows_needed(1.0, 0.1), "Expected a precision between 0 and 1; got 1.0"),
        (lambda: rows_needed(0.9, 0.0), "Expected a risk between 0 and 1; got 0.0"),
        (lambda: rows_needed(float("nan"), 0.1), "Expected a precision between 0 and 1; got nan"),
        (
            lambda: precision_threshold(np.zeros(3), np.zeros(2, bool), precision=0.9, risk=0.1),
            r"Expected one confidence per outcome; got shapes \(3,\) and \(2,\)",
        ),
        (
            lambda: precision_threshold(np.array([np.nan]), np.ones(1, bool), precision=0.9, risk=0.1),
            "without NaN",
        ),
        (
            lambda: precision_threshold(np.zeros(1), np.ones(1, bool), precision=0.9, risk=0.1, n_starts=0),
            "Expected n_starts of at least 1; got 0",
        ),
        (lambda: threshold_grid(np.zeros(1), n_thresholds=0), "Expected n_thresholds of at least 1; got 0"),
    ],
)
def test_arguments_that_are_none_are_refused(call: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call()
