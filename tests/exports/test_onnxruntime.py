"""That onnxruntime alone gives what the exporting library gives: what softgate answers cannot be better than that."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from exports.export import Export, Floats, of_scores
from exports.models import EXPORTS, exported

TOLERANCE = 1e-5


@pytest.fixture(params=EXPORTS)
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


def test_onnxruntime_gives_the_probabilities_of_the_library(name: str, tmp_path: Path) -> None:
    made = exported(name)

    found = answer(made, tmp_path)

    assert found.shape == made.probabilities.shape
    assert np.abs(found - made.probabilities).max() < TOLERANCE


def test_probabilities_are_of_the_labels(name: str) -> None:
    made = exported(name)

    assert made.probabilities.shape == (len(made.rows), len(made.labels))
    if not made.multi_label:
        assert np.allclose(made.probabilities.sum(axis=1), 1, atol=1e-6)


def test_classes_are_named_in_the_graph_where_the_export_says_so(name: str) -> None:
    made = exported(name)

    assert (made.labels in class_names(onnx.load_from_string(made.model))) == made.labels_in_graph


@pytest.mark.parametrize("name", [name for name in EXPORTS if name.startswith("tfidf")])
def test_lower_case_wants_a_locale(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is not installed the graph does not load; the one message of onnxruntime that tells so."""
    monkeypatch.setenv("LOCPATH", "/nowhere")
    made = exported(name)

    if made.needs_locale:
        with pytest.raises(Exception, match="Failed to construct locale with name:en_US"):
            ort.InferenceSession(made.model)
    else:
        ort.InferenceSession(made.model)


def answer(made: Export, folder: Path) -> Floats:
    """All rows through the graph, together or, where it is fixed to one, one at a time."""
    for file, content in made.beside.items():
        (folder / file).write_bytes(content)
    (folder / "model.onnx").write_bytes(with_locale(made).SerializeToString())
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(folder / "model.onnx", options)
    feed = fed(made, [node.name for node in session.get_inputs()])
    step = 1 if session.get_inputs()[0].shape[0] == 1 else len(made.rows)
    parts = [
        session.run([made.output], {name: column[start : start + step] for name, column in feed.items()})[0]
        for start in range(0, len(made.rows), step)
    ]
    return read(made, [row for part in parts for row in part])


def with_locale(made: Export) -> onnx.ModelProto:
    """The graph, told of a locale that every glibc has; it lowers the same letters as en_US.UTF-8 does."""
    graph = onnx.load_from_string(made.model)
    for node in graph.graph.node:
        if node.op_type == "StringNormalizer" and made.needs_locale:
            node.attribute.append(onnx.helper.make_attribute("locale", "C.UTF-8"))
    return graph


def fed(made: Export, names: list[str]) -> dict[str, NDArray[Any]]:
    """The rows as the graph's inputs."""
    first = made.rows[0]
    if made.tokenizer is not None:
        from tokenizers import Tokenizer

        rows = Tokenizer.from_str(made.tokenizer.decode()).encode_batch(list(made.rows))
        arrays = [[row.ids for row in rows], [row.attention_mask for row in rows], [row.type_ids for row in rows]]
        return {name: np.array(array, dtype=np.int64) for name, array in zip(names, arrays, strict=True)}
    if isinstance(first, dict):
        return {name: column([row[name] for row in made.rows]) for name in names}
    if isinstance(first, str):
        return {names[0]: column(list(made.rows))}
    return {names[0]: np.array(made.rows, dtype=np.float32)}


def column(values: list[Any]) -> NDArray[Any]:
    return np.array(values, dtype=object if isinstance(values[0], str) else np.float32).reshape(-1, 1)


def read(made: Export, rows: list[Any]) -> Floats:
    """Probabilities from an output: maps, probabilities or scores."""
    if isinstance(rows[0], dict):
        return np.array([[row[key] for key in sorted(row)] for row in rows], dtype=np.float64)
    values = np.array(rows, dtype=np.float64)
    if made.activation is None:
        return values
    if made.activation == "sigmoid" and not made.multi_label and values.ndim == 2:
        values = values[:, -1]
    return of_scores(values, activation=made.activation, multi_label=made.multi_label)


def class_names(model: onnx.ModelProto) -> set[tuple[str, ...]]:
    """What classifier nodes and initializers call classes, as strings."""
    found: set[tuple[str, ...]] = set()
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name.startswith("classlabels_"):
                values = onnx.helper.get_attribute_value(attribute)
                found.add(tuple(one.decode() if isinstance(one, bytes) else str(one) for one in values))
    for tensor in model.graph.initializer:
        if tensor.name.startswith("classes"):
            values = onnx.numpy_helper.to_array(tensor)
            found.add(tuple(one.decode() if isinstance(one, bytes) else str(one) for one in values))
    return found
