import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from numpy.testing import assert_array_equal
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing

from graphs import (
    LABELS,
    VOTES,
    WORDS,
    bag_of_tokens,
    bag_of_words,
    load_classifier,
    word_tokenizer,
    write_model,
)
from softgate.errors import CardInvalid, InvalidInput, TextTooLong
from softgate.runtime.inputs.strings import MAX_CHARACTERS
from softgate.runtime.inputs.tokens import TokenInput
from softgate.runtime.session import Session
from softgate.types import TensorSpec

TEXTS = ["send money", "rain", "", "joke laugh joke laugh", "what 😀 is this", "\x00", "e\u0301"]
ROLES = ("input_ids", "attention_mask", "token_type_ids")
Text = str | Sequence[str]


def token_input(
    *roles: str,
    tokenizer: str | None = None,
    max_tokens: int = 512,
    width: int | None = None,
    dtype: type[np.generic] = np.int64,
) -> TokenInput:
    specs = {role: TensorSpec(role, np.dtype(dtype), (None, width)) for role in roles or ("input_ids",)}
    content = (word_tokenizer() if tokenizer is None else tokenizer).encode("utf-8")
    return TokenInput(specs, max_tokens=max_tokens, tokenizer=content)


def fed(texts: Sequence[Text], source: TokenInput) -> Mapping[str, list[list[int]]]:
    return {role: array.tolist() for role, array in source.feed(source.check(texts)).items()}


def ids(texts: Sequence[Text], *, source: TokenInput | None = None) -> list[list[int]]:
    return fed(texts, source or token_input())["input_ids"]


def tokenizer_that(change: str = "", **words: object) -> str:
    """The words' tokenizer after one of its own methods."""
    tokenizer = Tokenizer.from_str(word_tokenizer())
    if change:
        getattr(tokenizer, change)(**words)
    return str(tokenizer.to_str())


def with_specials() -> str:
    """As BERT's: [UNK] stands in for [CLS] and [SEP], and the second text has the type 1."""
    tokenizer = Tokenizer.from_str(word_tokenizer())
    tokenizer.post_processor = TemplateProcessing(
        single="[UNK] $A [UNK]", pair="[UNK] $A [UNK] $B:1 [UNK]:1", special_tokens=[("[UNK]", 1)]
    )
    return str(tokenizer.to_str())


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
    assert fed([""], token_input(*ROLES)) == {"input_ids": [[0]], "attention_mask": [[0]], "token_type_ids": [[0]]}


def test_the_pad_is_the_tokenizers_own() -> None:
    tokenizer = tokenizer_that("enable_padding", pad_id=1, pad_token="[UNK]", pad_type_id=3, length=10)

    assert fed(["send money", "joke"], token_input(*ROLES, tokenizer=tokenizer)) == {
        "input_ids": [[2, 3], [8, 1]],
        "attention_mask": [[1, 1], [1, 0]],
        "token_type_ids": [[0, 0], [0, 3]],
    }


@pytest.mark.parametrize(("pad", "wanted"), [("[PAD]", 1), ("<pad>", 1), ("other", 0)])
def test_a_tokenizer_that_does_not_say_how_it_pads_has_a_token_for_it(pad: str, wanted: int) -> None:
    tokenizer = Tokenizer.from_str(word_tokenizer())
    tokenizer.model = WordLevel({"rain": 0, pad: 1, "sun": 2}, unk_token="rain")

    assert ids(["sun sun", "sun"], source=token_input(tokenizer=tokenizer.to_str())) == [[2, 2], [2, wanted]]


def test_a_tokenizer_that_pads_on_the_left_does_so_here() -> None:
    source = token_input(*ROLES, tokenizer=tokenizer_that("enable_padding", direction="left"))

    assert fed(["send money rain", "joke", ""], source) == {
        "input_ids": [[2, 3, 6], [0, 0, 8], [0, 0, 0]],
        "attention_mask": [[1, 1, 1], [0, 0, 1], [0, 0, 0]],
        "token_type_ids": [[0, 0, 0], [0, 0, 0], [0, 0, 0]],
    }


@pytest.mark.parametrize("direction", ["left", "right"])
def test_rows_fill_the_width_of_a_graph_that_has_one(direction: str) -> None:
    source = token_input(*ROLES, tokenizer=tokenizer_that("enable_padding", direction=direction), width=4)
    blank = [[0] * 3, []][:: 1 if direction == "left" else -1]

    assert ids(["joke"], source=source) == [[*blank[0], 8, *blank[1]]]
    assert fed(["joke"], source)["attention_mask"] == [[*blank[0], 1, *blank[1]]]
    assert ids(["send money rain sun joke"], source=source) == [[2, 3, 6, 7]]
    assert ids([""], source=source) == [[0, 0, 0, 0]]


