import hashlib
from pathlib import Path

import pytest

from data_files import refusal, write
from softgate.errors import DataInvalid
from softgate.workbench.examples import Examples, read_examples, read_rows

CONTENTS = {"data.csv": "text,label\na,x\n", "data.jsonl": '{"text": "a", "label": "x"}\n'}


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("name", CONTENTS)
def test_neither_a_byte_order_mark_nor_an_ending_is_part_of_the_data(
    name: str, mark: str, ending: str, tmp_path: Path
) -> None:
    path = write(tmp_path, name, mark + CONTENTS[name].replace("\n", ending))

    examples = read_examples(path)

    assert (examples.rows, examples.labels, examples.logits) == (["a"], [("x",)], None)
    assert examples.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_ending_of_a_name_may_be_in_capitals(tmp_path: Path) -> None:
    assert read_examples(write(tmp_path, "DATA.CSV", CONTENTS["data.csv"])).rows == ["a"]


@pytest.mark.parametrize("separator", ["\u2028", "\u0085", "\x0b", "\x1c"])
def test_what_only_unicode_takes_for_the_end_of_a_line_is_text(separator: str, tmp_path: Path) -> None:
    text = f"one{separator}two"
    csv = write(tmp_path, "data.csv", f"text,label\n{text},x\n")
    jsonl = write(tmp_path, "data.jsonl", '{"text": "' + text + '", "label": "x"}\n' if separator > "\x1f" else "{}")
    txt = write(tmp_path, "data.txt", f"{text}\n")

    assert read_examples(csv).rows == [text]
    assert read_rows(txt) == [text]
    if separator > "\x1f":  # JSON wants the lower ones escaped
        assert read_examples(jsonl).rows == [text]


@pytest.mark.parametrize("name", ["data.tsv", "data", "data.csv.gz"])
def test_a_file_of_another_kind_is_refused(name: str, tmp_path: Path) -> None:
    suffix = Path(name).suffix

    assert refusal(write(tmp_path, name, "text,label\na,x\n")) == (
        f": got a file that ends in {suffix!r}, wanted one of .csv, .jsonl, .ndjson, .npz, or a folder of images."
    )


@pytest.mark.parametrize("name", ["data.csv", "data.jsonl", "data.npz", "data.txt"])
def test_a_file_that_is_not_there_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match=rf"{name}: (cannot be read: No such file|got logits|got a file)"):
        read_rows(tmp_path / name)
    assert name == "data.txt" or refusal(tmp_path / name) == ": cannot be read: No such file or directory."


def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / f"{'n' * 300}.csv") == ": cannot be read: File name too long."


@pytest.mark.parametrize("name", CONTENTS)
def test_bytes_that_are_not_utf_8_are_named(name: str, tmp_path: Path) -> None:
    assert refusal(write(tmp_path, name, b"text,label\n\xff,x\n")) == (
        ": not UTF-8: invalid start byte at byte 11. Save it as UTF-8."
    )


def test_an_example_without_a_place_has_a_number() -> None:
    assert Examples(["a", "b"], [("x",), ("y",)], "").place(1) == "example 2"


def test_rows_of_a_text_file_are_its_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "golden.txt", "\ufeffsend money\r\n\r\n  rain \nlast")

    assert read_rows(path) == ["send money", "  rain ", "last"]


def test_rows_of_examples_lose_their_labels(tmp_path: Path) -> None:
    several = write(tmp_path, "several.csv", "a,labels\n1,x;y\n2,\n")

    assert read_rows(write(tmp_path, "golden.csv", "a,label\n1,x\n2,y\n")) == [[1.0], [2.0]]
    assert read_rows(several) == [[1.0], [2.0]]
    assert read_rows(several, by_name=True, strings=["a"]) == [{"a": "1"}, {"a": "2"}]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("bytes.txt", b"\xff", r"bytes\.txt: not UTF-8: invalid start byte at byte 0\. Save it as UTF-8\.$"),
        ("logits.npz", b"", r"logits\.npz: got logits, wanted rows as a client would send them\.$"),
    ],
)
def test_rows_of_what_holds_none_are_refused(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match=message):
        read_rows(write(tmp_path, name, content))
