import json
from pathlib import Path
from typing import Any

import pytest

from data_files import refusal, write
from softgate.workbench.examples import Examples, read_examples

FIRST = '{"text": "a", "label": "x"}\n\n'


def examples(folder: Path, *values: Any, **wanted: Any) -> Examples:
    return read_examples(write(folder, "data.jsonl", "\n\n".join(map(json.dumps, values))), **wanted)


def test_texts_and_inputs_labels_and_where_they_stand(tmp_path: Path) -> None:
    found = examples(
        tmp_path,
        {"text": "a", "label": "x"},
        {"inputs": [1, 2.5], "label": "y"},
        {"inputs": {"age": 3, "town": "Bern"}, "label": "x"},
        {"inputs": "b", "label": "z", "source": "mail"},
        {"text": "c", "text_pair": "d", "label": "z"},
    )

    assert found.rows == ["a", [1, 2.5], {"age": 3, "town": "Bern"}, "b", ["c", "d"]]
    assert found.labels == [("x",), ("y",), ("x",), ("z",), ("z",)]
    assert found.places == ["line 1", "line 3", "line 5", "line 7", "line 9"]


def test_ndjson_is_another_name_of_it(tmp_path: Path) -> None:
    assert read_examples(write(tmp_path, "data.ndjson", FIRST)).rows == ["a"]


def test_several_labels_stand_in_a_list(tmp_path: Path) -> None:
    found = examples(
        tmp_path,
        {"text": "a", "labels": ["x", "y"]},
        {"text": "b", "labels": []},
        {"text": "c", "label": "x;y"},
        multi_label=True,
    )

    assert found.labels == [("x", "y"), (), ("x;y",)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[]", "got [], wanted an object with label, and inputs or text."),
        ("3", "got 3, wanted an object with label, and inputs or text."),
        ("null", "got None, wanted an object with label, and inputs or text."),
        ('"text"', "got 'text', wanted an object with label, and inputs or text."),
        ("{}", "got the keys [], wanted label, and inputs or text."),
        ('{"text": "a"}', "got the keys ['text'], wanted label, and inputs or text."),
        ('{"label": "x"}', "got the keys ['label'], wanted label, and inputs or text."),
        ('{"text_pair": "a", "label": "x"}', "got the keys ['text_pair', 'label'], wanted label, and inputs or text."),
        ('{"text": "a", "labels": ["x"]}', "got the keys ['text', 'labels'], wanted label, and inputs or text."),
        ('{"text": "a", "label": 3}', "got the label 3, wanted a name."),
        ('{"text": "a", "label": null}', "got the label None, wanted a name."),
        ('{"text": "a", "label": ["x"]}', "got the label ['x'], wanted a name."),
        ('{"text": "a", "label": " "}', "got the label ' ', wanted a name."),
        ('{"text": 3, "label": "x"}', "got the text 3, wanted a string."),
        ('{"text": "a", "text_pair": null, "label": "x"}', "got the text None, wanted a string."),
    ],
)
def test_a_line_of_another_form_is_named(line: str, message: str, tmp_path: Path) -> None:
    assert refusal(write(tmp_path, "data.jsonl", FIRST + line)) == f", line 3: {message}"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a"}', "got the keys ['text'], wanted label or labels, and inputs or text."),
        (
            '{"text": "a", "label": "x", "labels": []}',
            "got the keys ['text', 'label', 'labels'], wanted label or labels, and inputs or text.",
        ),
        ('{"text": "a", "labels": "x"}', "got the labels 'x', wanted a list of names."),
        ('{"text": "a", "labels": ["x", 3]}', "got the label 3, wanted a name."),
        ('{"text": "a", "labels": ["x", "x"]}', "got the labels ['x', 'x'], wanted each once."),
    ],
)
def test_labels_of_another_form_are_named(line: str, message: str, tmp_path: Path) -> None:
    assert refusal(write(tmp_path, "data.jsonl", FIRST + line), multi_label=True) == f", line 3: {message}"


@pytest.mark.parametrize("line", ['{"text": ', "[" * 100_000, '{"inputs": ' + "1" * 5000 + "}", "a,x"])
def test_a_line_that_is_no_json_is_named(line: str, tmp_path: Path) -> None:
    assert refusal(write(tmp_path, "data.jsonl", FIRST + line)).startswith(", line 3: not JSON: ")


@pytest.mark.parametrize("content", ["", "\n", "  \n\n", "\ufeff"])
def test_a_file_without_a_line_is_refused(content: str, tmp_path: Path) -> None:
    assert refusal(write(tmp_path, "data.jsonl", content)) == ": holds no examples."
