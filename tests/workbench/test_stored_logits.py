"""Files of logits, and what is said of those that are none."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_files import write
from softgate.errors import DataInvalid
from softgate.workbench import stored_logits
from softgate.workbench.examples import arrays
from softgate.workbench.stored_logits import read_logits

ROWS = [[1.5, 0.0, -1.0], [0.0, 2.0, 1e-300]]


def read(path: Path) -> Any:
    return np.concatenate(list(read_logits(path, n_classes=3))).tolist()


def refusal(path: Path) -> str:
    with pytest.raises(DataInvalid) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))
    return str(caught.value).removeprefix(str(path))


def lines(folder: Path, *texts: str) -> Path:
    return write(folder, "data.jsonl", "".join(f"{text}\n" for text in texts))


def test_lines_are_answers_predictions_or_logits_alone(tmp_path: Path) -> None:
    answer = {"model": "toy", "predictions": [{"label": "a\u2028b", "logits": row} for row in ROWS]}
    texts = [json.dumps(answer, ensure_ascii=False), json.dumps({"logits": ROWS[1], "label": None}), "", " "]

    assert read(lines(tmp_path, *texts)) == [*ROWS, ROWS[1]]


@pytest.mark.parametrize("most", [1, 6, 7, 9, 1000])
def test_blocks_hold_every_row_once_and_none_is_empty(
    most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_logits, "BLOCK_VALUES", most)
    rows = np.arange(60.0).reshape(20, 3)
    grouped = [rows[:1], rows[1:8], rows[8:8], rows[8:20]]
    texts = [json.dumps({"predictions": [{"logits": row} for row in part.tolist()]}) for part in grouped if len(part)]

    blocks = list(read_logits(lines(tmp_path, *texts), n_classes=3))

    assert {len(block) for block in blocks[:-1]} <= {max(1, most // 3)}
    assert 0 < len(blocks[-1]) <= max(1, most // 3)
    np.testing.assert_array_equal(np.concatenate(blocks), rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 2: not JSON: Expecting property name"),
        ("\udcff", "line 2: not JSON: 'utf-8' codec"),
        ("[" * 100_000, "line 2: not JSON: maximum recursion depth"),
        ("[1, 2, 3]", 'line 2: got [1, 2, 3], wanted an answer to a request with "logits": true, or logits.'),
        ('{"label": 1}', "line 2: got the keys ['label'], wanted an answer"),
        ('{"predictions": []}', "line 2: got predictions [], wanted a list of them."),
        ('{"predictions": [{"label": 1}]}', "line 2, predictions[0]: got no logits, wanted those of an answer"),
        ('{"logits": 1}', "line 2: got logits 1, wanted a list of 3 numbers."),
        ('{"logits": [1, 2]}', "line 2: got 2 logits, wanted 3, one per label."),
        ('{"predictions": [{"logits": [1]}]}', "line 2, predictions[0]: got 1 logits, wanted 3, one per label."),
        ('{"logits": [1, 2, "3"]}', "line 2: got the logit '3', wanted a number, or null"),
        ('{"logits": [1, 2, true]}', "line 2: got the logit True, wanted a number, or null"),
        ('{"logits": [1, 2, [3]]}', "line 2: got the logit [3], wanted a number, or null"),
        (f'{{"logits": [1, 2, 1{"0" * 400}]}}', "line 2: got an integer that no float64 holds, wanted logits."),
    ],
)
def test_a_line_that_is_none_is_named(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(b'{"logits": [1, 2, 3]}\n' + text.encode("utf-8", "surrogateescape"))

    assert refusal(path).startswith(f", {message}")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 2)), ": got 2 logits a row, wanted 3, one per label."),
        (np.zeros((0, 3)), ": got logits of float64 and shape (0, 3), wanted float16, float32 or float64"),
        (np.zeros(3), ": got logits of float64 and shape (3,), wanted float16, float32 or float64"),
        (np.zeros((2, 3), int), ": got logits of int64 and shape (2, 3), wanted float16, float32 or float64"),
        (np.full((2, 3), "a"), ": got logits of <U1 and shape (2, 3), wanted float16, float32 or float64"),
    ],
)
@pytest.mark.parametrize("name", ["data.npz", "data.npy"])
def test_arrays_of_another_form_are_refused(name: str, array: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "data.npz":
        np.savez(path, logits=array)
    else:
        np.save(path, array)

    assert refusal(path).startswith(message)


def test_python_objects_are_refused_unread(tmp_path: Path) -> None:
    objects = np.array([[1.0, None, "x"]], dtype=object)
    np.save(tmp_path / "data.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "data.npz", logits=objects)

    wanted = "got Python objects, wanted an array of numbers or strings."
    assert refusal(tmp_path / "data.npy") == f": {wanted}"
    assert refusal(tmp_path / "data.npz") == f", logits: {wanted}"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data.jsonl", b"", ": holds no logits."),
        ("data.jsonl", b"\n \n", ": holds no logits."),
        ("data.npz", b"", ": not a readable .npz file, as numpy.savez writes it: File is not a zip file."),
        ("data.npy", b"", ": not a readable .npy file, as numpy.save writes it: EOF: reading magic string"),
        ("data.npy", pickle.dumps([1]), ": not a readable .npy file, as numpy.save writes it: "),
        ("data.csv", b"1,2,3\n", ": got a file that ends in '.csv', wanted one of .npz, .npy, .jsonl, .ndjson."),
    ],
)
def test_a_file_without_logits_is_refused(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    assert refusal(write(tmp_path, name, content)).startswith(message)


def test_a_file_that_is_not_there_or_without_the_array_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", scores=np.zeros((2, 3)))

    assert refusal(tmp_path / "data.npz") == ": got the arrays ['scores'], wanted logits."
    assert refusal(tmp_path / "none.npy") == ": cannot be read: No such file or directory."


def test_a_header_that_says_more_than_follows_is_refused_before_room_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data.npy"
    np.save(path, np.zeros((2, 3)))
    path.write_bytes(path.read_bytes().replace(b"(2, 3), }" + b" " * 12, b"(2000000000000, 3), }"))

    assert refusal(path) == ": got 176 bytes, wanted 48000000000128 for the shape (2000000000000, 3) of float64."
    monkeypatch.setattr(arrays, "MAX_BYTES", 100)
    assert refusal(path) == ": got 176 bytes of arrays, wanted at most 100."
