"""
What a real Prometheus records of a fleet of real servers is what numpy makes of the rows that they answered, whichever
server answered which, and one of them restarted in between.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

import promtool
from fleets import LIVE, ROWS, SIZES
from scraped import Prometheus, wait_for
from softgate.numerics.activations import softmax
from softgate.numerics.drift import DRIFT_STATISTICS
from softgate.numerics.histogram import CONFIDENCE_EDGES, count_in_bins
from softgate.numerics.shift import mean_shift

Expected = Mapping[str, float]


def expected(calibration: Mapping[str, Any], size: int) -> Expected:
    """From the rows that the first `size` servers answered."""
    reference = calibration["reference"]
    held, deciles = reference["label_confidence"], reference["label_confidence_deciles"]
    confidence = softmax(LIVE[:size].reshape(-1, 4) / calibration["temperature"]).max(axis=1)
    edges = np.array(deciles["upper_edges"])
    tenths = np.array(deciles["counts"]), count_in_bins(confidence, edges)
    fine = np.array(held["counts"]), count_in_bins(confidence, CONFIDENCE_EDGES)
    points = np.append(CONFIDENCE_EDGES, 1.0)
    shift = mean_shift(
        (held["mean"], held["standard_deviation"], reference["rows"]),
        (float(confidence.mean()), float(confidence.std()), len(confidence)),
    )
    psi = DRIFT_STATISTICS["psi"](*tenths, edges)
    return {
        "confidence_rows:increase1h": len(confidence),
        "confidence:mean1h": float(confidence.mean()),
        "confidence:deviation1h": float(confidence.std()),
        "confidence:mean_shift1h": shift.value,
        "confidence:mean_shift_z1h": shift.z,
        "confidence:psi1h": psi.value,
        "confidence:psi_floor1h": psi.floor,
        "confidence:js1h": DRIFT_STATISTICS["js"](*tenths, edges).value,
        "confidence:ks1h": DRIFT_STATISTICS["ks"](*fine, CONFIDENCE_EDGES).value,
        "confidence:wasserstein1h": float(wasserstein_distance(points, points, *fine)),
    }


@pytest.mark.parametrize("size", SIZES)
def test_a_fleet_s_statistics_are_those_of_its_rows(
    fleets: Mapping[int, Prometheus], calibration: Mapping[str, Any], size: int
) -> None:
    """
    As soon as there are scrapes enough.

    increase() reckons that rows went on coming up to this moment as they came between the scrapes; of few scrapes that
    is much.
    """
    wanted = expected(calibration, size)

    def recorded() -> dict[str, float | None]:
        return {name: fleets[size].value(f'softgate:{name}{{model="toy"}}') for name in wanted}

    wait_for(lambda: recorded() == pytest.approx(wanted, rel=0.02))
    assert recorded() == pytest.approx(wanted, rel=0.02)
    assert wanted["confidence_rows:increase1h"] == size * ROWS
    assert wanted["confidence:psi1h"] > 0.1


@pytest.mark.parametrize("size", SIZES)
def test_every_record_has_numbers_and_no_rule_fails(fleets: Mapping[int, Prometheus], size: int) -> None:
    def without_numbers() -> list[str]:
        found = {name: fleets[size].query(name) for name in promtool.rules("record")}
        return [
            name
            for name, samples in found.items()
            if not samples or any(math.isnan(float(sample["value"][1])) for sample in samples)
        ]

    wait_for(lambda: not without_numbers())
    assert without_numbers() == []
    rules = fleets[size].rules()
    assert {rule["name"] for rule in rules} == promtool.rules("record").keys() | promtool.rules("alert").keys()
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []


@pytest.mark.parametrize("size", SIZES)
def test_a_drift_alarm_becomes_an_alert(fleets: Mapping[int, Prometheus], size: int) -> None:
    def told() -> str:
        alert = fleets[size].firing().get("SoftgateConfidenceFalling")
        return "" if alert is None else str(alert["annotations"]["description"])

    wait_for(lambda: f" {size} replicas" in told())
    assert told().startswith(f"toy version 1: {size} replicas have an alarm of confidence_falling")


@pytest.mark.parametrize("size", SIZES)
def test_the_distribution_has_shifted_and_the_mean_is_within_its_bounds(
    fleets: Mapping[int, Prometheus], size: int
) -> None:
    """An alert that waits for ten minutes is pending until then."""
    shifted = 'ALERTS{alertname="SoftgateConfidenceDistributionShifted", alertstate="pending"}'

    assert wait_for(lambda: fleets[size].query(shifted))
    assert fleets[size].query('ALERTS{alertname="SoftgateMeanConfidenceOutOfBounds"}') == []


@pytest.mark.parametrize("size", SIZES)
def test_a_healthy_fleet_has_no_alert_of_the_service(fleets: Mapping[int, Prometheus], size: int) -> None:
    (service,) = [group for group in promtool.groups() if group["name"] == "softgate-service"]
    names = {rule["alert"] for rule in service["rules"] if "alert" in rule}

    assert names
    assert names.isdisjoint(fleets[size].firing())
