from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from graphs import LABELS, linear, write_model
from softgate.numerics.histogram import CONFIDENCE_EDGES, coarsen
from softgate.policy.monitor.axes import MEASURES, Axes, axes, below
from softgate.runtime.repository import read_bundle
from watched import Fleet, logits, referenced

BOLD = "[routing.profiles.bold]\nprecision = 0.5\n"


def inside(edges: NDArray[np.float64], some: NDArray[np.float64]) -> bool:
    return bool(np.isin(some, edges).all())


def plain(folder: Path, **card: str) -> Axes:
    return axes(read_bundle(write_model(folder, linear(np.eye(4, dtype=np.float32)), **card)))  # type: ignore[arg-type]


def test_without_a_reference_the_edges_are_fixed_and_energy_has_none(tmp_path: Path) -> None:
    found = plain(tmp_path / "toy", routing="")

    for name in ("label_confidence", "route_confidence", "margin"):
        assert_array_equal(found.edges[name], CONFIDENCE_EDGES)
    assert found.edges["entropy"][-1] == pytest.approx(np.log(4))
    assert len(found.edges["energy"]) == 0
    assert (list(found.labels), list(found.routes), found.thresholds) == (list(LABELS), list(LABELS), {})


def test_every_histogram_of_the_reference_is_a_sum_of_the_bins(tmp_path: Path) -> None:
    bundle = referenced(tmp_path / "toy", logits(500), thresholds={"default": 0.7, "bold": 0.33}, card=BOLD, gate=0.5)
    found = axes(bundle)
    assert bundle.calibration is not None
    assert bundle.calibration.reference is not None
    histograms = bundle.calibration.reference.histograms

    for name in MEASURES:
        assert (np.diff(found.edges[name]) > 0).all()
        assert inside(found.edges[name], histograms[name].upper_edges)
    assert inside(found.edges["label_confidence"], histograms["label_confidence_deciles"].upper_edges)
    assert inside(found.edges["label_confidence"], CONFIDENCE_EDGES)
    assert inside(found.edges["route_confidence"], np.array([below(0.7), below(0.33)]))


def test_rows_like_the_reference_s_are_counted_into_its_very_bins(tmp_path: Path) -> None:
    rows = logits(700, seed=4)
    bundle = referenced(tmp_path / "toy", rows, thresholds={"default": 0.7}, gate=0.5)
    fleet = Fleet(bundle)
    fleet.answer(rows)
    view = fleet.board.view(fleet.counts.total(), fleet.watched())
    assert bundle.calibration is not None
    assert bundle.calibration.reference is not None

    for name, held in bundle.calibration.reference.histograms.items():
        measure = "label_confidence" if name == "label_confidence_deciles" else name
        edges = fleet.watched().axes.edges[measure]
        assert_array_equal(coarsen(view[measure], edges, held.upper_edges), held.counts, err_msg=name)


@pytest.mark.parametrize("threshold", [0.0, 1e-300, 0.3, 0.7, 1.0])
def test_just_what_lies_below_a_threshold_lies_at_or_below_its_edge(threshold: float) -> None:
    edge = below(threshold)

    assert edge < threshold
    assert np.nextafter(edge, np.inf) == threshold


def test_the_card_s_threshold_comes_before_the_fitted_ones(tmp_path: Path) -> None:
    bundle = referenced(
        tmp_path / "toy", logits(200), routing="threshold = 0.6", thresholds={"default": 0.7, "bold": 0.4}, card=BOLD
    )

    assert axes(bundle).thresholds == {"default": 0.6, "bold": 0.6}


def test_profiles_without_a_threshold_are_left_out(tmp_path: Path) -> None:
    bundle = referenced(tmp_path / "toy", logits(200), thresholds={"bold": 0.4}, card=BOLD)

    assert axes(bundle).thresholds == {"bold": 0.4}
    assert axes(bundle).profiles == ["default", "bold"]
    assert axes(bundle).own_thresholds.size == 0


def test_routes_with_thresholds_of_their_own_have_them_by_profile(tmp_path: Path) -> None:
    own = {"default": {"joke": 0.9}}
    bundle = referenced(
        tmp_path / "toy", logits(200), thresholds={"default": 0.7, "bold": 0.4}, route_thresholds=own, card=BOLD
    )

    assert axes(bundle).own_thresholds.tolist() == [[0.7, 0.7, 0.7, 0.9], [0.4, 0.4, 0.4, 0.4]]


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_one_threshold_for_all_routes_is_nobody_s_own(tmp_path: Path, activation: str) -> None:
    bundle = referenced(tmp_path / "toy", logits(200), activation=activation, thresholds={"default": 0.7})

    assert axes(bundle).own_thresholds.size == 0
