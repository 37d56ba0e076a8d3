"""Every figure about CLINC150 in docs/concepts.md, measured again and compared to the printed digit."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from concepts import MODELS, PAGE, percent, rows_of
from shared_data import clinc_logits
from softgate.numerics import bias
from softgate.numerics.activations import log_softmax, softmax
from softgate.numerics.bias import fit_biased_temperature
from softgate.numerics.confidence import energy, max_probability
from softgate.numerics.conformal import conformal_quantile, least_ambiguous, mass_before
from softgate.numerics.out_of_scope import area_under_roc, energy_gate
from softgate.numerics.reliability import (
    debiased_calibration_error,
    expected_calibration_error,
    null_band,
    p_value,
)
from softgate.numerics.selective import coverage_at_precision
from softgate.numerics.temperature import TemperatureFit, apply_temperature, fit_robust_temperature
from softgate.numerics.thresholds import N_STARTS, precision_threshold, rows_needed
from softgate.workbench.calibrate.fit import Recipe
from softgate.workbench.calibrate.labelled import Labelled
from softgate.workbench.calibrate.richer import compare

Floats = NDArray[np.float64]
Truths = NDArray[np.bool_]
Rows = NDArray[np.intp]

WORDS = " ".join(PAGE.split())
N_DRAWS = 300
N_DRAWS_REFITTED = 100
RISK = 0.1


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Many small products of matrices: more threads only wait for each other."""
    with threadpool_limits(1):
        yield


def three(value: float) -> str:
    return f"{value:.3f}"


@cache
def fitted(model: str) -> TemperatureFit:
    """As `softgate calibrate` fits it."""
    data = clinc_logits(model)
    return fit_robust_temperature(data["val"], data["y_val"])


class Population(NamedTuple):
    """All rows there are, in scope and out of it, so that the truth about any threshold can be read off."""

    logits: NDArray[Any]
    targets: Rows
    """-1 out of scope: whatever such a row is taken for is wrong."""
    confidence: Floats
    correct: Truths
    energy: Floats

    @property
    def in_scope(self) -> Truths:
        return self.targets >= 0

    def take(self, rows: Rows) -> "Population":
        return Population(
            self.logits[rows], self.targets[rows], self.confidence[rows], self.correct[rows], self.energy[rows]
        )


@cache
def population(model: str) -> Population:
    data = clinc_logits(model)
    logits = np.concatenate([data[split] for split in ("val", "test", "oos_val", "oos_test")])
    targets = np.concatenate([data["y_val"], data["y_test"], np.full(1100, -1)])
    return judged(logits, targets, fitted(model).temperature)


def judged(logits: NDArray[Any], targets: Rows, temperature: float, shifts: Floats | None = None) -> Population:
    scaled = apply_temperature(logits, temperature)
    p = softmax(scaled if shifts is None else scaled + shifts)
    return Population(logits, targets, max_probability(p), p.argmax(axis=1) == targets, energy(logits, temperature))


def naive_threshold(confidence: Floats, correct: Truths, precision: float) -> float | None:
    """The lowest threshold whose precision on the rows at hand is as wanted: what people do."""
    falling = np.argsort(-confidence)
    reached = np.flatnonzero(np.cumsum(correct[falling]) / np.arange(1, len(falling) + 1) >= precision)
    return float(confidence[falling[reached[-1]]]) if reached.size else None


def promised_threshold(confidence: Floats, correct: Truths, precision: float) -> float | None:
    return precision_threshold(confidence, correct, precision=precision, risk=RISK).threshold


class Kept(NamedTuple):
    share: float
    """Of the draws: the promise is true of the population, or nothing is promised."""
    coverage: float
    """Mean, of the population."""
    refused: float
    precision: float
    """Mean over the draws that are not refused."""


def kept(outcomes: Sequence[tuple[float, float] | None], precision: float) -> Kept:
    """`outcomes`: coverage and precision, None for a refusal."""
    found = [one for one in outcomes if one is not None]
    n_draws = len(outcomes)
    broken = sum(true < precision for _, true in found)
    return Kept(
        1 - broken / n_draws,
        sum(coverage for coverage, _ in found) / n_draws,
        1 - len(found) / n_draws,
        float(np.mean([true for _, true in found])),
    )


def outcome(rows: Population, threshold: float | None, gate: float) -> tuple[float, float] | None:
    if threshold is None:
        return None
    accepted = (rows.confidence >= threshold) & (rows.energy >= gate)
    return (float(accepted.mean()), float(rows.correct[accepted].mean())) if accepted.any() else None


def draws(n_total: int, n_rows: int, n_draws: int) -> Sequence[Rows]:
    random = np.random.default_rng(0)
    return [random.integers(0, n_total, n_rows) for _ in range(n_draws)]


def resplits(n_rows: int, *, n_calibration: int = 3000) -> Sequence[tuple[Rows, Rows]]:
    random = np.random.default_rng(0)
    orders = (random.permutation(n_rows) for _ in range(200))
    return [(order[:n_calibration], order[n_calibration:]) for order in orders]


