from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import beta

from graphs import LABELS, linear, write_calibration, write_model
from softgate.numerics.alarm import N_BETS, mean_upper_bound
from softgate.numerics.histogram import CONFIDENCE_EDGES, count_in_bins
from softgate.policy.monitor.board import Board
from softgate.policy.monitor.detectors import detectors, states
from softgate.runtime.counts import Counts
from softgate.runtime.repository import read_bundle
from softgate.web.metrics.layout import layout
from watched import Fleet, logits, referenced

FALLING, RISING, OUT_OF_SCOPE = "confidence_falling", "confidence_rising", "out_of_scope_rising"
LOWER = np.concatenate([[0.0], CONFIDENCE_EDGES])
UPPER = np.concatenate([CONFIDENCE_EDGES, [1.0]])


def test_with_a_gate_there_are_three_and_each_takes_three_times_the_budget(tmp_path: Path) -> None:
    bundle = referenced(tmp_path / "toy", logits(500), gate=1.0, card="[monitoring]\nalarm_every = 700\n")

    assert {detector.name: detector.budget for detector in detectors(bundle)} == {
        FALLING: 2100.0,
        RISING: 2100.0,
        OUT_OF_SCOPE: 2100.0,
    }


def test_without_a_gate_there_are_two_and_each_takes_twice_the_budget(tmp_path: Path) -> None:
    bundle = referenced(tmp_path / "toy", logits(500))

    assert {detector.name: detector.budget for detector in detectors(bundle)} == {FALLING: 20_000.0, RISING: 20_000.0}


def test_labels_that_may_hold_at_once_have_the_two_of_confidence(tmp_path: Path) -> None:
    bundle = referenced(tmp_path / "toy", logits(500), activation="sigmoid", thresholds={"default": 0.5})

    assert [detector.name for detector in detectors(bundle)] == [FALLING, RISING]


def test_without_a_calibration_or_a_reference_there_are_none(tmp_path: Path) -> None:
    plain = write_model(tmp_path / "plain", linear(np.eye(4, dtype=np.float32)))
    bare = write_model(tmp_path / "bare", linear(np.eye(4, dtype=np.float32)))
    write_calibration(bare, gate=1.0)

    assert detectors(read_bundle(plain)) == detectors(read_bundle(bare)) == []


def test_a_reference_over_other_edges_is_not_bet_against(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "toy", linear(np.eye(4, dtype=np.float32)))
    other = {"upper_edges": [0.5, 1.0], "counts": [3, 4, 0], "mean": 0.6, "standard_deviation": 0.2}
    mix = {"labels": [7, 0, 0, 0], "routes": [7], "decisions": {"route confident": 7}}
    write_calibration(folder, reference={"rows": 7, "label_confidence": other, **mix})

    assert detectors(read_bundle(folder)) == []


def test_falling_is_bet_against_all_rows_and_rising_against_those_in_scope(tmp_path: Path) -> None:
    rows = np.concatenate([logits(800), logits(200, scale=0.5, seed=1)])
    truth = np.where(np.arange(1000) < 800, rows.argmax(axis=1), -1)
    bundle = referenced(tmp_path / "toy", rows, truth=truth)

    falling, rising = detectors(bundle)

    exponents = np.exp(rows - rows.max(axis=1, keepdims=True))
    confidence = exponents.max(axis=1) / exponents.sum(axis=1)
    whole = count_in_bins(confidence, CONFIDENCE_EDGES)
    familiar = count_in_bins(confidence[:800], CONFIDENCE_EDGES)
    assert_allclose(falling.values, 1 - LOWER)
    assert_allclose(rising.values, UPPER)
    assert falling.mean_bound == mean_upper_bound(whole, 1 - LOWER)
    assert rising.mean_bound == mean_upper_bound(familiar, UPPER)
    assert falling.reference_mean == pytest.approx(whole @ (1 - LOWER) / 1000)
    assert rising.reference_mean == pytest.approx(familiar @ UPPER / 800)
    assert falling.reference_mean < falling.mean_bound < 1
    assert rising.reference_mean < rising.mean_bound <= 1


def test_the_share_out_of_scope_is_bounded_by_clopper_and_pearson(tmp_path: Path) -> None:
    bundle = referenced(tmp_path / "toy", logits(500), gate=3.0)
    assert bundle.calibration is not None
    assert bundle.calibration.reference is not None
    rejected = bundle.calibration.reference.decisions["abstain out_of_scope"]

    *_, detector = detectors(bundle)

    assert 0 < rejected < 500
    assert detector.mean_bound == pytest.approx(beta.ppf(0.95, rejected + 1, 500 - rejected))
    assert detector.reference_mean == rejected / 500


def test_detectors_count_the_rows_that_are_finite(tmp_path: Path) -> None:
    fleet = Fleet(referenced(tmp_path / "toy", logits(500), gate=2.0))
    rows = logits(300, seed=1)
    rows[::10, 0] = np.nan
    answers = fleet.answer(rows)
    watched = fleet.watched()
    view = fleet.board.view(fleet.counts.total(), watched)

    falling, rising, out_of_scope = (detector.counts(view, watched.axes) for detector in watched.detectors)

    confidence = answers.scores.confidence[answers.scores.finite]
    energy = answers.scores.energy
    assert energy is not None
    assert falling.tolist() == rising.tolist() == count_in_bins(confidence, CONFIDENCE_EDGES).tolist()
    rejected = int((energy[answers.scores.finite] < 2.0).sum())
    assert 0 < rejected < 270
    assert out_of_scope.tolist() == [270 - rejected, rejected]


def test_states_are_zeros_that_a_fork_shares() -> None:
    found = states(2)

    assert found.shape == (2,)
    assert found["evidence"].shape == (2, N_BETS)
    assert all(not found[field].any() for field in found.dtype.names or ())


def test_no_detectors_have_no_state() -> None:
    assert states(0).shape == (0,)


def test_a_board_without_detectors_is_watched_all_the_same(tmp_path: Path) -> None:
    bundle = read_bundle(write_model(tmp_path / "toy", linear(np.eye(4, dtype=np.float32)), labels=LABELS))
    board = Board([bundle], Counts(layout([bundle]), n_rows=1), now=0.0)

    watched = board.watched["toy"]

    assert (watched.detectors, watched.reference, watched.calibration_id) == ([], None, None)


def test_where_strangers_are_not_told_apart_nothing_is_said_of_confidence_that_rises(tmp_path: Path) -> None:
    """Against all rows, ordinary traffic without a stranger would be an alarm."""
    bundle = referenced(tmp_path / "toy", logits(500))
    written = dict(bundle.calibration.written_reference) if bundle.calibration else {}
    write_calibration(bundle.folder, reference=written, evidence={"data": {"out_of_scope": 20}})

    assert [detector.name for detector in detectors(read_bundle(bundle.folder))] == [FALLING]
