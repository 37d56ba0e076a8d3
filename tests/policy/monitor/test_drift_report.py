import json
from collections import Counter
from pathlib import Path

import jsonschema
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from scipy.spatial.distance import jensenshannon
from scipy.special import logsumexp, softmax
from scipy.stats import chi2, chi2_contingency, fisher_exact, ks_2samp, wasserstein_distance

from graphs import LABELS, linear, write_calibration, write_model
from softgate.policy.monitor.axes import MEASURES
from softgate.policy.monitor.told import Report
from softgate.runtime.reference import Histogram
from softgate.runtime.repository import Bundle, read_bundle
from softgate.types import Action, Predictions, Reason
from watched import UNIX_TIME, Fleet, Logits, logits, referenced

SCHEMA = TypeAdapter(Report).json_schema()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("model") / "toy"
    return referenced(folder, logits(1000), thresholds={"default": 0.7}, gate=0.5, set_quantile=0.9)


def valid_json(report: Report) -> dict[str, object]:
    """What the API answers, held to what it publishes."""
    answer: dict[str, object] = json.loads(msgspec.json.encode(report))
    jsonschema.validate(answer, SCHEMA)
    return answer


def reference(bundle: Bundle, name: str) -> Histogram:
    assert bundle.calibration is not None
    assert bundle.calibration.reference is not None
    return bundle.calibration.reference.histograms[name]


def scores(rows: Logits) -> dict[str, Logits]:
    """Of softmax at T = 1, where each label is its own route."""
    p = np.sort(softmax(rows, axis=1), axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(p > 0, p * np.log(p), 0).sum(axis=1)
    return {
        "label_confidence": p[:, -1],
        "route_confidence": p[:, -1],
        "margin": p[:, -1] - p[:, -2],
        "entropy": entropy,
        "energy": logsumexp(rows, axis=1),
    }


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), n_rows=st.integers(1, 300), scale=st.floats(0.01, 20), lost=st.floats(0, 0.5))
def test_a_window_is_a_recount_of_its_rows(bundle: Bundle, seed: int, n_rows: int, scale: float, lost: float) -> None:
    rows = logits(n_rows, scale=scale, seed=seed)
    rows[np.random.default_rng(seed).random(n_rows) < lost, 1] = np.inf
    fleet = Fleet(bundle, workers=3)
    answers = [fleet.answer(rows[worker::3], worker=worker) for worker in range(3)]
    fleet.step()

    window = fleet.window()

    finite = rows[np.isfinite(rows).all(axis=1)]
    assert (window.rows, window.finite_rows) == (n_rows, len(finite))
    assert window.decisions == recounted(answers)
    assert (window.measures == {}) == (len(finite) == 0)
    for name, measure in window.measures.items():
        values = scores(finite)[name]
        assert measure.mean == pytest.approx(values.mean(), abs=1e-9)
        assert measure.standard_deviation == pytest.approx(values.std(), abs=1e-6)
        assert sum(measure.counts) == len(finite)
        below = [int((values <= edge).sum()) for edge in measure.upper_edges]
        # A value at an edge may be rounded to either side of it by another order of the sums.
        assert np.abs(np.cumsum(measure.counts)[:-1] - below).sum() <= 1
    valid_json(fleet.report())