@pytest.mark.parametrize("cells", rows_of("Is it calibrated?", "model"))
def test_calibration_errors_and_their_chance(cells: Sequence[str]) -> None:
    model = MODELS[cells[0]]
    data = clinc_logits(model)

    def outcomes(temperature: float) -> tuple[Floats, Truths]:
        p = softmax(apply_temperature(data["test"], temperature))
        return max_probability(p), p.argmax(axis=1) == data["y_test"]

    confidence, correct = outcomes(fitted(model).temperature)
    shown = [f"{fitted(model).temperature:.2f}", percent(expected_calibration_error(*outcomes(1.0)), 1)]
    for statistic in (expected_calibration_error, debiased_calibration_error):
        observed, chance = statistic(confidence, correct), null_band(confidence, statistic)
        band = f"{100 * chance.mean():.1f} to {100 * np.quantile(chance, 0.95):.1f} %"
        shown += [percent(observed, 1), band, three(p_value(observed, chance))]

    assert cells[1:] == shown


@pytest.mark.parametrize("cells", rows_of("A richer map", "model"))
def test_what_shifts_are_worth(cells: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    model = MODELS[cells[0]]
    data, fit = clinc_logits(model), fitted(model)

    def loss(deviation: float | None) -> str:
        shifts, temperature = np.zeros(150), fit.temperature
        if deviation is not None:
            monkeypatch.setattr(bias, "_PRIOR_DEVIATION", deviation)
            found = fit_biased_temperature(data["val"], data["y_val"], noise=fit.noise)
            shifts, temperature = found.bias, found.temperature
        log_p = log_softmax(data["test"] / temperature + shifts)
        return three(-float(log_p[np.arange(len(log_p)), data["y_test"]].mean()))

    shown = [loss(deviation) for deviation in (None, 0.5, 1.0, 1000.0)]
    monkeypatch.undo()
    held_out = compare(Recipe("softmax", robust=True), Labelled(data["val"], data["y_val"]), n_folds=5)

    assert held_out is not None
    assert held_out.chosen
    assert cells[1:] == [*shown, f"{held_out.gain:.4f} ± {held_out.standard_error:.4f}"]


@pytest.mark.parametrize("cells", rows_of("A threshold that keeps a promise", "precision"))
def test_rows_that_a_promise_takes(cells: Sequence[str]) -> None:
    precision = float(cells[0])

    assert cells[1:] == [str(rows_needed(precision, RISK)), str(rows_needed(precision, RISK / N_STARTS))]


@pytest.mark.parametrize("cells", rows_of("A threshold that keeps a promise", "model"))
def test_how_often_thresholds_keep_their_promise(cells: Sequence[str]) -> None:
    rows, precision, n_rows = population(MODELS[cells[0]]), float(cells[1]), int(cells[2].replace(" ", ""))

    def of(choose: Callable[[Floats, Truths, float], float | None]) -> Kept:
        chosen = [
            choose(rows.confidence[draw], rows.correct[draw], precision)
            for draw in draws(len(rows.targets), n_rows, N_DRAWS)
        ]
        return kept([outcome(rows, threshold, -np.inf) for threshold in chosen], precision)

    naive, promised = of(naive_threshold), of(promised_threshold)
    oracle = coverage_at_precision(rows.confidence, rows.correct, precision)
    shown = [percent(oracle), percent(naive.share), percent(naive.coverage)]
    shown += [percent(promised.share), percent(promised.coverage), percent(promised.refused)]

    assert cells[3:] == shown


@pytest.mark.parametrize("cells", rows_of("A threshold that keeps a promise", "fitted on the draw"))
def test_fitting_all_on_the_same_rows_costs_nothing(cells: Sequence[str]) -> None:
    whole = population(MODELS[cells[1]])

    def limits(rows: Population, temperature: float, shifts: Floats | None) -> tuple[float | None, float]:
        seen = judged(rows.logits, rows.targets, temperature, shifts)
        gate = energy_gate(seen.energy[seen.in_scope], share=0.05)
        past = seen.energy >= gate
        return promised_threshold(seen.confidence[past], seen.correct[past], 0.95), gate

    def once(draw: Rows) -> tuple[float, float] | None:
        rows = whole.take(draw)
        logits, targets = rows.logits[rows.in_scope], rows.targets[rows.in_scope]
        if cells[0] == "the threshold":
            gate = energy_gate(whole.energy[whole.in_scope], share=0.05)
            past = rows.energy >= gate
            return outcome(whole, promised_threshold(rows.confidence[past], rows.correct[past], 0.95), gate)
        fit = fit_robust_temperature(logits, targets)
        temperature, shifts = fit.temperature, None
        if "shifts" in cells[0]:
            found = fit_biased_temperature(logits, targets, noise=fit.noise)
            temperature, shifts = found.temperature, found.bias
        threshold, gate = limits(rows, temperature, shifts)
        return outcome(judged(whole.logits, whole.targets, temperature, shifts), threshold, gate)

    found = kept([once(draw) for draw in draws(len(whole.targets), 1500, N_DRAWS_REFITTED)], 0.95)

    assert cells[2:] == [percent(found.share), percent(found.coverage, 1), percent(found.precision, 1)]


def test_what_a_promise_is_worth_where_out_of_scope_rows_were_left_out() -> None:
    whole = population("minilm_lr")
    known = np.flatnonzero(whole.in_scope)

    def found(*, gated: bool) -> Kept:
        outcomes = []
        for draw in draws(len(known), 3000, N_DRAWS_REFITTED):
            rows = known[draw]
            gate = energy_gate(whole.energy[rows], share=0.05) if gated else -np.inf
            past = rows[whole.energy[rows] >= gate]
            threshold = promised_threshold(whole.confidence[past], whole.correct[past], 0.95)
            outcomes.append(outcome(whole, threshold, gate))
        return kept(outcomes, 0.95)

    share = np.mean(~whole.in_scope)
    assert f"a population of 8 600 rows, {percent(float(share), 1)} of them out of scope" in WORDS
    assert (
        f"the precision is {percent(found(gated=False).precision, 1)} without a gate and "
        f"{percent(found(gated=True).precision, 1)} with one of 5 %"
    ) in WORDS


@pytest.mark.parametrize("cells", rows_of("Prediction sets", "model"))
def test_coverage_and_size_of_sets_over_200_resplits(cells: Sequence[str]) -> None:
    model, coverage, kind = MODELS[cells[0]], float(cells[1].removesuffix(" %")) / 100, cells[2]
    rows = population(model)
    targets = rows.targets[rows.in_scope]
    p = softmax(apply_temperature(rows.logits[rows.in_scope], fitted(model).temperature))
    before, own_share = mass_before(p), np.random.default_rng(1).random((len(p), 1))
    scores = {
        "TOPP": before,
        "LAC": least_ambiguous(p),
        "APS, never empty": np.minimum(before + p, 1),
        "APS, at random": np.minimum(before + own_share * p, 1),
    }[kind]
    own = np.take_along_axis(scores, targets[:, None], axis=1)[:, 0]
    first = p.argmax(axis=1)
    best = np.take_along_axis(scores, first[:, None], axis=1)[:, 0]
    found = []
    for calibration, test in resplits(len(p)):
        quantile = conformal_quantile(own[calibration], coverage=coverage)
        sizes, covered = np.count_nonzero(scores <= quantile, axis=1), own <= quantile
        if kind == "APS, never empty":
            # The most probable label is put into every set that lacks it.
            sizes, covered = sizes + (best > quantile), covered | (first == targets)
        found.append((covered[test].mean(), sizes[test].mean(), np.mean(sizes[test] == 0)))
    covered_share, size, empty = np.mean(found, axis=0).tolist()

    assert cells[3:] == [percent(covered_share, 1), f"{size:.2f}", percent(empty, 1)]


@pytest.mark.parametrize("cells", rows_of("What is out of scope", "model"))
def test_what_a_gate_turns_away_over_200_resplits(cells: Sequence[str]) -> None:
    rows, share = population(MODELS[cells[0]]), float(cells[1].removesuffix(" %")) / 100

    def turned_away(score: Floats) -> tuple[float, float]:
        known, other = score[rows.in_scope], score[~rows.in_scope]
        gates = [(energy_gate(known[calibration], share=share), test) for calibration, test in resplits(len(known))]
        return (
            float(np.mean([np.mean(known[test] < gate) for gate, test in gates])),
            float(np.mean([np.mean(other < gate) for gate, _ in gates])),
        )

    in_scope, out_of_scope = turned_away(rows.energy)

    assert cells[2:] == [percent(in_scope, 1), percent(out_of_scope), percent(turned_away(rows.confidence)[1])]


def test_how_well_energy_and_confidence_tell_what_is_out_of_scope() -> None:
    rows = population("minilm_lr")

    areas = [area_under_roc(score[rows.in_scope], score[~rows.in_scope]) for score in (rows.energy, rows.confidence)]

    assert f"in {percent(areas[0], 1)} of all pairs, by confidence in {percent(areas[1], 1)}" in WORDS


def test_no_table_of_the_page_is_left_unread() -> None:
    read = {"Is it calibrated?": 1, "Wrong labels": 1, "A richer map": 1, "A threshold that keeps a promise": 3}
    read |= {"Prediction sets": 1, "What is out of scope": 1, "Four scores, four questions": 1, "Drift": 3}
    sections = re.split(r"^## ", PAGE, flags=re.M)[1:]

    found = {one.partition("\n")[0]: len(re.findall(r"^\| -", one, flags=re.M)) for one in sections}

    # Wrong labels are read by test_concepts, drift by test_documented_drift; the four scores hold no figures.
    assert {title: count for title, count in found.items() if count} == read
