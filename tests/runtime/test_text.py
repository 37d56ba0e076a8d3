from collections.abc import Sequence

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from graphs import LABELS, VOTES, WORDS, bag_of_words, word_tokenizer
from softgate.errors import CardInvalid, GraphInvalid, InvalidInput, TextTooLong
from softgate.runtime.inputs.text import MAX_CHARACTERS, TextInput
from softgate.runtime.session import Session
from softgate.types import TensorSpec

IDS = TensorSpec("input_ids", np.dtype(np.int64), (None, None))
TEXTS = ["send money", "rain", "", "joke laugh joke laugh", "what 😀 is this", "\x00", "e\u0301"]


def text_input(
    *,
    specs: Sequence[TensorSpec] = (IDS,),
    tokenizer: str | None = None,
    max_tokens: int = 512,
    tensor: str | None = None,
) -> TextInput:
    content = (word_tokenizer() if tokenizer is None else tokenizer).encode("utf-8")
    return TextInput(specs, tensor=tensor, max_tokens=max_tokens, tokenizer=content)


def ids(texts: Sequence[str], *, source: TextInput | None = None) -> list[list[int]]:
    found = source or text_input()
    values: list[list[int]] = found.feed(found.check(texts))["input_ids"].tolist()
    return values


def test_words_become_their_ids() -> None:
    assert ids(["send money rain", "joke is new"]) == [
        [WORDS.index("send"), WORDS.index("money"), WORDS.index("rain")],
        [WORDS.index("joke"), WORDS.index("[UNK]"), WORDS.index("[UNK]")],
    ]


def test_short_rows_are_padded_to_the_longest() -> None:
    assert ids(["send money rain", "joke", ""]) == [[2, 3, 6], [8, 0, 0], [0, 0, 0]]


def test_a_text_without_a_token_is_one_pad() -> None:
    assert ids([""]) == [[0]]
    assert ids(["  "]) == [[0]]


def test_the_pad_is_the_tokenizers_own() -> None:
    tokenizer = Tokenizer.from_str(word_tokenizer())
    tokenizer.enable_padding(pad_id=1, pad_token="[UNK]", length=10)

    assert ids(["send money", "joke"], source=text_input(tokenizer=tokenizer.to_str())) == [[2, 3], [8, 1]]


def test_a_row_gets_the_same_logits_alone_as_among_longer_ones() -> None:
    source, graph = text_input(), Session(bag_of_words(), threads=1)

    together = graph.run("logits", source.feed(source.check(TEXTS)))

    for row, text in enumerate(TEXTS):
        assert_array_equal(graph.run("logits", source.feed(source.check([text])))[0], together[row])
    assert_array_equal(together[0], VOTES[2] + VOTES[3])
    assert together.shape == (len(TEXTS), len(LABELS))


def test_a_text_is_cut_after_max_tokens() -> None:
    assert ids(["send money rain sun", "joke"], source=text_input(max_tokens=2)) == [[2, 3], [8, 0]]


def test_ids_have_the_type_that_the_graph_wants() -> None:
    source = text_input(specs=[TensorSpec("x", np.dtype(np.int32), (None, None))])

    assert source.feed(source.check(["rain"]))["x"].dtype == np.int32


def test_a_text_at_the_limit_passes_and_one_above_is_refused() -> None:
    source = text_input()
    source.check(["a" * MAX_CHARACTERS])

    with pytest.raises(TextTooLong, match=r"^Expected at most 32768 characters per text; row 1 has 32769\.$"):
        source.check(["a", "a" * (MAX_CHARACTERS + 1)])


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\ude00\ud83d"])
def test_half_a_surrogate_pair_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^Expected texts of whole characters; row 1 has half a surrogate pair\.$"):
        text_input().check(["a", text])


@pytest.mark.parametrize("row", [5, None, ["a"], b"a"])
def test_a_row_that_is_no_text_is_refused(row: object) -> None:
    with pytest.raises(InvalidInput, match=r"^Expected a text in each row; row 1 has none\.$"):
        text_input().check(["a", row])


def test_samples_are_rows_that_pass_the_check() -> None:
    source = text_input()

    samples = source.samples(2)

    assert len(samples) == 2
    assert source.check(list(samples.values)) == samples


def test_a_folder_without_a_tokenizer_is_refused() -> None:
    with pytest.raises(CardInvalid, match=r"^input\.kind is text, so the model folder must hold a tokenizer\.json; "):
        TextInput([IDS], tensor=None, max_tokens=1, tokenizer=None)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"version": "1.0"}'])
def test_a_tokenizer_that_is_none_is_refused(content: bytes) -> None:
    with pytest.raises(CardInvalid, match=r"^tokenizer\.json cannot be read: "):
        TextInput([IDS], tensor=None, max_tokens=1, tokenizer=content)


@pytest.mark.parametrize(
    "specs",
    [
        [],
        [IDS, IDS],
        [TensorSpec("x", np.dtype(np.float32), (None, None))],
        [TensorSpec("x", np.dtype(np.int64), (None,))],
    ],
)
def test_a_graph_that_takes_something_else_is_refused(specs: list[TensorSpec]) -> None:
    wanted = r"wants a graph with one integer input of shape \[batch, tokens\]; got "
    with pytest.raises(GraphInvalid, match=wanted):
        text_input(specs=specs)


def test_an_input_of_another_name_is_refused() -> None:
    with pytest.raises(GraphInvalid, match=r"one integer input named ids of shape \[batch, tokens\]; got input_ids "):
        text_input(tensor="ids")


def test_a_text_that_the_tokenizer_has_no_token_for_is_refused() -> None:
    closed = Tokenizer(WordLevel({"[PAD]": 0, "rain": 1})).to_str()

    assert ids(["rain"], source=text_input(tokenizer=closed)) == [[1]]
    with pytest.raises(
        InvalidInput, match=r"Expected texts that tokenizer\.json can encode; it failed on one of them\."
    ):
        ids(["rain", "zzz"], source=text_input(tokenizer=closed))
