from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from graphs import LABELS, load_classifier, looked_up, write_model
from softgate.errors import GraphInvalid, InvalidInput, TextTooLong
from softgate.runtime.inputs.strings import MAX_CHARACTERS, StringInput
from softgate.types import TensorSpec


def strings(*shape: int | None) -> StringInput:
    return StringInput(TensorSpec("texts", np.dtype(np.object_), shape or (None,)))


@pytest.mark.parametrize(
    ("shape", "wanted"), [((None,), ["a", ""]), ((None, 1), [["a"], [""]]), ((None, None), [["a"], [""]])]
)
def test_texts_reach_the_graph_as_they_are(shape: tuple[int | None, ...], wanted: list[Any]) -> None:
    source = strings(*shape)

    feed = source.feed(source.check(["a", ""]))

    assert feed["texts"].dtype == np.object_
    assert feed["texts"].tolist() == wanted


@pytest.mark.parametrize("shape", [(), (None, 2), (None, 1, 1)])
def test_a_graph_that_takes_more_than_a_string_per_row_is_refused(shape: tuple[int | None, ...]) -> None:
    spec = TensorSpec("texts", np.dtype(np.object_), shape)

    with pytest.raises(GraphInvalid, match=r"^input\.kind is text, which wants one string per row; .* texts string \["):
        StringInput(spec)


def test_a_text_at_the_limit_passes_and_one_above_is_refused() -> None:
    strings().check(["a" * MAX_CHARACTERS])

    with pytest.raises(TextTooLong, match=r"^Expected at most 32768 characters per text; row 1 has 32769\.$"):
        strings().check(["a", "a" * (MAX_CHARACTERS + 1)])


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\ude00\ud83d"])
def test_half_a_surrogate_pair_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^Expected texts of whole characters; row 1 has half a surrogate pair\.$"):
        strings().check(["a", text])


@pytest.mark.parametrize("row", [5, None, ["a"], ["a", "b"], b"a", {}])
def test_a_row_that_is_no_text_is_refused(row: object) -> None:
    with pytest.raises(InvalidInput, match=r"^Expected a text in each row; row 1 has none\.$"):
        strings().check(["a", row])


def test_samples_are_rows_that_pass_the_check_and_no_two_alike() -> None:
    samples = strings().samples(20)

    assert len(set(samples)) == len(samples) == 20
    assert strings().check(samples).values == samples
    assert strings().samples(3) == samples[:3]


@pytest.mark.parametrize("shape", [("batch",), ("batch", 1), (1,), (1, 1), (3, 1)])
def test_a_graph_of_strings_answers(shape: tuple[int | str, ...], tmp_path: Path) -> None:
    classifier = load_classifier(write_model(tmp_path / "toy", looked_up(*shape), kind="text"))
    texts = ["Balance", "joke", "", "weather\x00", "TRANSFER"]

    logits = classifier.predict_now(classifier.check(texts)).scores.logits

    eye = np.eye(len(LABELS)) * 5
    assert_array_equal(logits, [eye[1], eye[3], eye[0] * 0, eye[0] * 0, eye[0]])