def test_a_text_is_cut_after_max_tokens() -> None:
    assert ids(["send money rain sun", "joke"], source=token_input(max_tokens=2)) == [[2, 3], [8, 0]]
    assert ids(["send money rain sun"], source=token_input(max_tokens=2, width=3)) == [[2, 3, 0]]


@pytest.mark.parametrize(("direction", "wanted"), [("left", [6, 7]), ("right", [2, 3])])
def test_a_text_is_cut_where_the_tokenizer_cuts_it(direction: str, wanted: list[int]) -> None:
    tokenizer = tokenizer_that("enable_truncation", max_length=2, direction=direction)

    assert ids(["send money rain sun"], source=token_input(tokenizer=tokenizer, max_tokens=512)) == [wanted]


@pytest.mark.parametrize("strategy", ["longest_first", "only_first", "only_second"])
def test_texts_and_pairs_are_cut_however_the_tokenizer_says_they_are(strategy: str) -> None:
    tokenizer = tokenizer_that("enable_truncation", max_length=9, strategy=strategy, stride=1)
    source = token_input(tokenizer=tokenizer, max_tokens=2)

    assert [len(row) for row in ids(["send money rain sun", ("send money rain", "joke")], source=source)] == [2, 2]


def test_the_texts_of_a_pair_differ_in_their_type() -> None:
    source = token_input(*ROLES, tokenizer=with_specials())

    assert fed([("send money", "rain"), "joke"], source) == {
        "input_ids": [[1, 2, 3, 1, 6, 1], [1, 8, 1, 0, 0, 0]],
        "attention_mask": [[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]],
        "token_type_ids": [[0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 0]],
    }
    assert ids([["send money", "rain"]], source=source) == ids([("send money", "rain")], source=source)


@pytest.mark.parametrize(("max_tokens", "width"), [(2, None), (512, 2), (1, 512)])
def test_a_cut_that_leaves_no_room_for_a_pair_is_refused(max_tokens: int, width: int | None) -> None:
    limit = min(max_tokens, width or max_tokens)

    with pytest.raises(CardInvalid, match=rf"^A text is cut to {limit} tokens; the tokenizer itself adds 3"):
        token_input(tokenizer=with_specials(), max_tokens=max_tokens, width=width)


def test_the_least_room_that_is_allowed_is_never_exceeded() -> None:
    source = token_input(tokenizer=with_specials(), width=3)

    rows = ids(["send money rain", ("send money", "rain sun"), ("", ""), ""], source=source)

    assert rows == [[1, 2, 1], [1, 1, 1], [1, 1, 1], [1, 1, 0]]


def test_a_row_gets_the_same_logits_alone_as_among_longer_ones() -> None:
    source, graph = token_input(), Session(bag_of_words(), threads=1)

    (together,) = graph.run(["logits"], source.feed(source.check(TEXTS)))

    for row, text in enumerate(TEXTS):
        (alone,) = graph.run(["logits"], source.feed(source.check([text])))
        assert_array_equal(alone[0], together[row])
    assert_array_equal(together[0], VOTES[2] + VOTES[3])
    assert together.shape == (len(TEXTS), len(LABELS))


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_ids_have_the_type_that_the_graph_wants(dtype: type[np.generic]) -> None:
    source = token_input(*ROLES, dtype=dtype)

    assert {array.dtype for array in source.feed(source.check(["rain"])).values()} == {np.dtype(dtype)}


def test_a_text_at_the_limit_passes_and_one_above_is_refused() -> None:
    source = token_input()
    source.check(["a" * MAX_CHARACTERS])

    with pytest.raises(TextTooLong, match=r"^Expected at most 32768 characters per text; row 1 has 32769\.$"):
        source.check(["a", "a" * (MAX_CHARACTERS + 1)])
    with pytest.raises(TextTooLong, match=r"row 1 has 32769\.$"):
        source.check(["a", ("b", "a" * (MAX_CHARACTERS + 1))])


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\ude00\ud83d", ("a", "\ud800")])
def test_half_a_surrogate_pair_is_refused(text: Text) -> None:
    with pytest.raises(InvalidInput, match=r"^Expected texts of whole characters; row 1 has half a surrogate pair\.$"):
        token_input().check(["a", text])


