import hashlib
import json
from pathlib import Path

import pytest

from softgate.errors import DataInvalid
from softgate.workbench.examples import read_examples, read_rows

COLUMNS = "wanted label and text, or label and one per feature, separated by commas."


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def refusal(path: Path) -> str:
    with pytest.raises(DataInvalid) as caught:
        read_examples(path)
    return str(caught.value).removeprefix(str(path))


def test_a_csv_of_texts(tmp_path: Path) -> None:
    path = write(tmp_path, "data.csv", "text,label\nsend money,transfer\nrain,weather\n")

    examples = read_examples(path)

    assert examples.rows == ["send money", "rain"]
    assert examples.labels == ["transfer", "weather"]
    assert examples.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_csv_of_numbers_keeps_the_order_of_its_columns(tmp_path: Path) -> None:
    examples = read_examples(write(tmp_path, "data.csv", "b,label,a\n1,x,2.5\n-1e3,y,0\n"))

    assert examples.rows == [[1.0, 2.5], [-1000.0, 0.0]]
    assert examples.labels == ["x", "y"]


def test_a_single_column_of_another_name_is_a_number(tmp_path: Path) -> None:
    assert read_examples(write(tmp_path, "data.csv", "size,label\n3,x\n")).rows == [[3.0]]


def test_a_quoted_field_may_hold_commas_quotes_and_lines(tmp_path: Path) -> None:
    content = 'text,label\n"one, ""two""\nthree\r\nfour",x\r\nfive,y\r\n'

    examples = read_examples(write(tmp_path, "data.csv", content))

    assert examples.rows == ['one, "two"\nthree\r\nfour', "five"]
    assert examples.labels == ["x", "y"]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["data.csv", "data.jsonl", "data.CSV"])
def test_a_byte_order_mark_is_no_part_of_the_data(name: str, ending: str, tmp_path: Path) -> None:
    lines = ["text,label", "a,x", ""] if name.lower() == "data.csv" else ['{"text": "a", "label": "x"}', ""]

    examples = read_examples(write(tmp_path, name, "\ufeff" + ending.join(lines)))

    assert (examples.rows, examples.labels) == (["a"], ["x"])


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


@pytest.mark.parametrize("name", ["data.jsonl", "data.ndjson"])
def test_json_lines_of_texts_and_of_inputs(name: str, tmp_path: Path) -> None:
    values = [
        {"text": "a", "label": "x"},
        {"inputs": [1, 2.5], "label": "y"},
        {"inputs": "b", "label": "z", "source": "mail"},
    ]
    content = "\n\n".join(json.dumps(value) for value in values)

    examples = read_examples(write(tmp_path, name, content))

    assert examples.rows == ["a", [1, 2.5], "b"]
    assert examples.labels == ["x", "y", "z"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", f", line 1: got the columns [], {COLUMNS}"),
        (
            "text,intent\na,x\n",
            f", line 1: got the columns ['text', 'intent'], {COLUMNS}",
        ),
        (
            "label\nx\n",
            f", line 1: got the columns ['label'], {COLUMNS}",
        ),
        (
            "a,a,label\n1,2,x\n",
            f", line 1: got the columns ['a', 'a', 'label'], {COLUMNS}",
        ),
        ("text,label\na,x\nb\n", ", line 3: wanted 2 fields, one per column."),
        ("text,label\na,x,y\n", ", line 2: wanted 2 fields, one per column."),
        ("a,b,label\n1,2,x\n1,two,x\n", ", line 3: wanted a number in each of a, b."),
        ("a,b,label\n1,,x\n", ", line 2: wanted a number in each of a, b."),
        ('text,label\na,x\n"b,x\nc,x\n', ", line 4: not CSV: unexpected end of data."),
        ('text,label\n"a"b,x\n', """, line 2: not CSV: ',' expected after '"'."""),
        (f"text,label\n{'a' * 200_000},x\n", ", line 2: not CSV: field larger than field limit (131072)."),
        ("text,label\n", ": holds no examples."),
    ],
)
def test_a_csv_that_holds_something_else_is_refused_by_line(content: str, message: str, tmp_path: Path) -> None:
    assert refusal(write(tmp_path, "data.csv", content)) == message


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "3",
        "null",
        '"text"',
        '{"text": "a"}',
        '{"label": "x"}',
        '{"text": "a", "label": 3}',
        '{"rows": 1, "label": "x"}',
    ],
)
def test_a_json_line_of_another_form_is_named(line: str, tmp_path: Path) -> None:
    path = write(tmp_path, "data.jsonl", f'{{"text": "a", "label": "x"}}\n\n{line}\n')

    assert refusal(path) == ", line 3: wanted an object with label and one of inputs, text."


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "data.jsonl", '{"text": "a", "label": "x"}\n{"text": \n')

    assert refusal(path).startswith(", line 2: not JSON: ")


@pytest.mark.parametrize("content", ["", "\n", "  \n\n"])
def test_json_lines_without_a_line_are_refused(content: str, tmp_path: Path) -> None:
    assert refusal(write(tmp_path, "data.jsonl", content)) == ": holds no examples."


@pytest.mark.parametrize("name", ["data.tsv", "data", "data.csv.gz"])
def test_a_file_of_another_kind_is_refused(name: str, tmp_path: Path) -> None:
    suffix = Path(name).suffix

    message = f": got a file that ends in {suffix!r}, wanted one of .csv, .jsonl, .ndjson."
    assert refusal(write(tmp_path, name, "text,label\na,x\n")) == message


@pytest.mark.parametrize("name", ["data.csv", "data.jsonl"])
def test_a_file_that_cannot_be_read_is_refused(name: str, tmp_path: Path) -> None:
    assert refusal(tmp_path / name).startswith(": cannot be read: ")
    assert refusal(write(tmp_path, name, b"text,label\n\xff,x\n")) == (
        ": not UTF-8: invalid start byte at byte 11. Save it as UTF-8."
    )


def test_rows_of_a_text_file_are_its_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "golden.txt", "\ufeffsend money\r\n\r\n  rain \nlast")

    assert read_rows(path) == ["send money", "  rain ", "last"]


def test_rows_of_examples_lose_their_labels(tmp_path: Path) -> None:
    assert read_rows(write(tmp_path, "golden.csv", "a,label\n1,x\n2,y\n")) == [[1.0], [2.0]]


def test_rows_of_a_text_file_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match=r"golden\.txt: cannot be read: "):
        read_rows(tmp_path / "golden.txt")
    with pytest.raises(DataInvalid, match=r"bytes\.txt: cannot be read: "):
        read_rows(write(tmp_path, "bytes.txt", b"\xff"))


def test_other_columns_of_a_table_of_texts_are_no_inputs(tmp_path: Path) -> None:
    path = write(tmp_path, "data.csv", "id,text,label,source\n1,rain,weather,mail\n")

    assert (read_examples(path).rows, read_examples(path).labels) == (["rain"], ["weather"])
