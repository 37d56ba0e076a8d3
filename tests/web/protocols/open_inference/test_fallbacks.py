"""What a model that falls back where it cannot answer tells as tensors."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from paced_server import paced
from servers import Served
from web.test_degraded import DEGRADED, FELL_BACK, decided, full

PATH = "/v2/models/paced/infer"
BODY: dict[str, Any] = {"inputs": [{"name": "features", "datatype": "FP32", "shape": [2, 4], "data": [1, 2, 3, 4] * 2}]}


@pytest.fixture(scope="module")
def degraded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with paced(tmp_path_factory.mktemp("models") / "paced", routing=DEGRADED) as running:
        yield running


def test_rows_fall_back_where_decisions_are_asked_for_and_numbers_alone_are_refused(degraded: Served) -> None:
    before = decided(degraded, "overloaded")
    with full(degraded):
        everything = degraded.client.post(PATH, json=BODY)
        numbers = degraded.client.post(PATH, json={**BODY, "outputs": [{"name": "logits"}, {"name": "label"}]})
        wrong = degraded.client.post(PATH, json={"inputs": []})

    outputs = {output["name"]: output for output in everything.json()["outputs"]}
    assert [json.loads(text) for text in outputs["decision"]["data"]] == [{**FELL_BACK, "reason": "overloaded"}] * 2
    assert (outputs["logits"]["datatype"], outputs["logits"]["data"]) == ("FP32", [0.0] * 8)
    assert (outputs["label"]["data"], outputs["prediction_set"]["data"]) == (["", ""], ["null", "null"])
    assert everything.json()["parameters"] == {"non_finite_rows": "[0,1]"}
    assert (everything.status_code, numbers.status_code, wrong.status_code) == (200, 429, 400)
    assert decided(degraded, "overloaded") == before + 2