@pytest.mark.parametrize("row", [5, None, ["a"], b"a", ("a", "b", "c"), (), ("a", None), ("a", ("b", "c")), {}])
def test_a_row_that_is_no_text_nor_pair_is_refused(row: object) -> None:
    with pytest.raises(InvalidInput, match=r"^Expected a text in each row; row 1 has none\.$"):
        token_input().check(["a", row])


def test_samples_are_rows_that_pass_the_check() -> None:
    source = token_input()

    samples = source.samples(2)

    assert len(samples) == 2
    assert source.check(samples).values == samples


def test_a_text_that_the_tokenizer_has_no_token_for_is_refused() -> None:
    closed = Tokenizer(WordLevel({"[PAD]": 0, "rain": 1})).to_str()

    assert ids(["rain"], source=token_input(tokenizer=closed)) == [[1]]
    with pytest.raises(
        InvalidInput, match=r"Expected texts that tokenizer\.json can encode; it failed on one of them\."
    ):
        ids(["rain", "zzz"], source=token_input(tokenizer=closed))


@pytest.mark.parametrize("roles", [ROLES, ROLES[:2], ("attention_mask", "input_ids")])
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("size", [("batch", "tokens"), ("batch", 16), (1, "tokens"), (1, 16), (4, 16)])
@pytest.mark.parametrize("change", ["", "enable_padding"])
def test_a_graph_of_tokens_answers_each_row_as_if_it_were_alone(
    roles: Sequence[str], dtype: npt.DTypeLike, size: tuple[int | str, int | str], change: str, tmp_path: Path
) -> None:
    batch, width = size
    names = {role: f"the_{role}" for role in roles}
    keys = "\n".join(f'{"tensor" if role == "input_ids" else role} = "{name}"' for role, name in names.items())
    words = {"direction": "left"} if change else {}
    folder = write_model(
        tmp_path / "toy",
        bag_of_tokens(names, batch=batch, width=width, dtype=dtype),
        kind="text",
        keys=keys,
        tokenizer=tokenizer_that(change, **words),
    )
    classifier = load_classifier(folder)
    rows: list[Text] = ["send money", "joke joke rain", ("rain", "laugh"), "", "sun"]

    logits = classifier.predict_now(classifier.check(rows)).scores.logits

    twice = 2 if "token_type_ids" in roles else 1
    assert_array_equal(
        logits,
        [
            VOTES[2] + VOTES[3],
            VOTES[8] * 2 + VOTES[6],
            VOTES[6] + VOTES[9] * twice,
            VOTES[0] * 0,
            VOTES[7],
        ],
    )
    for row, alone in zip(rows, logits, strict=True):
        assert_array_equal(classifier.predict_now(classifier.check([row])).scores.logits, [alone])


def tokenizer_with(**parts: object) -> str:
    """The words' tokenizer, some parts of its file replaced."""
    return json.dumps({**json.loads(word_tokenizer()), **parts})


def test_a_text_that_makes_the_tokenizer_panic_is_refused() -> None:
    # It gives up on what it would take for ever to match.
    backtracking = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
    source = token_input(tokenizer=tokenizer_with(pre_tokenizer=backtracking))

    with pytest.raises(InvalidInput, match="it failed on one of them"):
        ids(["a" * 40 + "b"], source=source)
    assert ids(["send"], source=source)


def test_a_tokenizer_that_panics_when_read_is_refused() -> None:
    broken = {"type": "Precompiled", "precompiled_charsmap": "/////w=="}

    with pytest.raises(CardInvalid, match=r"tokenizer\.json cannot be read: .*charsmap"):
        token_input(tokenizer=tokenizer_with(normalizer=broken))


def test_a_limit_below_what_the_tokenizer_adds_to_one_text_is_refused() -> None:
    unknown = {"SpecialToken": {"id": "[UNK]", "type_id": 0}}
    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    adds_five = {
        "type": "TemplateProcessing",
        "single": [unknown] * 5 + [first],
        "pair": [first, second],
        "special_tokens": {"[UNK]": {"id": "[UNK]", "ids": [1], "tokens": ["[UNK]"]}},
    }

    with pytest.raises(CardInvalid, match="cut to 3 tokens; the tokenizer itself adds 5"):
        token_input(tokenizer=tokenizer_with(post_processor=adds_five), width=3)
