"""The first load of a graph in a process of its own: which of several models it was that failed."""

from pathlib import Path

import numpy as np
import pytest

import hostile
from graphs import LABELS, linear, softmax_of, write_model
from softgate.errors import ModelError
from softgate.runtime.contained import Limits
from softgate.runtime.probe import probe
from softgate.runtime.repository import read_bundle

LIMITS = Limits(256 * 2**20, 2.0)


@pytest.mark.parametrize("model", [hostile.endless_loop(), softmax_of(2)], ids=["ended by a limit", "refused"])
def test_the_folder_is_named_once(tmp_path: Path, model: bytes) -> None:
    folder = write_model(tmp_path / "toy", model, labels=LABELS[:2])

    with pytest.raises(ModelError) as caught:
        probe(read_bundle(folder), LIMITS)

    assert str(caught.value).startswith(f"{folder}: The ")
    assert str(caught.value).count(str(folder)) == 1


def test_a_sound_graph_passes(tmp_path: Path) -> None:
    probe(read_bundle(write_model(tmp_path / "toy", linear(np.eye(4, dtype=np.float32)))), LIMITS)