def recounted(answers: list[Predictions]) -> Counter[str]:
    return Counter(
        f"{Action(action).word} {Reason(reason).word}"
        for answer in answers
        for action, reason in zip(answer.decisions.action, answer.decisions.reason, strict=True)
    )


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), n_rows=st.integers(1, 2000), scale=st.floats(0.1, 8))
def test_statistics_agree_with_scipy(bundle: Bundle, seed: int, n_rows: int, scale: float) -> None:
    fleet = Fleet(bundle)
    fleet.answer(logits(n_rows, scale=scale, seed=seed))

    window = fleet.window()

    assert list(window.measures) == list(MEASURES)
    for name, measure in window.measures.items():
        known, counts, told = reference(bundle, name), np.array(measure.counts), measure.statistics
        points = np.append(known.upper_edges, known.upper_edges[-1])
        p, q = ((one + 0.5) / (one + 0.5).sum() for one in (known.counts, counts))
        m, n = 1000, n_rows
        assert told["js"].value == pytest.approx(jensenshannon(p, q) ** 2, abs=1e-12)
        assert told["wasserstein"].value == pytest.approx(wasserstein_distance(points, points, known.counts, counts))
        gap = ks_2samp(np.repeat(np.arange(len(counts)), known.counts), np.repeat(np.arange(len(counts)), counts))
        assert told["ks"].value == pytest.approx(gap.statistic)
        shift, share = told["mean_shift"], n / (m + n)
        assert measure.mean is not None
        assert measure.standard_deviation is not None
        assert shift.value == pytest.approx(measure.mean - known.mean, abs=1e-9)
        within = (1 - share) * known.standard_deviation**2 + share * measure.standard_deviation**2
        variance = within + share * (1 - share) * shift.value**2
        assert shift.z == pytest.approx(shift.value / np.sqrt(variance * (1 / m + 1 / n)), rel=1e-6)
        if name != "label_confidence":
            psi = told["psi"].value
            assert psi == pytest.approx(((q - p) * np.log(q / p)).sum())
            assert told["psi"].p_value == pytest.approx(chi2.sf(psi / (1 / m + 1 / n), len(counts) - 1), abs=1e-12)


def test_psi_of_confidence_is_over_the_deciles_of_the_reference(bundle: Bundle) -> None:
    rows = logits(400, scale=2.0, seed=1)
    fleet = Fleet(bundle)
    fleet.answer(rows)

    told = fleet.window().measures["label_confidence"].statistics

    deciles = reference(bundle, "label_confidence_deciles")
    assert len(deciles.counts) == 10
    live = np.histogram(scores(rows)["label_confidence"], [-1, *deciles.upper_edges, 2])[0]
    p, q = ((one + 0.5) / (one + 0.5).sum() for one in (deciles.counts, live))
    assert told["psi"].value == pytest.approx(((q - p) * np.log(q / p)).sum())
    assert told["chi_squared"].value == pytest.approx(chi2_contingency([deciles.counts, live]).statistic)
    assert told["psi"].significant


def test_every_statistic_has_a_floor_and_those_that_know_one_a_p_value(bundle: Bundle) -> None:
    fleet = Fleet(bundle)
    fleet.answer(logits(300, seed=1))
    window = fleet.window()

    with_p = {"psi", "ks", "chi_squared", "mean_shift", "standard_deviation_shift"}
    for measure in window.measures.values():
        for name, statistic in measure.statistics.items():
            assert statistic.floor > 0
            assert (statistic.p_value is not None) == (name in with_p)
            assert statistic.significant in ((None,) if statistic.p_value is None else (False,))
            assert (statistic.z is not None) == name.endswith("shift")
    for mix in (window.labels, window.routes):
        assert mix.chi_squared is not None
        assert mix.chi_squared.floor == 3
        assert mix.chi_squared.p_value is not None


def test_labels_and_routes_are_compared_by_chi_squared(bundle: Bundle) -> None:
    rows = logits(500, seed=1)
    rows[:250, 2] += 6
    fleet = Fleet(bundle)
    fleet.answer(rows)

    window = fleet.window()

    assert bundle.calibration is not None
    assert bundle.calibration.reference is not None
    before = bundle.calibration.reference.labels
    live = np.bincount(rows.argmax(axis=1), minlength=4)
    expected = chi2_contingency([before, live], correction=False)
    for mix in (window.labels, window.routes):
        assert mix.chi_squared is not None
        assert (mix.chi_squared.value, mix.chi_squared.p_value) == pytest.approx((expected.statistic, expected.pvalue))
        assert mix.chi_squared.significant
    first = window.movers[0]
    assert (first.label, first.share, first.reference) == (LABELS[2], live[2] / 500, before[2] / 1000)
    by_fisher = fisher_exact(
        np.array([[live[2], 500 - live[2]], [before[2], 1000 - before[2]]]), alternative="greater"
    ).pvalue
    assert first.p_value == pytest.approx(2 * by_fisher * 4, rel=1e-8)
    assert first.significant
    assert [mover.p_value for mover in window.movers] == sorted(mover.p_value for mover in window.movers)


