"""What `inspect` says of a graph, as JSON and as a table."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper, load_model_from_string

import hostile
from external import CONTENT, NAME, linear_beside
from graphs import bag_of_words, graph, linear, one_row, softmax_of, tensor, zipped
from softgate.commands import inspect
from softgate.errors import GraphInvalid
from softgate.runtime.calibration import sha256
from softgate.runtime.quota import usable_cpus
from softgate.workbench.inspect import Inspection


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "graph.onnx"


def told(path: Path, capsys: pytest.CaptureFixture[str], model: bytes) -> dict[str, Any]:
    path.write_bytes(model)
    inspect.run(path, memory_mb=512, seconds=10, as_json=True)
    values: dict[str, Any] = json.loads(capsys.readouterr().out)
    return values


def table(path: Path, capsys: pytest.CaptureFixture[str], model: bytes) -> str:
    path.write_bytes(model)
    inspect.run(path, memory_mb=512, seconds=10, as_json=False)
    return " ".join(capsys.readouterr().out.split())


def test_json_holds_every_field(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = softmax_of(4)

    found = told(path, capsys, model)

    assert list(found) == [
        *(field.name for field in fields(Inspection)),
        "answer",
        "activation",
        "n_classes",
        "runs_on",
    ]
    assert (found["file"], found["size_bytes"], found["sha256"]) == ("graph.onnx", len(model), sha256(model))
    assert found["inputs"] == [{"name": "features", "type": "float32", "shape": [None, 4]}]
    assert (found["answer"], found["activation"], found["n_classes"]) == ("probabilities", "softmax", 4)
    (output,) = found["outputs"]
    assert (output["ends_in"], output["holds"], output["n_columns"]) == ("Softmax", "probabilities", 4)
    assert found["batch"] is None
    assert set(found["seconds"]) == {"1", "32"}
    assert all(seconds > 0 for seconds in found["seconds"].values())


def test_raw_scores_settle_no_activation(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(path, capsys, linear(np.eye(4, dtype=np.float32)))

    assert (found["outputs"][0]["holds"], found["activation"], found["n_classes"]) == ("logits", None, 4)
    assert found["n_parameters"] == 16


def test_names_of_classes_are_found(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(path, capsys, zipped(["cat", "dog", "eel"]))

    assert (found["labels"], found["activation"], found["answer"]) == (["cat", "dog", "eel"], "softmax", "maps")


def test_a_fixed_batch_is_told(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(path, capsys, bag_of_words())["batch"] is None
    assert told(path, capsys, one_row(4))["notes"]


def test_where_it_would_run_is_told(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small, words, failing = (told(path, capsys, model) for model in (softmax_of(4), bag_of_words(), one_row(4)))

    assert (small["runs_on"], small["threads"], small["parallel_runs"]) == ("loop", 1, 1)
    assert (words["runs_on"], words["threads"]) == ("mixed", 1)
    assert words["parallel_runs"] in (1, usable_cpus())
    assert (failing["runs_on"], failing["threads"], failing["parallel_runs"]) == (None, None, None)


def test_external_data_is_told_and_not_followed(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(path, capsys, hostile.external_weights("/etc/passwd"))

    assert (found["external_data"], found["outputs"], found["answer"]) == (["/etc/passwd"], [], None)
    assert "wanted the name of a file beside model.onnx" in found["notes"][0]


def test_external_data_beside_the_graph_is_read(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path.parent / NAME).write_bytes(CONTENT)

    found = told(path, capsys, linear_beside())

    assert (found["external_data"], found["answer"], found["n_classes"], found["notes"]) == ([NAME], "logits", 2, [])


def test_external_data_that_is_not_there_is_named(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(path, capsys, linear_beside())

    assert (found["external_data"], found["outputs"]) == ([NAME], [])
    assert f"{NAME}: there is no such file" in found["notes"][0]


def test_nan_weights_are_counted(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(path, capsys, hostile.sick_weights())["n_nan"] == 1


def test_the_table_says_the_same(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = table(path, capsys, softmax_of(4))

    for words in (
        "graph.onnx",
        "input features float32 [any, 4]",
        "output probabilities float32 [any, 4]: probabilities, by Softmax",
        "activation softmax",
        "classes 4, not named",
        "batch any number of rows",
        "time, batch 32",
        "runs on the event loop; threads: 1",
    ):
        assert words in shown


def test_the_table_says_what_is_not_settled(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "init asks for softmax or sigmoid" in table(path, capsys, linear(np.eye(4, dtype=np.float32)))
    assert "external data weights.bin" in table(path, capsys, hostile.external_weights("weights.bin"))


@pytest.mark.parametrize("model", [hostile.truncated(), hostile.endless_loop()], ids=["half", "loop"])
def test_what_cannot_be_looked_at_is_an_error_of_ours(path: Path, model: bytes) -> None:
    path.write_bytes(model)

    with pytest.raises(GraphInvalid):
        inspect.run(path, memory_mb=256, seconds=2, as_json=True)


def words(pattern: str) -> bytes:
    """texts → how often they hold two words, by a tokenizer as skl2onnx writes it."""
    return graph(
        [
            helper.make_node(
                "Tokenizer",
                ["text"],
                ["tokens"],
                domain="com.microsoft",
                mark=0,
                mincharnum=1,
                pad_value="#",
                tokenexp=pattern,
            ),
            helper.make_node("Squeeze", ["tokens", "axis"], ["words"]),
            helper.make_node(
                "TfIdfVectorizer",
                ["words"],
                ["logits"],
                mode="TF",
                min_gram_length=1,
                max_gram_length=1,
                max_skip_count=0,
                ngram_counts=[0],
                ngram_indexes=[0, 1],
                pool_strings=["rain", "sun"],
            ),
        ],
        [tensor("text", np.object_, "batch", 1)],
        [tensor("logits", np.float32, "batch", 2)],
        {"axis": np.array([1])},
    )


def test_a_tokenizer_that_is_not_the_librarys_is_named(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "31 % with word pairs" in table(path, capsys, words("[a-zA-Z0-9_]+"))
    assert "31 %" not in table(path, capsys, words(r"[\p{L}\p{N}_][\p{L}\p{N}_]+"))


def test_a_file_that_is_not_there(path: Path) -> None:
    with pytest.raises(GraphInvalid, match="there is no such file"):
        inspect.run(path, memory_mb=256, seconds=2, as_json=True)


def test_custom_operators_are_told_though_no_session_takes_them(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(path, capsys, hostile.foreign_operator())

    assert (found["foreign_operators"], found["outputs"]) == (["evil.example:Exfiltrate"], [])
    assert "custom operators" in found["notes"][0]


ESCAPES = "\x1b[31mred\x1b]0;title\x07\x9b31m\u202e"


def steers_a_terminal(text: str) -> bool:
    return any(not each.isprintable() for each in text.replace("\n", ""))


@pytest.mark.parametrize("as_json", [True, False])
def test_what_a_file_says_of_itself_does_not_steer_the_terminal(
    path: Path, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    model = load_model_from_string(zipped([f"cat{ESCAPES}", "dog", "eel"]))
    model.producer_name = ESCAPES
    model.graph.input[0].name = model.graph.node[0].input[0] = model.graph.node[1].input[0] = ESCAPES
    path.write_bytes(model.SerializeToString())

    inspect.run(path, memory_mb=512, seconds=10, as_json=as_json)

    shown = capsys.readouterr().out
    assert "cat" in shown
    assert not steers_a_terminal(shown)


def test_what_a_file_says_of_itself_does_not_flood_the_terminal(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = load_model_from_string(softmax_of(4))
    model.producer_name = "words " * 1_000_000

    assert len(table(path, capsys, model.SerializeToString())) < 5000


def test_an_answer_without_a_row_tells_nothing(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = graph(
        [helper.make_node("Slice", ["features", "start", "start"], ["none"])],
        [tensor("features", np.float32, "batch", 4)],
        [tensor("none", np.float32, "rows", 4)],
        {"start": np.array([0], dtype=np.int64)},
    )

    (output,) = told(path, capsys, model)["outputs"]

    assert output["holds"] is None
