from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from graphs import LABELS, linear, write_model, write_text_model
from softgate.errors import GoldenMismatch
from softgate.runtime.golden import TOLERANCE, Golden, compare, read_golden, write_golden
from softgate.runtime.repository import Model, read_bundle

EYE = np.eye(4, dtype=np.float32)
ROWS = [[1.0, 0.0, 0.0, 0.25], [0.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.5, 0.0], [0.0, 0.0, 0.0, 7.0]] * 2
GOLDEN = Golden(ROWS, np.array(ROWS), LABELS * 2)


def load(folder: Path) -> Model:
    return Model(read_bundle(folder), threads=1)


def tensor_folder(folder: Path, *, weights: np.typing.NDArray[np.float32] = EYE, golden: Golden = GOLDEN) -> Path:
    model = write_model(folder / "toy", linear(weights))
    (model / "1" / "golden.json").write_bytes(write_golden(golden))
    return model


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    texts = Golden(["a\nb", 'he said "né"'] * 4, np.array([[0.1234567, -1e30], [0.0, 2.0]] * 4), ["a", "ü"] * 4)
    path = tmp_path / "golden.json"
    path.write_bytes(write_golden(texts))

    read = read_golden(path)

    assert read is not None
    assert (read.rows, read.labels) == (texts.rows, texts.labels)
    assert_array_equal(read.logits, [[0.123457, -1e30], [0.0, 2.0]] * 4)


def test_no_file_is_no_golden_rows(tmp_path: Path) -> None:
    assert read_golden(tmp_path / "golden.json") is None


def test_a_graph_that_gives_its_golden_logits_loads(tmp_path: Path) -> None:
    load(tensor_folder(tmp_path))


def test_altered_weights_are_caught(tmp_path: Path) -> None:
    altered = EYE.copy()
    altered[3, 0] = 0.1

    with pytest.raises(GoldenMismatch, match=r"toy: Golden row 0: a logit differs by 0\.025; wanted at most 0\.001\."):
        load(tensor_folder(tmp_path, weights=altered))


def test_a_weight_that_is_no_number_is_caught(tmp_path: Path) -> None:
    altered = EYE.copy()
    altered[2, 2] = np.nan

    with pytest.raises(GoldenMismatch, match=r"Golden row 0: a logit differs by nan"):
        load(tensor_folder(tmp_path, weights=altered))


def test_another_order_of_the_labels_is_caught(tmp_path: Path) -> None:
    folder = tensor_folder(tmp_path)
    (folder / "labels.txt").write_text("balance\ntransfer\nweather\njoke\n")

    with pytest.raises(GoldenMismatch, match=r"Golden row 0: the label is balance; wanted transfer\."):
        load(folder)


def test_another_number_of_classes_is_caught(tmp_path: Path) -> None:
    golden = Golden([[0.0] * 4] * 8, np.zeros((8, 3)), ["transfer"] * 8)

    with pytest.raises(GoldenMismatch, match=r"logits of shape \(8, 3\); the graph gives \(8, 4\)\."):
        load(tensor_folder(tmp_path, golden=golden))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a text"], r"Expected 4 features per row; row 0 has 6\."),
        ([[1.0, 2.0]], r"Expected 4 features per row; row 0 has 2\."),
        ([["a", "b", "c", "d"]], r"Expected lists of numbers in each row; row 0 has something else\."),
        ([5], r"Expected lists of numbers in each row; row 0 has a single value\."),
    ],
)
def test_rows_that_do_not_fit_the_graph_are_refused(rows: list[object], message: str, tmp_path: Path) -> None:
    golden = Golden(rows * 8, np.zeros((8, 4)), ["transfer"] * 8)

    with pytest.raises(GoldenMismatch, match=f"The golden rows do not fit the graph: {message}"):
        load(tensor_folder(tmp_path, golden=golden))


def test_numbers_are_no_golden_rows_of_a_model_of_texts(tmp_path: Path) -> None:
    folder = write_text_model(tmp_path / "toy")
    (folder / "1" / "golden.json").write_bytes(write_golden(GOLDEN))

    with pytest.raises(GoldenMismatch, match=r"Expected a text in each row; row 0 has none\."):
        load(folder)


@pytest.mark.parametrize("off", [0.0, TOLERANCE / 2, -TOLERANCE / 2])
def test_what_two_processors_differ_by_is_tolerated(off: float) -> None:
    compare(GOLDEN, np.array(ROWS) + off, LABELS)


def test_large_logits_are_tolerated_by_their_size() -> None:
    large = Golden([[1e5] * 4], np.array([[1e5, 0, 0, 0]]), ["transfer"])

    compare(large, np.array([[1e5 + 50, 0, 0, 0]]), LABELS)
    with pytest.raises(GoldenMismatch, match="a logit differs by 200"):
        compare(large, np.array([[1e5 + 200, 0, 0, 0]]), LABELS)


def test_equal_logits_may_change_places() -> None:
    tied = Golden([[1.0, 1.0, 0.0, 0.0]], np.array([[1.0, 1.0, 0.0, 0.0]]), ["transfer"])

    compare(tied, np.array([[1.0, 1.00001, 0.0, 0.0]]), LABELS)


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"{}",
        b'{"rows": [], "labels": [], "logits": []}',
        b'{"rows": [1], "labels": ["a"], "logits": [1]}',
        b'{"rows": [1], "labels": ["a"], "logits": [["x"]]}',
        b'{"rows": [1], "labels": ["a"], "logits": [[1], [1, 2]]}',
        b'{"rows": [1, 2], "labels": ["a"], "logits": [[1], [2]]}',
        b'{"rows": "a", "labels": ["a"], "logits": [[1]]}',
        b'{"rows": [1], "labels": "a", "logits": [[1]]}',
    ],
)
def test_a_file_without_one_of_each_per_row_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "golden.json"
    path.write_bytes(content)

    with pytest.raises(GoldenMismatch, match=r"golden\.json: wanted an object with rows, logits and labels, one of"):
        read_golden(path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff"])
def test_a_file_that_is_no_json_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "golden.json"
    path.write_bytes(content)

    with pytest.raises(GoldenMismatch, match=r"golden\.json: not JSON: "):
        read_golden(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(GoldenMismatch, match=r": cannot be read: Is a directory\."):
        read_golden(tmp_path)
