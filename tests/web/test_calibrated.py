"""Served models whose calibration has every part that it may have."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit, logsumexp, softmax

from graphs import LABELS, linear, write_calibration, write_model
from references import write_referenced
from servers import Served, command, environment, served

BANKING = {"transfer": "banking", "balance": "banking"}
ROW = [2.0, 1.0, 1.5, 0.0]
BIAS = [0.0, 0.0, 1.5, 0.0]
TEMPERATURES = [0.5, 1.0, 2.0, 4.0]
PARTS: dict[str, dict[str, Any]] = {
    "biased": {"temperature": 2.0, "bias": BIAS},
    "several": {"temperature": TEMPERATURES, "route_thresholds": {"default": {"joke": 0.9}}},
    "sets": {"set_score": "lac", "set_quantile": [0.5, 0.5, 0.5, 0.9], "thresholds": {"default": 1.0}},
    "routes": {"thresholds": {"default": 0.9}, "route_thresholds": {"default": {"banking": 0.5}}},
}


def write(folder: Path, name: str, **parts: Any) -> Path:
    write_model(
        folder,
        linear(np.eye(4, dtype=np.float32)),
        name=name,
        activation="sigmoid" if name == "several" else "softmax",
        routing="threshold = 0.7" if name == "biased" else "",
        routes=BANKING,
    )
    if name == "biased" and parts == PARTS[name]:
        write_referenced(folder, np.array([ROW]), **parts)
    else:
        write_calibration(folder, **parts)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("models")
    for name, parts in PARTS.items():
        write(folder / name, name, **parts)
    with served(folder) as running:
        yield running


def answer(server: Served, model: str, row: list[float], **view: Any) -> dict[str, Any]:
    (prediction,) = server.predict(model, inputs=row, **view).json()["predictions"]
    return dict(prediction)


def in_order(prediction: dict[str, Any]) -> list[float]:
    return [prediction["probabilities"][label] for label in LABELS]


def test_a_bias_changes_the_label_and_not_the_energy(server: Served) -> None:
    found = answer(server, "biased", ROW, logits=True)

    assert found["label"] == "weather"
    assert found["logits"] == ROW
    assert_allclose(in_order(found), softmax(np.array(ROW) / 2 + BIAS), rtol=1e-12)
    assert found["energy"] == pytest.approx(2 * logsumexp(np.array(ROW) / 2), rel=1e-12)


def test_a_bias_applies_at_the_temperature_asked_for(server: Served) -> None:
    found = answer(server, "biased", ROW, temperature=5.0)

    assert_allclose(in_order(found), softmax(np.array(ROW) / 5 + BIAS), rtol=1e-12)
    assert found["decision"] == answer(server, "biased", ROW)["decision"]


def test_labels_of_a_sigmoid_have_a_temperature_each_until_a_request_asks_for_one(server: Served) -> None:
    assert_allclose(in_order(answer(server, "several", ROW)), expit(np.array(ROW) / TEMPERATURES), rtol=1e-12)
    assert_allclose(in_order(answer(server, "several", ROW, temperature=5.0)), expit(np.array(ROW) / 5), rtol=1e-12)


def test_a_set_may_be_empty_and_then_nobody_is_asked(server: Served) -> None:
    empty, one = answer(server, "sets", [0.0, 0.0, 0.0, -9.0]), answer(server, "sets", [9.0, 0.0, 0.0, 0.0])

    assert empty["prediction_set"] == []
    assert (empty["decision"]["action"], empty["decision"]["reason"]) == ("fallback", "below_threshold")
    assert one["prediction_set"] == ["transfer"]


def test_a_quantile_of_its_own_lets_a_label_into_the_set(server: Served) -> None:
    found = answer(server, "sets", [1.0, 0.0, -9.0, 0.0])

    # softmax: 0.58, 0.21, 0.00, 0.21; of the two equals only joke may be that improbable.
    assert found["prediction_set"] == ["transfer", "joke"]
    assert found["decision"]["action"] == "clarify"


def test_a_threshold_of_a_route_overrides_the_fitted_one(server: Served) -> None:
    banking, joke = answer(server, "routes", [1.0, 0.0, 0.0, 0.0]), answer(server, "routes", [0.0, 0.0, 0.0, 2.0])

    assert (banking["decision"]["action"], banking["decision"]["threshold"]) == ("route", 0.5)
    assert (joke["decision"]["action"], joke["decision"]["threshold"]) == ("fallback", 0.9)


def test_a_threshold_of_a_label_is_the_only_one_there_is(server: Served) -> None:
    assert answer(server, "several", [9.0, 9.0, 9.0, 0.0])["labels"] == []
    assert answer(server, "several", [0.0, 0.0, 0.0, 36.0])["labels"] == ["joke"]


@pytest.mark.parametrize("name", PARTS)
def test_the_model_shows_every_part_in_the_published_form(server: Served, name: str) -> None:
    document = server.client.get("/openapi.json").json()
    form = document["paths"]["/v1/models/{model}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]

    shown = server.client.get(f"/v1/models/{name}").json()

    jsonschema.validate(shown, {**form, "components": document["components"]})
    nothing: dict[str, Any] = {
        "bias": None,
        "set_quantile": None,
        "set_score": "topp",
        "route_thresholds": {},
        "reference": {},
    }
    expected = {"temperature": 1.0, "thresholds": {}, **nothing, **PARTS[name]}
    detail = shown["calibration_detail"]
    if name == "biased":
        expected["reference"] = detail["reference"]
        assert detail["reference"]["rows"] == 1
    assert {key: detail[key] for key in expected} == expected


def test_the_temperature_of_each_label_is_exposed_where_it_has_one(server: Served) -> None:
    found = {name: value for name, value in server.metrics().items() if name.startswith("softgate_temperature")}

    def series(model: str, label: str = "") -> str:
        calibration = server.client.get(f"/v1/models/{model}").json()["calibration"]
        return f'softgate_temperature{{calibration="{calibration}",{label}model="{model}",version="1"}}'

    of_labels = zip(LABELS, TEMPERATURES, strict=True)
    several = {series("several", f'label="{label}",'): t for label, t in of_labels}
    of_models = {"biased": 2.0, "sets": 1.0, "routes": 1.0}
    assert found == several | {series(model): t for model, t in of_models.items()}


@pytest.mark.parametrize(
    ("name", "key", "wanted"),
    [
        ("biased", "bias", "a list of 4 finite numbers."),
        ("several", "temperature", "a number from 0.05 to 20, or a list of 4 of them."),
        ("sets", "set_quantile", "a number from 0 to 1, or a list of 4 of them."),
    ],
)
def test_a_list_of_another_length_than_the_labels_is_refused_at_the_start(
    tmp_path: Path, name: str, key: str, wanted: str
) -> None:
    folder = write(tmp_path / "toy", name, **{key: [0.5, 0.5]})

    ended = subprocess.run(
        command("serve", folder, "--port", 0),
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(),
        check=False,
    )

    assert ended.returncode != 0
    assert f"calibration.json: {key}: got [0.5, 0.5], wanted {wanted}" in ended.stderr
