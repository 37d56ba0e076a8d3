import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_files import refusal, write
from softgate.workbench.examples import read_examples

COLUMNS = (
    "wanted label and text (and text_pair, for pairs), or label and one per feature, each once, separated by commas."
)
MIXED = "age,town,label\n22,Oslo,x\n,,y\nnan,Bern,x\n"


def rows(folder: Path, content: str, **wanted: Any) -> list[Any]:
    return list(read_examples(write(folder, "data.csv", content), **wanted).rows)


def test_texts_labels_and_where_they_stand(tmp_path: Path) -> None:
    examples = read_examples(write(tmp_path, "data.csv", 'text,label\n"two\nlines",transfer\n\nrain,weather\n'))

    assert examples.rows == ["two\nlines", "rain"]
    assert examples.labels == [("transfer",), ("weather",)]
    assert [examples.place(index) for index in range(2)] == ["line 2", "line 5"]


def test_pairs_of_texts(tmp_path: Path) -> None:
    assert rows(tmp_path, "text_pair,label,text\nit rains,x,is it wet?\n,y,a\n") == [
        ["is it wet?", "it rains"],
        ["a", ""],
    ]


def test_other_columns_of_a_table_of_texts_are_no_inputs(tmp_path: Path) -> None:
    assert rows(tmp_path, ",text,label,source\n1,rain,weather,mail\n") == ["rain"]


def test_numbers_keep_the_order_of_their_columns(tmp_path: Path) -> None:
    assert rows(tmp_path, "b,label,a\n1,x,2.5\n-1e3,y, 0\n") == [[1.0, 2.5], [-1000.0, 0.0]]


def test_an_empty_cell_and_nan_are_numbers_that_are_not_known(tmp_path: Path) -> None:
    assert rows(tmp_path, "a,b,label\n1,,x\nNaN,2,x\n") == [[1.0, None], [None, 2.0]]


def test_numbers_and_strings_are_objects_by_name(tmp_path: Path) -> None:
    assert rows(tmp_path, MIXED) == [
        {"age": 22.0, "town": "Oslo"},
        {"age": None, "town": ""},
        {"age": None, "town": "Bern"},
    ]


@pytest.mark.parametrize("cell", ["1_000", "0x10", "1,5", "1 2", "-", "1e", "NA"])
def test_what_is_no_number_makes_its_column_one_of_strings(cell: str, tmp_path: Path) -> None:
    assert rows(tmp_path, f'a,b,label\n"{cell}",1,x\n2,2,x\n') == [{"a": cell, "b": 1.0}, {"a": "2", "b": 2.0}]


def test_numbers_are_objects_for_a_graph_that_takes_them_by_name(tmp_path: Path) -> None:
    assert rows(tmp_path, "b,a,label\n1,2,x\n", by_name=True) == [{"b": 1.0, "a": 2.0}]


def test_a_graph_that_takes_its_inputs_by_name_may_have_one_named_text(tmp_path: Path) -> None:
    assert rows(tmp_path, "text,age,label\nrain,2,x\n", by_name=True) == [{"text": "rain", "age": 2.0}]
    assert rows(tmp_path, "text_pair,label\nrain,x\n", by_name=True) == [{"text_pair": "rain"}]


def test_strings_that_look_like_numbers_stay_strings_where_the_graph_takes_such(tmp_path: Path) -> None:
    content = "postcode,age,label\n02134,1,x\n"

    assert rows(tmp_path, content, strings={"postcode"}) == [{"postcode": "02134", "age": 1.0}]
    assert rows(tmp_path, content, strings={"absent"}) == [[2134.0, 1.0]]


def test_a_graph_that_takes_numbers_alone_gets_the_line_that_holds_none(tmp_path: Path) -> None:
    path = write(tmp_path, "data.csv", "a,b,label\n1,2,x\n1,two,x\n")

    assert refusal(path, by_name=False) == ", line 3: got 'two' in the column b, wanted a number."


def test_several_labels_are_separated_by_semicolons(tmp_path: Path) -> None:
    path = write(tmp_path, "data.csv", "text,labels\na,x;y\nb,\nc, z ; x\n")

    assert read_examples(path, multi_label=True).labels == [("x", "y"), (), ("z", "x")]


