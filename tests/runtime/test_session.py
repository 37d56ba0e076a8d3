import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.testing import assert_array_equal
from onnx import TensorProto, helper

from graphs import bag_of_words, graph, linear, picky, tensor, zipped
from softgate.errors import EngineFailed, GraphInvalid
from softgate.runtime.session import Session
from softgate.types import TensorSpec

SERVICE = Path(__file__).parents[2] / "service"
EYE = linear(np.eye(3, dtype=np.float32))
FEATURES = np.array([[1.0, 2.0, 3.0]], dtype=np.float32)
# Says what the variable is at the moment when anything first asks for the library.
PROBE = """
import os, sys

class Witness:
    def find_spec(self, name, path=None, target=None):
        if name == "onnxruntime":
            print(os.environ.get("ORT_DISABLE_TELEMETRY"))

sys.meta_path.insert(0, Witness())
import {module}
"""


def spec(name: str, *shape: int | None, dtype: type[np.generic] = np.float32) -> TensorSpec:
    return TensorSpec(name, np.dtype(dtype), shape)


@pytest.mark.parametrize("module", ["softgate.runtime.session", "softgate.web.server"])
@pytest.mark.parametrize("environment", [{}, {"ORT_DISABLE_TELEMETRY": "0"}])
def test_telemetry_is_off_before_onnxruntime_is_first_imported(module: str, environment: dict[str, str]) -> None:
    probe = [sys.executable, "-c", PROBE.format(module=module)]

    seen = subprocess.run(
        probe, env={"PYTHONPATH": str(SERVICE), **environment}, capture_output=True, text=True, check=True
    )

    assert seen.stdout.split() == ["1"]


def test_a_graph_runs_from_its_bytes_with_no_file_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert_array_equal(Session(EYE, threads=1).run(["logits"], {"features": FEATURES}), [FEATURES])


def test_a_session_says_what_its_graph_takes_and_gives() -> None:
    words = Session(bag_of_words(), threads=1)

    assert words.inputs == [spec("input_ids", None, None, dtype=np.int64)]
    assert words.outputs == [spec("logits", None, 4)]


@pytest.mark.parametrize("threads", [1, 3])
def test_a_session_starts_as_many_threads_as_asked_for(threads: int) -> None:
    before = len(os.listdir("/proc/self/task"))

    kept = Session(EYE, threads=threads)

    # The caller's thread is the first of them.
    assert len(os.listdir("/proc/self/task")) - before == threads - 1
    assert kept.inputs


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.parametrize("keeps", [True, False])
def test_a_large_run_keeps_its_memory_or_gives_it_back(*, keeps: bool) -> None:
    nodes = [
        helper.make_node("MatMul", ["features", "weights"], ["wide"]),
        helper.make_node("Exp", ["wide"], ["more"]),
        helper.make_node("ReduceMax", ["more"], ["logits"], axes=[1]),
    ]
    sources, results = [tensor("features", np.float32, "n", 1)], [tensor("logits", np.float32, "n", 1)]
    session = Session(graph(nodes, sources, results, {"weights": np.ones((1, 2048), np.float32)}), threads=1)
    # What the first run of all allocates is never given back.
    session.run(["logits"], {"features": np.zeros((1, 1), np.float32)})
    before = resident_mb()

    # 160 MB in between.
    session.run(["logits"], {"features": np.zeros((20_000, 1), np.float32)}, keeps_memory=keeps)

    assert (resident_mb() - before > 100) == keeps


@pytest.mark.parametrize("model", [b"", b"garbage", EYE[:60], EYE[:-1], b"\x00" * 100])
def test_bytes_that_are_no_graph_are_refused(model: bytes) -> None:
    with pytest.raises(GraphInvalid, match=r"^onnxruntime does not load the graph: [^\n]+$"):
        Session(model, threads=1)


def test_weights_outside_the_file_are_refused_wherever_they_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.onnx"
    model = onnx.load_from_string(linear(np.ones((64, 64), dtype=np.float32)))
    onnx.save_model(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").exists()
    monkeypatch.chdir(tmp_path)

    with pytest.raises(GraphInvalid, match=r"^The graph keeps weights in weights\.bin, which the card does not list\."):
        Session(path.read_bytes(), threads=1)


def test_a_tensor_of_a_type_that_numpy_lacks_is_named() -> None:
    node = helper.make_node("SequenceConstruct", ["x"], ["maps"])
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    given = helper.make_tensor_sequence_value_info("maps", TensorProto.FLOAT, [1])
    graph = helper.make_graph([node], "graph", [taken], [given])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)

    with pytest.raises(
        GraphInvalid, match=r"^maps has the type seq\(tensor\(float\)\); wanted one of tensor\(bool\), "
    ):
        Session(model.SerializeToString(), threads=1)


@pytest.mark.parametrize(
    "feed",
    [
        {"index": np.array([[9]])},
        {"index": np.array([[1.0]], dtype=np.float32)},
        {"index": np.array([1])},
        {"other": np.array([[1]])},
    ],
)
def test_a_graph_that_fails_is_our_error(feed: dict[str, np.typing.NDArray[np.generic]]) -> None:
    with pytest.raises(EngineFailed, match=r"^onnxruntime failed while it ran the graph: [^\n]+$"):
        Session(picky(), threads=1).run(["logits"], feed)


def test_a_graph_that_fails_writes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(EngineFailed):
        Session(picky(), threads=1).run(["logits"], {"index": np.array([[9]])})

    assert capfd.readouterr() == ("", "")


def test_a_graph_that_failed_runs_again() -> None:
    graph = Session(picky(), threads=1)
    with pytest.raises(EngineFailed):
        graph.run(["logits"], {"index": np.array([[9]])})

    assert_array_equal(graph.run(["logits"], {"index": np.array([[1]])}), [[[0, 5, 0, 0]]])


@pytest.mark.parametrize("scored", [False, True])
@pytest.mark.parametrize("keys", [["yes", "no"], [1, 0, -1]])
def test_a_zip_map_gives_a_map_per_row(keys: list[str] | list[int], scored: bool) -> None:
    graph = Session(zipped(keys, scored=scored), threads=1)
    features = np.log(np.array([[0.5, 0.25, 0.25], [0.75, 0.125, 0.125]])[:, : len(keys)], dtype=np.float32)

    label, maps = graph.run(["label", "maps"], {"features": features})

    names = np.dtype(np.object_ if isinstance(keys[0], str) else np.int64)
    assert graph.outputs[1] == TensorSpec("maps", names, (None,), maps=True)
    assert not graph.outputs[0].maps
    assert str(graph.outputs[1]) == "maps, a map per row"
    assert len(label) == len(maps) == 2
    expected = np.exp(features) / np.exp(features).sum(axis=1, keepdims=True)
    assert [[row[key] for key in keys] for row in maps] == [pytest.approx(row) for row in expected.tolist()]


def test_outputs_come_in_the_order_asked_for() -> None:
    graph = Session(zipped(["yes", "no"]), threads=1)

    maps, label = graph.run(["maps", "label"], {"features": np.zeros((1, 2), dtype=np.float32)})

    assert maps == [{"no": 0.5, "yes": 0.5}]
    assert label.tolist() == [0]
