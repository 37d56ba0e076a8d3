"""The reference of a calibration: read whole, or refused with every part that does not fit the others."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphs import linear, write_calibration, write_model
from softgate.errors import CalibrationInvalid
from softgate.policy.monitor.board import Board
from softgate.policy.monitor.report import report
from softgate.runtime.counts import Counts
from softgate.runtime.reference import Reference
from softgate.runtime.repository import find_bundles, read_bundle
from softgate.types import Action, Reason
from softgate.web.metrics.exposition import Exposition
from softgate.web.metrics.layout import layout

WHOLE: dict[str, Any] = {
    "rows": 10,
    "label_confidence": {"upper_edges": [0.5, 1.0], "counts": [4, 6, 0], "mean": 0.6, "standard_deviation": 0.1},
    "label_confidence_deciles": {"upper_edges": [0.7], "counts": [5, 5], "mean": 0.6, "standard_deviation": 0.1},
    "route_confidence": {"upper_edges": [0.5, 1.0], "counts": [3, 7, 0], "mean": 0.7, "standard_deviation": 0.1},
    "margin": {"upper_edges": [0.5, 1.0], "counts": [5, 5, 0], "mean": 0.5, "standard_deviation": 0.2},
    "entropy": {"upper_edges": [0.3, 1.4], "counts": [6, 4, 0], "mean": 0.4, "standard_deviation": 0.3},
    "energy": {"upper_edges": [-1.0, 5.0], "counts": [1, 8, 1], "mean": 2.0, "standard_deviation": 3.0},
    "labels": [4, 3, 2, 1],
    "routes": [7, 2, 1],
    "decisions": {"route confident": 8, "abstain out_of_scope": 2},
    "in_scope": {"label_confidence": [3, 5, 0]},
    "right": {"rows": 8, "right": 6, "entropy": 0.3},
}
BANKING = {"transfer": "banking", "balance": "banking"}


def read(folder: Path, reference: dict[str, Any], **parts: Any) -> Reference | None:
    write_model(folder / "toy", linear(np.eye(4, dtype=np.float32)), routes=BANKING)
    write_calibration(folder / "toy", reference=reference, gate=0.0, **parts)
    calibration = read_bundle(folder / "toy").calibration
    assert calibration is not None
    assert calibration.written_reference == reference
    return calibration.reference


def mistakes(folder: Path, reference: dict[str, Any]) -> list[str]:
    with pytest.raises(CalibrationInvalid) as caught:
        read(folder, reference)
    return [line.partition("calibration.json: reference")[2].lstrip(".") for line in str(caught.value).splitlines()]


def test_a_whole_reference_is_read_as_it_was_written(tmp_path: Path) -> None:
    reference = read(tmp_path, WHOLE)

    assert reference is not None
    assert reference.rows == 10
    for name, held in reference.histograms.items():
        assert held.upper_edges.tolist() == WHOLE[name]["upper_edges"]
        assert held.counts.tolist() == WHOLE[name]["counts"]
        assert (held.mean, held.standard_deviation) == (WHOLE[name]["mean"], WHOLE[name]["standard_deviation"])
    assert (reference.labels.tolist(), reference.routes.tolist()) == (WHOLE["labels"], WHOLE["routes"])
    assert reference.in_scope_confidence is not None
    assert reference.in_scope_confidence.tolist() == [3, 5, 0]
    assert reference.right is not None
    assert (reference.right.rows, reference.right.right, reference.right.entropy) == (8, 6, 0.3)
    assert reference.decided(Action.ABSTAIN, Reason.OUT_OF_SCOPE) == 2
    assert reference.decided(Action.CLARIFY, Reason.AMBIGUOUS) == 0


def test_one_of_an_older_version_is_valid_and_all_its_rows_are_in_scope(tmp_path: Path) -> None:
    reference = read(tmp_path, {key: value for key, value in WHOLE.items() if key not in ("right", "in_scope")})

    assert reference is not None
    assert reference.right is None
    assert reference.in_scope_confidence is not None
    assert reference.in_scope_confidence.tolist() == [4, 6, 0]


def test_one_that_does_not_tell_its_strangers_apart_says_so(tmp_path: Path) -> None:
    told = {key: value for key, value in WHOLE.items() if key not in ("right", "in_scope")}

    reference = read(tmp_path, told, evidence={"data": {"out_of_scope": 2}})

    assert reference is not None
    assert reference.in_scope_confidence is None


def test_histograms_beside_that_of_label_confidence_may_be_absent(tmp_path: Path) -> None:
    kept = ("rows", "label_confidence", "labels", "routes", "decisions")
    reference = read(tmp_path, {key: WHOLE[key] for key in kept})

    assert reference is not None
    assert list(reference.histograms) == ["label_confidence"]
    (bundle,) = find_bundles(tmp_path)
    board = Board([bundle], Counts(layout([bundle]), n_rows=1), now=0.0)
    assert report(board, "toy", now=1.0).reference is not None
    assert Exposition(board, lambda: 1.0).render()


def test_none_is_none(tmp_path: Path) -> None:
    assert read(tmp_path, {}) is None


Edit = Callable[[dict[str, Any]], object]

MALFORMED: dict[str, tuple[Edit, list[str]]] = {
    "no rows": (lambda r: r.pop("rows"), [f"rows: missing; wanted an integer from 1 to {10**15}."]),
    "rows of a text": (lambda r: r.update(rows="10"), [f"rows: got '10', wanted an integer from 1 to {10**15}."]),
    "rows that are none": (lambda r: r.update(rows=0), [f"rows: got 0, wanted an integer from 1 to {10**15}."]),
    "no label confidence": (lambda r: r.pop("label_confidence"), ["label_confidence: missing; wanted a table."]),
    "a list for a histogram": (
        lambda r: r.update(margin=[1]),
        [
            "margin: got [1], wanted a table.",
            "margin.upper_edges: missing; wanted a list of finite numbers.",
            "margin.counts: missing; wanted a list of numbers from 0 to 1e+15.",
            "margin.mean: missing; wanted a finite number.",
            "margin.standard_deviation: missing; wanted a finite number.",
        ],
    ),
    "no edges": (
        lambda r: r["margin"].pop("upper_edges"),
        ["margin.upper_edges: missing; wanted a list of finite numbers."],
    ),
    "edges that are none": (
        lambda r: r["margin"].update(upper_edges=[], counts=[10]),
        ["margin.upper_edges: wanted one number or more, rising."],
    ),
    "edges that fall": (
        lambda r: r["margin"].update(upper_edges=[1.0, 0.5]),
        ["margin.upper_edges: wanted one number or more, rising."],
    ),
    "an edge twice": (
        lambda r: r["energy"].update(upper_edges=[1, 1.0]),
        ["energy.upper_edges: wanted one number or more, rising."],
    ),
    "an edge that is a text": (
        lambda r: r["energy"].update(upper_edges=[1.0, "2"]),
        ["energy.upper_edges: got [1.0, '2'], wanted a list of finite numbers."],
    ),
    "too few counts": (
        lambda r: r["entropy"].update(counts=[10]),
        ["entropy.counts: got [10], wanted a list of 3 numbers from 0 to 1e+15."],
    ),
    "a negative count": (
        lambda r: r["entropy"].update(counts=[-1, 11, 0]),
        ["entropy.counts: got [-1, 11, 0], wanted a list of 3 numbers from 0 to 1e+15."],
    ),
    "half a row": (
        lambda r: r["entropy"].update(counts=[5.5, 4.5, 0]),
        ["entropy.counts: wanted whole numbers."],
    ),
    "counts of other rows": (
        lambda r: r["label_confidence_deciles"].update(counts=[5, 6]),
        ["label_confidence_deciles.counts: got 11 in all, wanted the 10 rows."],
    ),
    "counts of nothing": (
        lambda r: r["route_confidence"].update(counts=[0, 0, 0]),
        ["route_confidence.counts: got 0 in all, wanted the 10 rows."],
    ),
    "no mean": (lambda r: r["margin"].pop("mean"), ["margin.mean: missing; wanted a finite number."]),
    "a spread below 0": (
        lambda r: r["margin"].update(standard_deviation=-0.1),
        ["margin.standard_deviation: got -0.1, wanted a finite number."],
    ),
    "labels of another model": (
        lambda r: r.update(labels=[5, 5]),
        ["labels: got [5, 5], wanted a list of 4 numbers from 0 to 1e+15."],
    ),
    "labels of other rows": (lambda r: r.update(labels=[4, 3, 2, 2]), ["labels: got 11 in all, wanted the 10 rows."]),
    "no labels": (
        lambda r: r.pop("labels"),
        ["labels: missing; wanted a list of 4 numbers from 0 to 1e+15."],
    ),
    "no routes": (lambda r: r.pop("routes"), ["routes: missing; wanted a list of numbers from 0 to 1e+15."]),
    "routes of other rows": (lambda r: r.update(routes=[7, 2]), ["routes: got 9 in all, wanted the 10 rows."]),
    "no decisions": (
        lambda r: r.pop("decisions"),
        ["decisions: missing; wanted a table.", "decisions: got 0 in all, wanted the 10 rows."],
    ),
    "a decision that is none": (
        lambda r: r.update(decisions={"route confident": 8, "abstain out-of-scope": 2}),
        ["decisions.abstain out-of-scope: unknown; wanted an action and a reason."],
    ),
    "more decisions than rows": (
        lambda r: r["decisions"].update({"abstain out_of_scope": 200}),
        ["decisions: got 208 in all, wanted the 10 rows."],
    ),
    "nothing in scope": (
        lambda r: r["in_scope"].update(label_confidence=[0, 0, 0]),
        ["in_scope.label_confidence: wanted at least one row, and in no bin more than there are."],
    ),
    "more in scope than there are": (
        lambda r: r["in_scope"].update(label_confidence=[5, 1, 0]),
        ["in_scope.label_confidence: wanted at least one row, and in no bin more than there are."],
    ),
    "in scope over other edges": (
        lambda r: r["in_scope"].update(label_confidence=[8]),
        [
            "in_scope.label_confidence: got [8], wanted a list of 3 numbers from 0 to 1e+15.",
            "in_scope.label_confidence: wanted at least one row, and in no bin more than there are.",
        ],
    ),
    "more right than there are": (
        lambda r: r["right"].update(right=9),
        ["right.right: got 9, wanted at most the 8 rows."],
    ),
    "no entropy of the right": (
        lambda r: r["right"].pop("entropy"),
        ["right.entropy: missing; wanted a finite number."],
    ),
    "an entropy inside a bin": (
        lambda r: r["right"].update(entropy=0.31),
        ["right.entropy: got 0.31, wanted one of the upper edges of entropy."],
    ),
    "right without an entropy histogram": (
        lambda r: r.pop("entropy"),
        ["right.entropy: got 0.3, wanted one of the upper edges of entropy."],
    ),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_part_is_named(tmp_path: Path, what: str) -> None:
    edit, expected = MALFORMED[what]
    reference = copy.deepcopy(WHOLE)
    edit(reference)

    assert mistakes(tmp_path, reference) == expected


def test_every_malformed_part_is_named_at_once(tmp_path: Path) -> None:
    reference = copy.deepcopy(WHOLE)
    reference["rows"] = 11
    reference["energy"] = 3

    found = mistakes(tmp_path, reference)

    assert {line.partition(":")[0] for line in found} >= {"energy", "labels", "routes", "decisions", "margin.counts"}


@pytest.mark.parametrize("model", ["clinc150", "digits", "hotel-requests"])
def test_the_references_of_the_shipped_models_are_whole(model: str) -> None:
    bundle = read_bundle(Path(__file__).parents[2] / "models" / model)

    assert bundle.calibration is not None
    assert bundle.calibration.reference is not None