@pytest.mark.parametrize("n_labels", [4, 150, 1000])
def test_a_label_of_unchanged_traffic_seldom_counts_as_moved(tmp_path: Path, n_labels: int) -> None:
    """Common and rare ones, 40 windows of 200 rows."""
    rng = np.random.default_rng(n_labels)
    shares = 1 / np.arange(1, n_labels + 1)

    def drawn(n_rows: int) -> Logits:
        rows = rng.normal(size=(n_rows, n_labels))
        rows[np.arange(n_rows), rng.choice(n_labels, n_rows, p=shares / shares.sum())] += 12
        return rows

    labels = [f"label {place}" for place in range(n_labels)]
    moved = by_z = 0
    of = referenced(tmp_path / "toy", drawn(3000), labels=labels)
    for _ in range(40):
        fleet = Fleet(of)
        fleet.answer(drawn(200))
        movers = fleet.window().movers
        moved += any(mover.significant for mover in movers)
        by_z += any(abs(mover.z) > 3.0 for mover in movers)

    assert moved <= 1
    if n_labels == 1000:
        # What is not for as many labels, and takes a count of one for a normal number.
        assert by_z > 20


def test_labels_that_vanished_and_exploded_are_named(tmp_path: Path) -> None:
    labels = [f"label {place}" for place in range(12)]
    rows = logits(3000, n_labels=12)
    fleet = Fleet(referenced(tmp_path / "toy", rows, labels=labels))
    live = logits(1000, n_labels=12, seed=1)
    live[:, 3] = -50
    live[::2, 7] = 50
    fleet.answer(live)

    window = fleet.window()

    for mix in (window.labels, window.routes):
        assert (mix.vanished, mix.exploded) == (["label 3"], ["label 7"])
    assert len(window.movers) == 5
    assert {mover.label for mover in window.movers[:2]} == {"label 3", "label 7"}


