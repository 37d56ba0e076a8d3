"""Weights beside the graph: whatever refers to them, the engine gets bytes that were checked, and opens no file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from onnx import TensorProto

import external
from external import CONTENT, FILES, MULTIPLY, NAME, WEIGHTS, features_to_logits, linear_beside, outside
from softgate.errors import GraphInvalid
from softgate.runtime.external import attached
from softgate.runtime.session import Session
from softgate.types import ModelFiles

PLACES: dict[str, Callable[[], bytes]] = {
    "the main graph": linear_beside,
    "an attribute": external.in_an_attribute,
    "a branch": external.in_a_branch,
    "a function": external.in_a_function,
    "a sparse pair": external.in_a_sparse_pair,
}


def logits(model: bytes, files: dict[str, bytes]) -> np.typing.NDArray[np.generic]:
    (found,) = Session(model, threads=1, external=files).run(["logits"], {"features": np.eye(2, dtype=np.float32)})
    return np.asarray(found)


def refused(model: bytes, files: dict[str, bytes] | None = None) -> str:
    with pytest.raises(GraphInvalid) as caught:
        Session(model, threads=1, external=FILES if files is None else files)
    return str(caught.value)


@pytest.mark.parametrize("place", PLACES)
def test_weights_beside_the_graph_are_the_weights_inside_it(place: str) -> None:
    assert_array_equal(logits(PLACES[place](), FILES), WEIGHTS)


@pytest.mark.parametrize("place", PLACES)
def test_a_file_that_is_not_listed_is_refused_by_name_wherever_it_is_named(place: str) -> None:
    sentence = refused(PLACES[place](), {})

    assert f"in {NAME}, which the card does not list." in sentence
    assert sentence.endswith(f'List it in the card: external_data = ["{NAME}"].')


def test_the_remedy_keeps_what_is_listed() -> None:
    assert refused(linear_beside("b.data")).endswith(f'external_data = ["{NAME}", "b.data"].')


@pytest.mark.parametrize(
    "place",
    ["/etc/passwd", "../weights.bin", f"./{NAME}", "deep/weights.bin", "", "..", "*/_ORT_MEM_ADDR_/*", "model.onnx"],
)
def test_a_place_that_is_no_plain_name_is_refused(place: str) -> None:
    assert f"The graph keeps weights in {place!r}; wanted the name of a file beside model.onnx." in refused(
        linear_beside(place)
    )


def test_no_file_is_opened_though_it_lies_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / NAME).write_bytes(bytes(len(CONTENT)))
    monkeypatch.chdir(tmp_path)

    assert_array_equal(logits(linear_beside(), FILES), WEIGHTS)


def test_several_tensors_may_share_their_bytes_or_lie_side_by_side() -> None:
    twice = features_to_logits([MULTIPLY], outside(offset=16, length=16), outside("other", offset=16), outside("third"))

    assert_array_equal(logits(twice, {NAME: bytes(16) + CONTENT}), WEIGHTS)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"offset": 4}, f"weights lies at the bytes 4 to 20 of {NAME}, which has 16."),
        ({"offset": 10**17}, f"of {NAME}, which has 16."),
        ({"offset": -4}, "has the offset '-4'; wanted a number of bytes."),
        ({"offset": "0x0"}, "has the offset '0x0'; wanted a number of bytes."),
        ({"offset": "9" * 5000}, "wanted a number of bytes."),
        ({"length": -16}, "has the length '-16'; wanted a number of bytes."),
        ({"length": 8}, "says that it has 8 bytes; wanted 16 for its shape and type."),
        ({"length": 20}, "says that it has 20 bytes; wanted 16 for its shape and type."),
        ({"dims": (2, 3)}, f"lies at the bytes 0 to 24 of {NAME}, which has 16."),
        ({"dims": (2**29,)}, "takes 2147483648 bytes; wanted less than 2 GiB"),
        ({"dims": (2**40, 2**40)}, "wanted less than 2 GiB"),
        ({"dims": (-2, -2)}, "has the shape [-2, -2]; wanted no negative size."),
        ({"kind": TensorProto.DOUBLE}, f"lies at the bytes 0 to 32 of {NAME}, which has 16."),
        ({"kind": TensorProto.STRING}, "holds strings; wanted numbers"),
        ({"kind": 99}, "is of type 99, which ONNX does not know."),
        ({"kind": 0}, "is of type 0, which ONNX does not know."),
    ],
)
def test_bytes_that_the_file_does_not_hold_are_refused_by_name(told: dict[str, Any], words: str) -> None:
    assert words in refused(linear_beside(**told))


def test_a_place_told_twice_is_refused() -> None:
    tensor = outside()
    tensor.external_data.add(key="location", value="/etc/passwd")

    assert "says twice where it lies" in refused(features_to_logits([MULTIPLY], tensor))


def test_tensors_that_overlap_are_refused() -> None:
    both = features_to_logits([MULTIPLY], outside(), outside("other", dims=(1, 2), offset=8))

    assert "the bytes 0 to 16 of weights and 8 to 16 of other overlap" in refused(both)


def test_narrow_kinds_share_their_bytes() -> None:
    four_bits = outside("quarter", dims=(3,), kind=TensorProto.INT4, offset=16, length=2)
    files = {NAME: CONTENT + b"\x21\x03"}

    assert_array_equal(logits(features_to_logits([MULTIPLY], outside(), four_bits), files), WEIGHTS)


def test_only_what_the_main_graph_uses_is_handed_to_the_engine() -> None:
    files = {NAME: CONTENT, "unused.data": b"x"}

    assert attached(ModelFiles(linear_beside(), files)).external == FILES
    assert attached(ModelFiles(external.in_a_branch(), files)).external == {}
    assert attached(ModelFiles(linear_beside(), files)).content == linear_beside()
