"""A shape is what a client says; it is compared before anything is made of it."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphs import added, linear, load_classifier, write_model
from softgate.errors import ShapeMismatch
from softgate.web.grpc import inference as over_grpc
from softgate.web.grpc.messages import MESSAGES
from softgate.web.protocols.open_inference import rest, tensors


def asked_over_http(sizes: list[int]) -> Any:
    tensor = {"name": "features", "datatype": "FP32", "shape": sizes, "parameters": {"binary_data_size": 0}}
    body = json.dumps({"inputs": [tensor]}).encode()
    return lambda classifier: rest.read(body, [(rest.LENGTH_HEADER, b"%d" % len(body))], classifier)


def asked_over_grpc(sizes: list[int], *, raw: bool) -> Any:
    tensor = MESSAGES["InferInputTensor"](name="features", datatype="FP32", shape=sizes)
    request = MESSAGES["ModelInferRequest"](inputs=[tensor], raw_input_contents=[b""] if raw else [])
    return lambda classifier: over_grpc.read(request, classifier)


AXES = [2**62] * 5


@pytest.mark.parametrize(
    "read",
    [asked_over_http(AXES), asked_over_grpc(AXES, raw=True), asked_over_grpc(AXES, raw=False)],
    ids=["http", "grpc, raw", "grpc, typed"],
)
def test_sizes_are_not_multiplied_before_they_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Any
) -> None:
    """The product of as many sizes as a body holds takes minutes."""

    def multiplied(_: object) -> int:
        raise AssertionError("Multiplied.")

    for module in (rest, over_grpc, tensors):
        monkeypatch.setattr(module, "n_elements", multiplied)
    classifier = load_classifier(write_model(tmp_path / "toy", linear(np.eye(4, dtype=np.float32))))

    with closing(classifier), pytest.raises(ShapeMismatch, match="got 5 axes"):
        read(classifier)


def test_inputs_of_as_many_rows_each(tmp_path: Path) -> None:
    classifier = load_classifier(write_model(tmp_path / "toy", added(4)))
    tensors_sent = [
        {"name": name, "datatype": "INT32", "shape": [n_rows, 4], "data": [0] * 4 * n_rows}
        for name, n_rows in (("INPUT0", 1), ("INPUT1", 2))
    ]

    with closing(classifier), pytest.raises(ShapeMismatch, match="as many rows in each input"):
        rest.read(json.dumps({"inputs": tensors_sent}).encode(), [], classifier)
