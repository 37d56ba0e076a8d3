"""The JSON of `inputs` as rows, for each way in."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphs import word_tokenizer
from softgate.errors import InvalidInput, MalformedBody
from softgate.runtime.inputs import Input
from softgate.runtime.inputs.columns import ColumnsInput
from softgate.runtime.inputs.matrix import MatrixInput
from softgate.runtime.inputs.strings import StringInput
from softgate.runtime.inputs.tokens import TokenInput
from softgate.types import TensorSpec
from softgate.web.protocols import native
from softgate.web.protocols.native import decode_inputs
from softgate.web.protocols.predict_body import PredictBody


def spec(*shape: int | None, name: str = "x", dtype: type[np.generic] = np.float32) -> TensorSpec:
    return TensorSpec(name, np.dtype(dtype), (None, *shape))


IDS = {"input_ids": spec(None, name="input_ids", dtype=np.int64)}
WAYS: dict[str, Input] = {
    "strings": StringInput(spec(dtype=np.object_)),
    "tokens": TokenInput(IDS, max_tokens=9, tokenizer=word_tokenizer().encode()),
    "numbers": MatrixInput(spec(2), columns=None, missing=False),
    "integers": MatrixInput(spec(2, dtype=np.int64), columns=None, missing=False),
    "truths": MatrixInput(spec(2, dtype=np.bool_), columns=None, missing=False),
    "words": MatrixInput(spec(2, dtype=np.object_), columns=None, missing=False),
    "missing": MatrixInput(spec(2), columns=None, missing=True),
    "named": MatrixInput(spec(2), columns=["a", "b"], missing=False),
    "nested": MatrixInput(spec(2, 2), columns=None, missing=False),
    "deeper": MatrixInput(spec(1, 2, 2), columns=None, missing=False),
    "columns": ColumnsInput([spec(1, name="a"), spec(name="b", dtype=np.object_)], missing=False),
}
NAMED, LISTED = {"a": 1, "b": 2}, [1, 2]


@pytest.mark.parametrize(
    ("way", "row"),
    [
        ("strings", "a"),
        ("strings", "[1, 2]"),
        ("strings", ""),
        ("tokens", "[["),
        ("numbers", [1, 2.5]),
        ("integers", [1, 2]),
        ("truths", [True, False]),
        ("words", ["[", "{"]),
        ("missing", [None, 1]),
        ("named", LISTED),
        ("named", NAMED),
        ("nested", [[1, 2], [3, 4]]),
        ("deeper", [[[1, 2], [3, 4]]]),
        ("columns", [1, "x"]),
        ("columns", {"a": 1, "b": "x"}),
        ("columns", {"a": [1], "b": "x"}),
    ],
)
@pytest.mark.parametrize("blank", ["", " ", "\n\t\r "])
def test_one_row_and_several_are_told_apart(way: str, row: Any, blank: str) -> None:
    for sent, n_rows in ((row, 1), ([row], 1), ([row, row, row], 3)):
        # Blanks wherever JSON allows them, but not within strings: an indented list has a line per value.
        text = json.dumps(sent, indent=4) if blank else json.dumps(sent)
        values = decode_inputs(f"{blank}{text}{blank}".encode(), WAYS[way])
        assert values == [row] * n_rows
        assert len(WAYS[way].check(values)) == n_rows


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("content", [b"[]", b" [ ] ", b"[\n]"])
def test_an_empty_list_is_no_row(way: str, content: bytes) -> None:
    assert decode_inputs(content, WAYS[way]) == []


def test_objects_and_lists_may_be_mixed() -> None:
    for sent in ([NAMED, LISTED], [LISTED, NAMED], [NAMED, NAMED]):
        values = decode_inputs(json.dumps(sent).encode(), WAYS["named"])
        assert values == sent
        assert np.asarray(WAYS["named"].check(values).values).tolist() == [[1, 2], [1, 2]]


def test_texts_and_pairs_of_texts_may_be_mixed() -> None:
    values = decode_inputs(b'["a", ["b", "c"], "d"]', WAYS["tokens"])

    assert values == ["a", ("b", "c"), "d"]
    assert decode_inputs(b'[["b", "c"]]', WAYS["tokens"]) == [("b", "c")]
    # Two texts without a bracket around them are two rows, as they are for every other graph of texts.
    assert decode_inputs(b'["b", "c"]', WAYS["tokens"]) == ["b", "c"]


@pytest.mark.parametrize(
    ("way", "content"),
    [
        ("strings", b'["a", ["b", "c"]]'),
        ("strings", b"5"),
        ("strings", b"{}"),
        ("strings", b"null"),
        ("tokens", b'[["a", "b", "c"]]'),
        ("tokens", b'[["a"]]'),
        ("tokens", b'[["a", 5]]'),
        ("tokens", b'{"a": "b"}'),
        ("numbers", b"5"),
        ("numbers", b'"secret"'),
        ("numbers", b'[1, "secret"]'),
        ("numbers", b'["1", "2"]'),
        ("numbers", b"[true, 2]"),
        ("numbers", b"[[1, 2], [1, false]]"),
        ("numbers", b"[null, 2]"),
        ("numbers", b'{"secret": 1}'),
        ("numbers", b'[{"secret": 1}]'),
        ("numbers", b"[[1, 2], 3]"),
        ("numbers", b"[1, [2, 3]]"),
        ("numbers", b"[[[1, 2]]]"),
        ("numbers", b"[NaN, 1]"),
        ("numbers", b"[1e400, 1]"),
        ("numbers", b"[-Infinity, 1]"),
        ("numbers", b"[1, 2"),
        ("numbers", b"[1, 2] 3"),
        ("numbers", b""),
        ("integers", b"[1.5, 2]"),
        ("integers", b"[true, 2]"),
        ("truths", b"[1, 0]"),
        ("truths", b'["true", true]'),
        ("words", b"[1, 2]"),
        ("words", b'"ab"'),
        ("missing", b'[null, "secret"]'),
        ("named", b'{"a": "secret", "b": 1}'),
        ("named", b'{"a": null, "b": 1}'),
        ("named", b'[{"secret": true}]'),
        ("nested", b"[1, 2]"),
        ("nested", b'{"secret": 1}'),
        ("nested", b'[{"secret": 1}]'),
        ("columns", b'"secret"'),
        ("columns", b"5"),
        ("columns", b"[5, [1, 2]]x"),
    ],
)
def test_what_is_no_row_is_refused_and_not_repeated(way: str, content: bytes) -> None:
    with pytest.raises(MalformedBody, match=r"^In inputs: .") as caught:
        decode_inputs(content, WAYS[way])

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("opening", [b"[", b"[[]," * 2 + b"[", b'{"a":', b'[{"a":', b"[1,[", b'["a",[', b" [\n"])
def test_a_nest_without_a_bottom_is_refused(way: str, opening: bytes) -> None:
    for depth in (1, 2, 3, 4, 70, 100_000):
        with pytest.raises(InvalidInput):
            WAYS[way].check(decode_inputs(opening * depth, WAYS[way]))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("depth", [2, 5, 40, 70, 500])
def test_a_nest_too_deep_is_refused(way: str, depth: int) -> None:
    for inner in (b"", b"1", b'"a"'):
        with pytest.raises(InvalidInput):
            WAYS[way].check(decode_inputs(b"[" * (depth + 4) + inner + b"]" * (depth + 4), WAYS[way]))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("unit", [b" ", b"[", b"[]", b"{", b'"'])
def test_a_long_body_of_nothing_is_refused(way: str, unit: bytes) -> None:
    with pytest.raises(MalformedBody):
        decode_inputs(b"[" + unit * 100_000, WAYS[way])


REST = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["a", "[", "[[", "é", ""]),
        "top_k": st.sampled_from([1, 5, 0, -1, 2.0, "3"]),
        "logits": st.booleans(),
        "temperature": st.sampled_from([1.5, 0.0, 2]),
        "select": st.sampled_from(["argmax", "sample", "worst"]),
        "unknown": st.none(),
    },
)
NUMBER = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70)
VALUE: st.SearchStrategy[Any] = NUMBER | st.sampled_from([None, True, "1", [], {}, [1.0]])
INPUTS = st.lists(NUMBER) | st.lists(st.lists(NUMBER)) | st.lists(VALUE) | st.lists(st.lists(VALUE)) | VALUE


def shown(body: bytes, read: Callable[[bytes, Input], tuple[PredictBody, Sequence[Any]]]) -> tuple[Any, ...]:
    """What is read of a body, or why it is refused."""
    try:
        asked, rows = read(body, WAYS["numbers"])
    except MalformedBody as exc:
        return (str(exc),)
    return rows, *(getattr(asked, name) for name in PredictBody.__struct_fields__ if name != "inputs")


@given(INPUTS, REST, st.booleans(), st.sampled_from(["", " "]), st.integers(0, 3))
def test_a_body_of_numbers_is_read_alike_in_one_pass_and_in_two(
    inputs: object, rest: dict[str, object], first: bool, blank: str, cut: int
) -> None:
    fields = {"inputs": inputs, **rest} if first else {**rest, "inputs": inputs}
    text = json.dumps(fields, separators=(f",{blank}", f":{blank}")).replace("[", f"[{blank}")
    body = text.encode()[: -cut or None]

    assert shown(body, native.read_body) == shown(body, native.read_in_two_passes)


@pytest.mark.parametrize("inputs", [[1, 2.5], [[1, 2], [3, 4]], [[1, 2]]])
def test_plain_bodies_of_numbers_are_read_in_one_pass(inputs: object) -> None:
    assert native._numbers(json.dumps({"id": "a", "inputs": inputs, "top_k": 3}).encode()) is not None


@pytest.mark.parametrize("body", [b"", b"{", b"[", b"[[", b"\xff", b'{"inputs": ' + b"[" * 100_000])
def test_what_is_no_body_of_numbers_is_left_to_the_long_way(body: bytes) -> None:
    assert native._numbers(body) is None