def test_a_column_label_is_one_label_though_several_may_hold(tmp_path: Path) -> None:
    assert read_examples(write(tmp_path, "data.csv", "text,label\na,x;y\n"), multi_label=True).labels == [("x;y",)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,labels\na,x;\n", ", line 2: got the label '', wanted a name."),
        ("text,labels\na,x\nb,x;y;x\n", ", line 3: got the labels ['x', 'y', 'x'], wanted each once."),
        ("text,label\na,\n", ", line 2: got the label '', wanted a name."),
        ("text,label,labels\na,x,x\n", ", line 1: got the columns ['text', 'label', 'labels'], "),
        ("text\na\n", ", line 1: got the columns ['text'], wanted label or labels and text "),
    ],
)
def test_labels_of_another_form_are_refused(content: str, message: str, tmp_path: Path) -> None:
    assert refusal(write(tmp_path, "data.csv", content), multi_label=True).startswith(message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", f", line 1: got the columns [], {COLUMNS}"),
        ("\ufeff\r\n", f", line 1: got the columns [], {COLUMNS}"),
        ("text,intent\na,x\n", f", line 1: got the columns ['text', 'intent'], {COLUMNS}"),
        ("text;label\na;x\n", f", line 1: got the columns ['text;label'], {COLUMNS}"),
        ("text,labels\na,x\n", f", line 1: got the columns ['text', 'labels'], {COLUMNS}"),
        ("label\nx\n", f", line 1: got the columns ['label'], {COLUMNS}"),
        ("a,a,label\n1,2,x\n", f", line 1: got the columns ['a', 'a', 'label'], {COLUMNS}"),
        ("text_pair,label\na,x\n", f", line 1: got the columns ['text_pair', 'label'], {COLUMNS}"),
        ("text,label\na,x\nb\n", ", line 3: got 1 fields, wanted 2, one per column."),
        ("text,label\na,x,y\n", ", line 2: got 3 fields, wanted 2, one per column."),
        ('text,label\na,x\n"b,x\nc,x\n', ", line 3: not CSV: unexpected end of data."),
        ('text,label\n"a"b,x\n', """, line 2: not CSV: ',' expected after '"'."""),
        (f"text,label\n{'a' * 200_000},x\n", ", line 2: not CSV: field larger than field limit (131072)."),
        ("text,label\n", ": holds no examples."),
        (
            ",a,label\n0,1,x\n",
            ", line 1: got a column without a name, wanted features alone; "
            "pandas leaves its index out with index=False.",
        ),
    ],
)
def test_a_file_that_holds_something_else_is_refused_by_line(content: str, message: str, tmp_path: Path) -> None:
    assert refusal(write(tmp_path, "data.csv", content)) == message


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1),
    # Of what ends no line, the writer of Python 3.11 quotes no carriage return.
    form=st.sampled_from([(csv.QUOTE_MINIMAL, "\r\n"), (csv.QUOTE_ALL, "\r\n"), (csv.QUOTE_ALL, "\n")]),
)
def test_any_text_comes_back_as_it_was_written(texts: list[str], form: tuple[Any, str], tmp_path: Path) -> None:
    file, (quoting, ending) = io.StringIO(), form
    csv.writer(file, quoting=quoting, lineterminator=ending).writerows([("text", "label"), *((t, "x") for t in texts)])

    assert rows(tmp_path, file.getvalue()) == texts


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(table=st.lists(st.tuples(*[st.floats(allow_nan=False) | st.none()] * 2), min_size=1))
def test_any_number_comes_back_as_it_was_written(table: list[tuple[float | None, ...]], tmp_path: Path) -> None:
    file = io.StringIO()
    csv.writer(file).writerows([("a", "b", "label"), *((*row, "x") for row in table)])

    assert rows(tmp_path, file.getvalue()) == [list(row) for row in table]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary() | st.text(alphabet='abel,;"\n\r\0\ufeff_1').map(str.encode))
def test_no_content_whatever_fails_but_by_a_refusal(content: bytes, tmp_path: Path) -> None:
    for head in (b"", b"text,label\n", b"a,label\n"):
        try:
            read_examples(write(tmp_path, "data.csv", head + content))
        except Exception as exc:
            assert type(exc).__name__ == "DataInvalid"  # noqa: PT017 - most contents are refused, some are read
