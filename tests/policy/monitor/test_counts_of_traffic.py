import time
from bisect import bisect_left
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from softgate.numerics.histogram import CONFIDENCE_EDGES
from softgate.policy.monitor.axes import MEASURES, Axes
from softgate.policy.monitor.counts import BATCH_EDGES, SECONDS_EDGES, STAGE_EDGES, Monitor, apart, fields
from softgate.policy.scoring import score
from softgate.runtime.counts import Layout
from softgate.types import Action, Decisions, Predictions, Reason

N_LABELS = 5
ROUTES = ["a", "b", "c"]
AXES = Axes(
    edges={
        "label_confidence": CONFIDENCE_EDGES,
        "route_confidence": np.array([0.3, 0.5, 0.9]),
        "margin": CONFIDENCE_EDGES,
        "entropy": np.linspace(0.1, np.log(N_LABELS), 9),
        "energy": np.array([-2.0, 0.0, 3.0]),
    },
    labels=[f"label {place}" for place in range(N_LABELS)],
    routes=ROUTES,
    multi_label=False,
    thresholds={},
    own_thresholds=np.empty((0, 0)),
    profiles=["default"],
)


def monitor() -> Monitor:
    return apart(AXES)


def predictions(logits: NDArray[np.float64], *, seed: int = 0) -> Predictions:
    """Scores of the logits, with decisions drawn at random."""
    n_rows, rng = len(logits), np.random.default_rng(seed)
    decisions = Decisions(
        action=rng.integers(len(Action), size=n_rows).astype(np.int8),
        reason=rng.integers(len(Reason), size=n_rows).astype(np.int8),
        route=rng.integers(len(ROUTES), size=n_rows),
        confidence=rng.random(n_rows),
        threshold=np.zeros(n_rows),
        sets=None,
        candidates={},
    )
    return Predictions(score(logits, activation="softmax", temperature=1.0, with_energy=True), decisions)


def one(confidence: float) -> Predictions:
    """A row whose best class has just this probability."""
    rest = (1 - confidence) / (N_LABELS - 1)
    with np.errstate(divide="ignore"):
        logits = np.log(np.array([[confidence] + [max(rest, 1e-300)] * (N_LABELS - 1)]))
    return predictions(logits)


def test_counts_of_predictions_agree_with_a_plain_recount() -> None:
    logits = np.random.default_rng(1).normal(scale=4, size=(500, N_LABELS))
    logits[::50, 2] = np.nan
    batches = [predictions(logits[start : start + 70], seed=start) for start in range(0, 500, 70)]
    counted = monitor()

    for batch in batches:
        counted.predictions(batch)

    decisions, labels, bins, total = Counter[int](), Counter[int](), Counter[int](), 0.0
    for batch in batches:
        scores = batch.scores
        for row in range(len(batch)):
            decisions[int(batch.decisions.action[row]) * len(Reason) + int(batch.decisions.reason[row])] += 1
            if scores.finite[row]:
                labels[int(scores.label[row])] += 1
                bins[bisect_left(CONFIDENCE_EDGES.tolist(), scores.confidence[row])] += 1
                total += scores.confidence[row]
    counts = counted.counts
    assert counts["decisions"].tolist() == [decisions[cell] for cell in range(len(Action) * len(Reason))]
    assert counts["labels"].tolist() == [labels[label] for label in range(N_LABELS)]
    assert counts["label_confidence"].tolist() == [bins[cell] for cell in range(len(CONFIDENCE_EDGES) + 1)]
    assert_allclose(counts["sums"][0], total, rtol=1e-12)
    assert (counts["decisions"].sum(), counts["labels"].sum()) == (500, 490)


class SlowToAdd(np.ndarray[Any, np.dtype[np.float64]]):
    """Other threads have their turn while it is added up."""

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "reduce":
            time.sleep(0.02)
        return getattr(ufunc, method)(*map(np.asarray, inputs), **kwargs)


def test_batches_of_several_threads_are_all_counted() -> None:
    counted, found = monitor(), predictions(np.random.default_rng(2).normal(size=(20, N_LABELS)))
    confidence = found.scores.confidence.view(SlowToAdd)
    slow = Predictions(replace(found.scores, confidence=confidence), found.decisions)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(counted.predictions, [slow] * 8))

    assert counted.counts["labels"].sum() == 160
    assert_allclose(counted.counts["sums"][0], 8 * found.scores.confidence.sum(), rtol=1e-12)


def test_a_batch_without_a_finite_row_counts_its_decisions_alone() -> None:
    counted = monitor()

    counted.predictions(predictions(np.full((3, N_LABELS), np.inf)))

    assert counted.counts["decisions"].sum() == 3
    for name in ("labels", "routes", *MEASURES, "sums", "squares"):
        assert_array_equal(counted.counts[name], 0)


@pytest.mark.parametrize("size", [1, 20], ids=["row by row", "in one batch"])
def test_an_energy_far_out_counts_as_far_out_and_spoils_no_sum(size: int) -> None:
    logits, counted = np.tile([1.5e308, 0.0, 0.0, 0.0, 0.0], (20, 1)), monitor()

    for first in range(0, 20, size):
        counted.predictions(predictions(logits[first : first + size]))

    assert counted.counts["energy"].tolist() == [0, 0, 0, 20]
    energy = MEASURES.index("energy")
    # The edges are -2, 0 and 3: at most ten times their span above the last.
    assert (counted.counts["sums"][energy], counted.counts["squares"][energy]) == (20 * 53.0, 20 * 53.0**2)
    assert counted.counts["sums"][0] == 20