def test_routes_are_judged_by_their_own_names(tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    write_model(folder, linear(np.eye(4, dtype=np.float32)), routes={"transfer": "banking", "balance": "banking"})
    write_calibration(folder)
    rows = np.repeat(np.eye(4) * 9, 25, axis=0)
    written = {
        "rows": 300,
        "label_confidence": {"upper_edges": [1.0], "counts": [300, 0], "mean": 0.9, "standard_deviation": 0.1},
        "labels": [75, 75, 75, 75],
        "routes": [298, 1, 1],
        "decisions": {"route confident": 300},
    }
    write_calibration(folder, reference=written)
    fleet = Fleet(read_bundle(folder))
    fleet.answer(rows)

    window = fleet.window()

    assert window.routes.exploded == ["weather", "joke"]
    assert window.labels.exploded == []


def test_without_a_reference_there_are_counts_and_nothing_to_compare(tmp_path: Path) -> None:
    fleet = Fleet(read_bundle(write_model(tmp_path / "toy", linear(np.eye(4, dtype=np.float32)))))
    fleet.answer(logits(200))
    fleet.step()

    report = fleet.report()

    assert (report.calibration, report.reference, report.detectors, report.alarm) == (None, None, [], False)
    window = report.windows[0]
    assert set(window.measures) == set(MEASURES) - {"energy"}
    assert all(measure.statistics == {} for measure in window.measures.values())
    assert (window.labels.chi_squared, window.movers, window.estimated_accuracy) == (None, [], {})
    valid_json(report)


def test_before_the_first_row_everything_is_empty(bundle: Bundle) -> None:
    report = Fleet(bundle).report()

    assert [window.window for window in report.windows] == ["1m", "10m", "1h", "24h"]
    for window in report.windows:
        assert (window.rows, window.decisions, window.measures, window.rules, window.movers) == (0, {}, {}, [], [])
    assert report.updated_at == 0
    valid_json(report)


def test_the_report_tells_whose_it_is_and_what_it_compares_with(bundle: Bundle) -> None:
    fleet = Fleet(bundle)
    fleet.step(5)

    report = fleet.report()

    assert bundle.calibration is not None
    assert (report.model, report.version, report.calibration) == ("toy", "1", bundle.calibration.id)
    assert (report.alarm_every, report.updated_at) == (10_000, UNIX_TIME + 5)
    known = reference(bundle, "label_confidence")
    assert report.reference is not None
    assert (report.reference.rows, report.reference.mean_confidence) == (1000, known.mean)
    assert report.reference.counts == known.counts.tolist()


def test_windows_tell_their_own_rows(bundle: Bundle) -> None:
    fleet = Fleet(bundle)
    for n_rows, seconds in ((1, 4000.0), (20, 1800.0), (300, 300.0), (4000, 0.0)):
        fleet.answer(logits(n_rows))
        fleet.step(120.0)
        fleet.step(seconds)

    assert {window.window: window.rows for window in fleet.report().windows} == {
        "1m": 4000,
        "10m": 4300,
        "1h": 4320,
        "24h": 4321,
    }


def test_labels_that_may_hold_at_once_are_compared_too(tmp_path: Path) -> None:
    rows = logits(500, scale=2.0)
    held = rows > 0
    fleet = Fleet(
        referenced(tmp_path / "toy", rows, truth=held, activation="sigmoid", thresholds={"default": 0.5}),
    )
    fleet.answer(logits(300, scale=2.0, seed=1))
    fleet.step()

    window = fleet.window()

    assert set(window.measures) == set(MEASURES) - {"energy"}
    assert window.labels.chi_squared is not None
    assert window.measures["label_confidence"].statistics["psi"].p_value is not None
    valid_json(fleet.report())


HOSTILE = {
    "not a number": [np.nan] * 4,
    "infinite": [np.inf, 0.0, 0.0, 0.0],
    "near the end of float64": [1e300, 0.0, 0.0, 0.0],
    "far below": [-1e300] * 4,
    "all equal and huge": [1e308] * 4,
    "its square leaves the range": [1e200, 0.0, 0.0, 0.0],
    "tiny": [5e-324, 0.0, 0.0, 0.0],
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_report_of_hostile_logits_is_valid_json(bundle: Bundle, what: str) -> None:
    fleet = Fleet(bundle)
    fleet.answer(logits(50))
    fleet.step()
    for _ in range(3):
        fleet.answer(np.array([HOSTILE[what]]))
        fleet.step()
        valid_json(fleet.report())
    # Nor afterwards, when the windows begin after it.
    fleet.step(90_000.0)
    fleet.answer(logits(50))
    fleet.step()
    valid_json(fleet.report())
    fleet.scrape()


def test_a_score_beyond_all_others_passes_with_its_window(bundle: Bundle) -> None:
    fleet = Fleet(bundle)
    fleet.answer(np.array([[1e300, 0.0, 0.0, 0.0]]))

    energy = fleet.window().measures["energy"]
    assert (sum(energy.counts), energy.counts[-1]) == (1, 1)
    valid_json(fleet.report())
    for _ in range(2):
        fleet.step(seconds=70)
    ordinary = logits(300, seed=9)
    fleet.answer(ordinary)
    fleet.step()

    energy = fleet.window("1m").measures["energy"]
    assert energy.mean == pytest.approx(logsumexp(ordinary, axis=1).mean(), rel=1e-9)


def test_a_row_that_is_half_counted_breaks_no_report(bundle: Bundle) -> None:
    """Its decision is counted first, and each score after the other."""
    fleet = Fleet(bundle)
    counts = fleet.monitor().counts
    for field in ("decisions", "labels", "routes", "label_confidence", "route_confidence"):
        counts[field][0] += 1

        valid_json(fleet.report())
        fleet.scrape()

    assert list(fleet.window().measures) == ["label_confidence", "route_confidence"]
