"""The parts of calibration.json that depend on the card and the labels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphs import LABELS, linear, write_calibration, write_model
from softgate.errors import CalibrationInvalid
from softgate.runtime.calibration import Calibration
from softgate.runtime.repository import read_bundle

ROUTING = "[routing.profiles.bold]\nprecision = 0.5"
ROUTES = {"transfer": "banking", "balance": "banking"}
ENOUGH = [1.0, 2, 0.5, 20.0]


def read(folder: Path, *, activation: str = "softmax", **parts: Any) -> Calibration:
    """A calibration with these parts, read with a model of four labels."""
    identity = linear(np.eye(4, dtype=np.float32))
    write_model(folder / "toy", identity, activation=activation, routing=ROUTING, routes=ROUTES)
    write_calibration(folder / "toy", **parts)
    calibration = read_bundle(folder / "toy").calibration
    assert calibration is not None
    return calibration


def test_a_calibration_without_the_optional_parts_has_none_of_them(tmp_path: Path) -> None:
    calibration = read(tmp_path)

    assert (calibration.temperature, calibration.bias, calibration.set_quantile) == (1.0, None, None)
    assert (calibration.set_score, calibration.route_thresholds, calibration.reference) == ("topp", {}, None)


def test_a_softmax_has_a_bias_quantiles_by_label_and_thresholds_by_route(tmp_path: Path) -> None:
    thresholds = {"default": {"banking": 0.5, "joke": 1}, "bold": {"banking": 0.1}}

    calibration = read(
        tmp_path,
        bias=[0, -1.5, 1e9, 2.0],
        set_score="lac",
        set_quantile=[0, 0.5, 0.9, 1],
        route_thresholds=thresholds,
    )

    assert (calibration.bias, calibration.set_quantile) == ((0.0, -1.5, 1e9, 2.0), (0.0, 0.5, 0.9, 1.0))
    assert (calibration.set_score, calibration.reference, calibration.written_reference) == ("lac", None, {})
    assert calibration.route_thresholds == thresholds


def test_labels_that_may_hold_at_once_have_temperatures_and_thresholds_of_their_own(tmp_path: Path) -> None:
    thresholds = {"bold": {"transfer": 0.25}}

    calibration = read(tmp_path, activation="sigmoid", temperature=ENOUGH, route_thresholds=thresholds)

    assert calibration.temperature == (1.0, 2.0, 0.5, 20.0)
    assert calibration.route_thresholds == thresholds


MISTAKES = [
    ("softmax", "temperature", ENOUGH, "temperature: got [1.0, 2, 0.5, 20.0], wanted a number from 0.05 to 20."),
    *(
        (
            "sigmoid",
            "temperature",
            wrong,
            f"temperature: got {wrong!r}, wanted a number from 0.05 to 20, or a list of 4 of them.",
        )
        for wrong in (ENOUGH[:3], [*ENOUGH, 1], [], [1, 1, 1, 21], [1, 1, 1, True], [1, 1, 1, [1]], 21, "1")
    ),
    *(
        ("softmax", "bias", wrong, f"bias: got {wrong}, wanted a list of 4 finite numbers.")
        for wrong in ([1], [0] * 5, [0, 0, 0, "0"], [0, 0, 0, None], [0, 0, 0, False], 0.5)
    ),
    ("sigmoid", "bias", [0] * 4, "bias: got one for sigmoid, wanted none: only softmax takes a bias."),
    ("sparsemax", "bias", [0] * 4, "bias: got one for sparsemax, wanted none: only softmax takes a bias."),
    ("softmax", "set_score", "aps", "set_score: got 'aps', wanted one of topp, lac."),
    ("softmax", "set_score", None, "set_score: got None, wanted one of topp, lac."),
    *(
        (
            "softmax",
            "set_quantile",
            wrong,
            f"set_quantile: got {wrong!r}, wanted a number from 0 to 1, or a list of 4 of them.",
        )
        for wrong in ([0.5] * 3, [0.5, 0.5, 0.5, 1.5], [0.5, 0.5, 0.5, -0.1], "0.5")
    ),
    ("softmax", "route_thresholds", 0.7, "route_thresholds: got 0.7, wanted a table."),
    ("softmax", "route_thresholds", {"default": 0.7}, "route_thresholds.default: got 0.7, wanted a table."),
    (
        "softmax",
        "route_thresholds",
        {"bald": {"joke": 0.7}},
        "route_thresholds.bald: unknown profile; wanted one of ['bold', 'default'].",
    ),
    (
        "softmax",
        "route_thresholds",
        {"bold": {"transfer": 0.7}},
        "route_thresholds.bold.transfer: unknown route; wanted one of ['banking', 'joke', 'weather'].",
    ),
    (
        "sigmoid",
        "route_thresholds",
        {"bold": {"banking": 0.7}},
        "route_thresholds.bold.banking: unknown label; wanted one of ['balance', 'joke', 'transfer', 'weather'].",
    ),
    (
        "softmax",
        "route_thresholds",
        {"default": {"joke": 1.5}},
        "route_thresholds.default.joke: got 1.5, wanted a number from 0 to 1.",
    ),
    (
        "softmax",
        "bias",
        [0.125] * 40,
        f"bias: got {str([0.125] * 40)[:57]}... of 40, wanted a list of 4 finite numbers.",
    ),
    ("softmax", "reference", [1], "reference: got [1], wanted a table."),
]


@pytest.mark.parametrize(("activation", "key", "value", "message"), MISTAKES)
def test_a_mistake_is_named_with_its_file_and_key(
    activation: str, key: str, value: object, message: str, tmp_path: Path
) -> None:
    with pytest.raises(CalibrationInvalid) as caught:
        read(tmp_path, activation=activation, **{key: value})

    assert str(caught.value) == f"{tmp_path / 'toy' / '1' / 'calibration.json'}: {message}"


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(CalibrationInvalid) as caught:
        read(tmp_path, bias=[1], set_score="aps", route_thresholds={"bald": {"jest": 0.5}})

    keys = [line.split(": ")[1] for line in str(caught.value).splitlines()]
    assert sorted(keys) == ["bias", "route_thresholds.bald", "route_thresholds.bald.jest", "set_score"]


def test_other_labels_are_named_rather_than_the_lengths_they_no_longer_fit(tmp_path: Path) -> None:
    read(tmp_path, bias=[0.5] * len(LABELS))
    (tmp_path / "toy" / "labels.txt").write_text("\n".join((*LABELS, "other")) + "\n")

    with pytest.raises(CalibrationInvalid, match=r"made for another labels\.txt; "):
        read_bundle(tmp_path / "toy")