def test_a_confidence_of_one_is_in_the_bin_that_ends_at_one() -> None:
    counted = monitor()

    counted.predictions(predictions(np.array([[1000.0] + [0.0] * (N_LABELS - 1)])))

    assert counted.counts["label_confidence"].tolist() == [0] * (len(CONFIDENCE_EDGES) - 1) + [1, 0]
    assert counted.counts["sums"][0] == 1


@pytest.mark.parametrize(("confidence", "edge"), [(0.51, 0.55), (0.96, 0.97), (0.975, 0.99), (0.9999, 1.0)])
def test_a_confidence_is_in_the_bin_of_the_edge_above_it(confidence: float, edge: float) -> None:
    counted = monitor()

    counted.predictions(one(confidence))

    (cell,) = np.flatnonzero(counted.counts["label_confidence"])
    assert CONFIDENCE_EDGES[cell] == edge


@pytest.mark.parametrize(("seconds", "cell"), [(0.0, 0), (2e-4, 0), (2.1e-4, 1), (4e-4, 1), (100.0, 16)])
def test_a_time_at_an_edge_is_in_the_bin_below_it(seconds: float, cell: int) -> None:
    counted = monitor()

    counted.request(rows=3, seconds=seconds)

    assert np.flatnonzero(counted.counts["request_seconds"]).tolist() == [cell]
    assert counted.counts["request_seconds_sum"][0] == seconds
    assert (counted.counts["requests"][0], counted.counts["rows"][0]) == (1, 3)


@pytest.mark.parametrize(("rows", "cell"), [(1, 0), (2, 1), (4, 1), (5, 2), (256, 4), (257, 5)])
def test_a_batch_at_an_edge_is_in_the_bin_below_it(rows: int, cell: int) -> None:
    counted = monitor()

    counted.batch(rows=rows, graph_seconds=0.5, queue_seconds=[], ended=0.0)

    assert np.flatnonzero(counted.counts["batch_rows"]).tolist() == [cell]
    assert (counted.counts["batch_rows_sum"][0], counted.counts["graph_seconds_sum"][0]) == (rows, 0.5)


def test_every_request_of_a_batch_waited_on_its_own() -> None:
    counted = monitor()

    counted.batch(rows=4, graph_seconds=0.25, queue_seconds=[0.0, 0.5, 0.5], ended=7.0)

    assert counted.counts["queue_seconds"].sum() == 3
    assert counted.counts["queue_seconds_sum"][0] == 1.0
    assert counted.counts["graph_seconds"].sum() == 1
    assert counted.counts["batch_at"][0] == 7.0


def test_a_request_that_failed_is_counted_apart() -> None:
    counted = monitor()

    counted.failure(seconds=0.5)

    assert (counted.counts["failures"][0], counted.counts["failures_seconds_sum"][0]) == (1, 0.5)
    assert (counted.counts["requests"][0], counted.counts["rows"][0]) == (0, 0)


def test_a_successor_starts_with_an_empty_queue_and_goes_on_counting() -> None:
    layout = Layout({"model": fields(AXES)})
    row = np.zeros(layout.width)
    first = Monitor(layout.view(row, "model"), AXES)
    first.request(rows=2, seconds=0.1)
    first.counts["queue_rows"][0] = 7

    successor = Monitor(layout.view(row, "model"), AXES)
    successor.request(rows=2, seconds=0.1)

    assert successor.counts["queue_rows"][0] == 0
    assert successor.counts["requests"][0] == 2


def test_edges_rise_and_every_histogram_has_a_bin_above_its_last() -> None:
    widths = fields(AXES)
    histograms = {"request_seconds": SECONDS_EDGES, "batch_rows": BATCH_EDGES, "queue_seconds": STAGE_EDGES}

    for name, edges in histograms.items():
        assert (np.diff(edges) > 0).all()
        assert widths[name] == len(edges) + 1
        assert widths[f"{name}_sum"] == 1


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(1, 6), min_size=1, max_size=20),
)
def test_rows_are_counted_alike_however_they_are_batched(n_rows: int, seed: int, sizes: list[int]) -> None:
    """Few rows are counted one by one, many by numpy."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=5, size=(n_rows, N_LABELS))
    logits[rng.random(n_rows) < 0.1, 0] = np.nan
    whole = predictions(logits, seed=seed)
    together, apart_ = monitor(), monitor()

    together.predictions(whole)
    start = 0
    while start < n_rows:
        size = sizes[start % len(sizes)]
        apart_.predictions(whole.part(start, min(n_rows, start + size)))
        start += size

    for name, counts in together.counts.items():
        if name in ("sums", "squares"):
            assert_allclose(counts, apart_.counts[name], rtol=1e-12, atol=1e-12)
        else:
            assert_array_equal(counts, apart_.counts[name], err_msg=name)


@pytest.mark.parametrize("n_rows", [1, 3, 4, 50])
def test_rows_below_the_threshold_of_their_own_route_are_counted_by_profile(n_rows: int) -> None:
    own = np.array([[0.5, 0.9, np.nan], [0.2, 0.2, 0.2]])
    counted = apart(replace(AXES, own_thresholds=own, profiles=["default", "bold"]))
    rows = predictions(np.random.default_rng(3).normal(size=(n_rows, N_LABELS)))

    counted.predictions(rows)

    route, confidence = rows.decisions.route, rows.decisions.confidence
    expected = [[int(((route == r) & (confidence < own[p, r])).sum()) for r in range(3)] for p in range(2)]
    assert counted.counts["own_below"].reshape(2, 3).tolist() == expected


def test_an_acknowledgement_is_counted_for_its_detector_alone() -> None:
    counted = monitor()

    counted.acknowledge("confidence_rising")

    assert counted.counts["acknowledged"].tolist() == [0, 1, 0]
