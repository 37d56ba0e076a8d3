"""Every series of the exposition: which there are, from when on, what they hold."""

import math
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from expositions import of, parsed, value
from graphs import LABELS, linear, write_model
from softgate.numerics.histogram import CONFIDENCE_EDGES
from softgate.runtime.repository import Bundle, read_bundle
from softgate.types import Action, Reason
from softgate.web.metrics.drift import bin_names
from tools import tool
from watched import UNIX_TIME, Fleet, logits, referenced

SHIPPED = Path(__file__).parents[3] / "models"


N_ROWS = 997
"""Of the reference: not as many in each of ten bins."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("model") / "toy"
    card = "[routing.profiles.bold]\nprecision = 0.5\n"
    thresholds = {"default": 0.7, "bold": 0.4}
    return referenced(folder, logits(N_ROWS), card=card, thresholds=thresholds, gate=0.5, set_quantile=0.9)


def shipped(name: str) -> Fleet:
    bundle = read_bundle(SHIPPED / name)
    fleet = Fleet(bundle)
    rows = logits(500, n_labels=len(bundle.labels))
    fleet.answer(rows, name)
    fleet.step()
    return fleet


@pytest.mark.parametrize("name", ["clinc150", "hotel-requests", "digits"])
def test_a_model_has_at_most_160_series_beside_those_of_its_classes(name: str) -> None:
    series = parsed(shipped(name).scrape())

    beside = [
        own for own, held in series if ("model", name) in held and not {"label", "route"} & {key for key, _ in held}
    ]
    assert len(beside) <= 160, Counter(beside)


def test_the_exposition_is_well_formed(bundle: Bundle) -> None:
    fleet = Fleet(bundle)
    for scrape in (fleet.scrape(), shipped("hotel-requests").scrape()):
        checked = subprocess.run(
            [tool("promtool"), "check", "metrics"], input=scrape.encode(), capture_output=True, check=False
        )

        assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
        assert parsed(scrape)


def test_every_series_is_there_from_the_start_and_counts_from_0(bundle: Bundle) -> None:
    fleet = Fleet(bundle, workers=2)
    before = parsed(fleet.scrape())
    rows = logits(300, scale=1.0, seed=1)
    rows[0, 0] = np.nan
    fleet.answer(rows)
    fleet.step()

    after = parsed(fleet.scrape())

    assert before.keys() == after.keys()
    constant = ("softgate_reference_", "softgate_build_info", "softgate_model_info")
    counts = [key for key in before if key[0].endswith(("_total", "_bucket", "_sum", "_count"))]
    assert {before[key] for key in counts if not key[0].startswith(constant)} == {0}
    assert all(after[key] >= before[key] for key in counts)


def test_only_an_estimate_without_rows_is_no_number(bundle: Bundle) -> None:
    fleet = Fleet(bundle)
    before = {name for (name, _), number in parsed(fleet.scrape()).items() if math.isnan(number)}
    fleet.answer(logits(10))

    series = parsed(fleet.scrape())

    assert before == {"softgate_estimated_accuracy_ratio"}
    assert all(math.isfinite(number) for number in series.values())


def test_histograms_rise_to_their_count(bundle: Bundle) -> None:
    fleet = Fleet(bundle)
    fleet.answer(logits(200))
    series = parsed(fleet.scrape())

    histograms: dict[tuple[str, frozenset[tuple[str, str]]], dict[float, float]] = {}
    for (name, held), number in series.items():
        if name.endswith("_bucket"):
            labels = dict(held)
            bound = float(labels.pop("le"))
            key = name.removesuffix("_bucket"), frozenset(labels.items())
            histograms.setdefault(key, {})[bound] = number
    assert len(histograms) == 6
    for (name, held), buckets in histograms.items():
        numbers = [buckets[bound] for bound in sorted(buckets)]
        assert numbers == sorted(numbers)
        assert math.inf in buckets
        assert series[f"{name}_count", held] == numbers[-1]
        assert series[f"{name}_sum", held] >= 0


def test_counts_are_those_of_all_workers(bundle: Bundle) -> None:
    fleet, rows = Fleet(bundle, workers=3), logits(300, seed=1)
    answers = [fleet.answer(rows[worker::3], worker=worker) for worker in range(3)]

    series = parsed(fleet.scrape())

    confidence = np.concatenate([answer.scores.confidence for answer in answers])
    route_confidence = np.concatenate([answer.decisions.confidence for answer in answers])
    labels = np.bincount(np.concatenate([answer.scores.label for answer in answers]), minlength=4)
    pairs = Counter(
        (Action(action).word, Reason(reason).word)
        for answer in answers
        for action, reason in zip(answer.decisions.action, answer.decisions.reason, strict=True)
    )
    decisions = {pair: number for pair, number in of(series, "softgate_decisions_total").items() if number}
    assert decisions == dict(pairs)
    assert of(series, "softgate_predicted_labels_total") == {(LABELS[i],): labels[i] for i in range(4)}
    assert of(series, "softgate_predicted_routes_total") == {(LABELS[i],): labels[i] for i in range(4)}
    assert value(series, "softgate_confidence_ratio_sum") == pytest.approx(confidence.sum())
    assert value(series, "softgate_confidence_squares_total") == pytest.approx((confidence**2).sum())
    for edge in CONFIDENCE_EDGES.tolist():
        assert value(series, "softgate_confidence_ratio_bucket", le=str(edge)) == (confidence <= edge).sum()
    for profile, threshold in (("default", 0.7), ("bold", 0.4)):
        assert value(series, "softgate_threshold_ratio", profile=profile) == threshold
        below = value(series, "softgate_rows_below_threshold_total", profile=profile)
        assert below == (route_confidence < threshold).sum()


def test_the_reference_is_told_in_the_same_bins_as_live_rows(bundle: Bundle) -> None:
    fleet, rows = Fleet(bundle), logits(500, scale=2.0, seed=1)
    answers = fleet.answer(rows)
    assert bundle.calibration is not None
    reference = bundle.calibration.reference
    assert reference is not None
    held, deciles = (reference.histograms[name] for name in ("label_confidence", "label_confidence_deciles"))

    series = parsed(fleet.scrape())

    live = of(series, "softgate_confidence_bin_predictions_total")
    before = of(series, "softgate_confidence_reference_ratio")
    assert live.keys() == before.keys()
    assert sum(live.values()) == 500
    assert sum(before.values()) == pytest.approx(1)
    names = [(name,) for name in bin_names(deciles.upper_edges)]
    assert [before[name] for name in names] == pytest.approx((deciles.counts + 0.5) / (N_ROWS + 5))
    bounds = [-1.0, *deciles.upper_edges, 2.0]
    assert [live[name] for name in names] == np.histogram(-answers.scores.confidence, -np.array(bounds[::-1]))[0][
        ::-1
    ].tolist()
    assert value(series, "softgate_reference_confidence_ratio_count") == N_ROWS
    assert value(series, "softgate_reference_confidence_ratio_sum") == pytest.approx(N_ROWS * held.mean)
    assert value(series, "softgate_reference_confidence_deviation_ratio") == held.standard_deviation
    for edge, below in zip(held.upper_edges.tolist(), held.counts.cumsum(), strict=False):
        assert value(series, "softgate_reference_confidence_ratio_bucket", le=str(edge)) == below
    shares = of(series, "softgate_route_reference_ratio")
    assert shares == pytest.approx({(LABELS[i],): (reference.routes[i] + 0.5) / (N_ROWS + 2) for i in range(4)})


def test_the_alarm_its_evidence_and_the_estimates_are_those_of_the_report(bundle: Bundle) -> None:
    fleet = Fleet(bundle)
    for scale in (1.0, 1.0, 3.0):
        fleet.answer(logits(60, scale=scale, seed=2))
        fleet.step()

    series, report = parsed(fleet.scrape()), fleet.report()

    assert report.alarm
    for state in report.detectors:
        assert value(series, "softgate_drift_alarm", detector=state.detector) == state.alarm
        assert value(series, "softgate_drift_alarms_total", detector=state.detector) == state.alarms
        assert value(series, "softgate_drift_evidence_ratio", detector=state.detector) == state.evidence
    hour = fleet.window("1h")
    for name, estimate in hour.estimated_accuracy.items():
        assert value(series, "softgate_estimated_accuracy_ratio", estimator=name) == pytest.approx(estimate.value)
        assert value(series, "softgate_estimated_accuracy_valid", estimator=name) == estimate.valid == 0
    assert of(series, "softgate_rule_bound_ratio") == {(rule.rule,): rule.bound for rule in hour.rules}
    assert value(series, "softgate_monitor_updated_timestamp_seconds") == UNIX_TIME + 3
    fleet.acknowledge("confidence_falling")
    fleet.step()
    assert value(parsed(fleet.scrape()), "softgate_drift_alarm", detector="confidence_falling") == 0


def test_estimates_and_drifted_labels_are_of_the_last_hour(bundle: Bundle) -> None:
    fleet, strange = Fleet(bundle), np.eye(4)[[3] * 300] * 30
    for rows, seconds in ((strange, 5000.0), (logits(200, seed=1), 0.0)):
        fleet.answer(rows)
        fleet.step(120.0)
        fleet.step(seconds)

    series, hour, day = parsed(fleet.scrape()), fleet.window("1h"), fleet.window("24h")

    (told,) = of(series, "softgate_estimated_accuracy_ratio", estimator="average_confidence").values()
    assert told == hour.estimated_accuracy["average_confidence"].value
    assert told < day.estimated_accuracy["average_confidence"].value
    assert len(day.labels.vanished) == 0
    assert of(series, "softgate_drifted_labels") == {("vanished",): 0, ("exploded",): 0}


def test_an_alarm_before_the_last_hour_leaves_its_estimates_valid(bundle: Bundle) -> None:
    fleet, valid = Fleet(bundle), "softgate_estimated_accuracy_valid"
    fleet.answer(logits(300, scale=0.5, seed=1))
    fleet.step()
    for detector, raised in fleet.alarms().items():
        if raised:
            fleet.acknowledge(detector)
    fleet.step()
    early = set(of(parsed(fleet.scrape()), valid).values())
    for _ in range(2):
        fleet.step(seconds=3700)
    fleet.answer(logits(N_ROWS, seed=2))
    fleet.step()

    assert early == {0}
    assert set(of(parsed(fleet.scrape()), valid).values()) == {1}


def test_labels_that_vanished_or_exploded_are_counted(tmp_path: Path) -> None:
    labels = [f"label {place}" for place in range(12)]
    fleet = Fleet(referenced(tmp_path / "toy", logits(3000, n_labels=12), labels=labels))
    live = logits(1000, n_labels=12, seed=1)
    live[:, (3, 4)] = -50
    live[::2, 7] = 50
    fleet.answer(live)

    series = parsed(fleet.scrape())

    assert of(series, "softgate_drifted_labels") == {("vanished",): 2, ("exploded",): 1}


def test_a_model_without_a_calibration_has_nothing_of_a_reference(tmp_path: Path) -> None:
    plain = read_bundle(write_model(tmp_path / "toy", linear(np.eye(4, dtype=np.float32))))

    series = parsed(Fleet(plain).scrape())

    names = {name for name, held in series if ("calibration", "") in held}
    absent = ("reference", "bin_predictions", "drift", "estimated")
    assert not [name for name in names if any(part in name for part in absent)]
    assert of(series, "softgate_rule_bound_ratio").keys() == {
        ("mean_confidence_above",),
        ("mean_confidence_below",),
        ("non_finite_above",),
    }


def test_models_are_told_apart(tmp_path: Path, bundle: Bundle) -> None:
    other = referenced(tmp_path / "other", logits(300, seed=3), name="other")
    fleet = Fleet(bundle, other)
    fleet.answer(logits(10), "toy")
    fleet.answer(logits(25), "other")

    series = parsed(fleet.scrape())

    assert value(series, "softgate_confidence_ratio_count", model="toy") == 10
    assert value(series, "softgate_confidence_ratio_count", model="other") == 25


BINS = [
    ([0.5, 0.75], ["0.5", "0.75", "1"]),
    ([1 / 3, 2 / 3], ["0.3333", "0.6667", "1"]),
    ([0.99991, 0.99992], ["0.99991", "0.99992", "1"]),
    ([0.5, 1.0], ["0.5", "1.0", "1+"]),
    ([1.0], ["1.0", "1+"]),
    ([0.5, math.nextafter(1.0, 0.0)], ["0.5", "0.9999999999999999", "1"]),
]


@pytest.mark.parametrize(("edges", "names"), BINS)
def test_bins_are_named_by_their_upper_edge_with_as_many_digits_as_tell_them_apart(
    edges: list[float], names: list[str]
) -> None:
    assert bin_names(np.array(edges)) == names
