"""
Fleets of one, two and eight real servers under a real Prometheus: what it records of them is what numpy makes of the
rows that they answered, whichever server answered which, and one of them restarted in between.

There are eight servers, and a Prometheus of the first, of the first two and of all.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

import promtool
from calibrating import calibrated, examples, model, values
from scraped import Prometheus, scraping, wait_for
from servers import Served, served
from softgate.numerics.activations import softmax
from softgate.numerics.drift import DRIFT_STATISTICS
from softgate.numerics.histogram import CONFIDENCE_EDGES, count_in_bins
from softgate.numerics.shift import mean_shift
from softgate.types import Floats

FLEETS = (1, 2, 8)
ROWS = 600
"""Of each server, half of them before the restart."""
# Less sure than the rows of the calibration, whose logits are twice as large.
LIVE = np.random.default_rng(5).normal(scale=3, size=(max(FLEETS), ROWS, 4)).round(3)

Expected = Mapping[str, float]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, Any]]:
    """A folder with one calibrated model, whose logits are its inputs, and its calibration."""
    folder = tmp_path_factory.mktemp("models")
    found = calibrated(model(folder / "toy"), examples())
    (folder / "toy/1/calibration.json").write_bytes(found.content)
    return folder, values(found)


@pytest.fixture(scope="module")
def fleets(
    toy: tuple[Path, Mapping[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[int, Prometheus]]:
    """By size, after the traffic."""
    folder, _ = toy
    with ExitStack() as rest, ExitStack() as first:
        servers = [first.enter_context(served(folder))]
        servers += [rest.enter_context(served(folder)) for _ in range(max(FLEETS) - 1)]
        urls = [server.url for server in servers]
        running = {
            size: rest.enter_context(scraping(urls[:size], tmp_path_factory.mktemp("prometheus"))) for size in FLEETS
        }
        _wait_for_rows(running, 0)
        _send(servers, LIVE[:, : ROWS // 2])
        _wait_for_rows(running, ROWS // 2)
        first.close()
        servers[0] = rest.enter_context(served(folder, "--port", urls[0].rsplit(":", 1)[1]))
        _wait_for_rows(running, 0, ROWS // 2)
        _send(servers, LIVE[:, ROWS // 2 :])
        _wait_for_rows(running, ROWS // 2, ROWS)
        yield running


def _send(servers: Sequence[Served], rows: Floats) -> None:
    for server, own in zip(servers, rows, strict=True):
        for part in np.array_split(own, 6):
            assert server.predict("toy", inputs=part.tolist()).status_code == 200


def _wait_for_rows(running: Mapping[int, Prometheus], first: int, others: int | None = None) -> None:
    """Until each Prometheus has scraped so many rows of the first server, and of each of the others."""
    for size, prometheus in running.items():
        wanted = first + (size - 1) * (first if others is None else others)
        scraped = partial(prometheus.query, f"sum(softgate_confidence_ratio_count) == {wanted}")
        assert wait_for(scraped), f"{wanted} rows were never scraped from {size} servers."


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


@pytest.mark.parametrize("size", FLEETS)
def test_a_fleet_s_statistics_are_those_of_its_rows(
    fleets: Mapping[int, Prometheus], toy: tuple[Path, Mapping[str, Any]], size: int
) -> None:
    wanted = expected(toy[1], size)

    def recorded() -> dict[str, float | None]:
        return {name: fleets[size].value(f"softgate:{name}") for name in wanted}

    def is_whole() -> bool:
        rows = recorded()["confidence_rows:increase1h"]
        return rows is not None and rows >= size * ROWS

    wait_for(is_whole)
    assert recorded() == pytest.approx(wanted, rel=0.02)
    assert wanted["confidence:psi1h"] > 0.1


@pytest.mark.parametrize("size", FLEETS)
def test_every_record_has_numbers_and_no_rule_fails(fleets: Mapping[int, Prometheus], size: int) -> None:
    def without_numbers() -> list[str]:
        found = {name: fleets[size].query(name) for name in promtool.rules("record")}
        return [
            name
            for name, samples in found.items()
            if not samples or any(math.isnan(float(sample["value"][1])) for sample in samples)
        ]

    assert wait_for(lambda: not without_numbers()), without_numbers()
    rules = fleets[size].rules()
    assert {rule["name"] for rule in rules} == promtool.rules("record").keys() | promtool.rules("alert").keys()
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []


@pytest.mark.parametrize("size", FLEETS)
def test_a_drift_alarm_becomes_an_alert(fleets: Mapping[int, Prometheus], size: int) -> None:
    wait_for(lambda: "SoftgateConfidenceFalling" in fleets[size].firing())

    alert = fleets[size].firing()["SoftgateConfidenceFalling"]
    assert alert["labels"]["model"] == "toy"
    assert alert["annotations"]["dashboard_url"] == "/d/softgate-confidence?var-model=toy"


@pytest.mark.parametrize("size", FLEETS)
def test_the_distribution_has_shifted_and_the_mean_is_within_its_bounds(
    fleets: Mapping[int, Prometheus], size: int
) -> None:
    """An alert that waits for ten minutes is pending until then."""
    shifted = 'ALERTS{alertname="SoftgateConfidenceDistributionShifted", alertstate="pending"}'

    assert wait_for(lambda: fleets[size].query(shifted))
    assert fleets[size].query('ALERTS{alertname="SoftgateMeanConfidenceOutOfBounds"}') == []
