from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from graphs import word_tokenizer
from softgate.errors import CardInvalid, GraphInvalid
from softgate.runtime.inputs.strings import StringInput
from softgate.runtime.inputs.text import TextKeys, build, read
from softgate.runtime.inputs.tokens import TokenInput
from softgate.runtime.table import Table
from softgate.types import TensorSpec

TOKENIZER = word_tokenizer().encode()


def keys(**values: Any) -> TextKeys:
    return TextKeys(**{"tensor": None, "max_tokens": 512, "attention_mask": None, "token_type_ids": None, **values})


def spec(name: str, *shape: int | None, dtype: type[np.generic] = np.int64) -> TensorSpec:
    return TensorSpec(name, np.dtype(dtype), shape)


IDS, MASK, TYPES = (spec(name, None, None) for name in ("input_ids", "attention_mask", "token_type_ids"))
TEXTS = spec("texts", None, dtype=np.object_)


def test_the_keys_of_a_card_are_read() -> None:
    values = {"tensor": "ids", "max_tokens": 64, "attention_mask": "mask", "token_type_ids": "types"}

    assert read(Table(values, place="input", mistakes=[])) == keys(**values)
    assert read(Table({}, place="input", mistakes=[])) == keys()


@pytest.mark.parametrize("specs", [[IDS], [IDS, MASK], [MASK, TYPES, IDS], [IDS, TYPES], [spec("x", None, None)]])
def test_a_tokenizer_makes_the_inputs_that_exports_have(specs: Sequence[TensorSpec]) -> None:
    source = build(specs, keys(), tokenizer=TOKENIZER)

    assert isinstance(source, TokenInput)
    assert source.feed(source.check(["rain"])).keys() == {spec.name for spec in specs}


def test_inputs_of_other_names_are_named_by_the_card() -> None:
    specs = [spec(name, None, None) for name in ("segments", "words", "present")]

    source = build(
        specs, keys(tensor="words", attention_mask="present", token_type_ids="segments"), tokenizer=TOKENIZER
    )

    feed = source.feed(source.check([["rain", "sun"], "joke"]))
    assert {name: array.tolist() for name, array in feed.items()} == {
        "words": [[6, 7], [8, 0]],
        "present": [[1, 1], [1, 0]],
        "segments": [[0, 1], [0, 0]],
    }


def test_a_graph_of_strings_needs_no_tokenizer() -> None:
    assert isinstance(build([TEXTS], keys(), tokenizer=None), StringInput)
    assert isinstance(build([TEXTS], keys(tensor="texts"), tokenizer=None), StringInput)


def test_a_graph_of_strings_beside_a_tokenizer_is_refused() -> None:
    with pytest.raises(
        CardInvalid, match=r"^The graph takes texts as they are, yet the model folder holds a tokenizer"
    ):
        build([TEXTS], keys(), tokenizer=TOKENIZER)


def test_a_folder_without_a_tokenizer_is_refused() -> None:
    with pytest.raises(CardInvalid, match=r"^input\.kind is text, so the model folder must hold a tokenizer\.json; "):
        build([IDS], keys(), tokenizer=None)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"version": "1.0"}'])
def test_a_tokenizer_that_is_none_is_refused(content: bytes) -> None:
    with pytest.raises(CardInvalid, match=r"^tokenizer\.json cannot be read: "):
        build([IDS], keys(), tokenizer=content)


@pytest.mark.parametrize(
    "specs",
    [
        [],
        [IDS, spec("input_idz", None, None)],
        [MASK, TYPES],
        [IDS, MASK, TYPES, spec("position_ids", None, None)],
        [spec("x", None, None, dtype=np.float32)],
        [spec("x", None, None, dtype=np.int8)],
        [IDS, spec("attention_mask", None, None, dtype=np.float32)],
        [spec("x", None)],
        [TEXTS, IDS],
    ],
)
def test_a_graph_that_takes_something_else_is_refused(specs: list[TensorSpec]) -> None:
    wanted = r"wants a graph with int32 or int64 inputs of shape \[batch, tokens\], named input_ids and, where it has "
    with pytest.raises(GraphInvalid, match=wanted) as caught:
        build(specs, keys(), tokenizer=TOKENIZER)

    assert all(str(spec) in str(caught.value) for spec in specs)


@pytest.mark.parametrize("key", ["tensor", "attention_mask", "token_type_ids"])
@pytest.mark.parametrize(("specs", "tokenizer"), [([IDS], TOKENIZER), ([IDS, MASK], TOKENIZER), ([TEXTS], None)])
def test_a_name_in_the_card_that_the_graph_does_not_have_is_refused(
    key: str, specs: list[TensorSpec], tokenizer: bytes | None
) -> None:
    with pytest.raises(GraphInvalid, match=rf"^input\.{key} is other; the graph takes {specs[0].name} "):
        build(specs, keys(**{key: "other"}), tokenizer=tokenizer)
