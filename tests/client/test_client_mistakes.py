"""Mistakes of who asks, in both flavours: nothing is sent."""

import math
from typing import Any

import pytest

from scripted import Script, asked, echo
from softgate.errors import (
    InvalidInput,
)


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        (lambda client: client.predict("rain", topk=3), "Expected no option but model, .*; got topk"),
        (lambda client: client.predict("rain", inputs=3), "got inputs"),
        (lambda client: client.predict({1, 2}), "got set"),
        (lambda client: client.predict([1.0, -math.inf]), "got an infinity"),
        (lambda client: client.predict("rain", temperature=math.nan), "Expected finite numbers as options"),
        (lambda client: client.predict_many("rain"), "Expected several rows; got one str"),
        (lambda client: client.predict_many({"age": 3}), "Expected several rows; got one dict"),
        (lambda client: client.predict_many(["rain"], batch_size=0), "batch_size"),
        (lambda client: client.predict_many(["rain"], concurrency=0), "concurrency"),
        (lambda client: client.predict_many(["rain"], topk=3), "got topk"),
    ],
)
def test_a_mistake_in_a_call_is_told_before_anything_is_sent(flavour: str, question: Any, sentence: str) -> None:
    script = Script(echo)

    with pytest.raises(InvalidInput, match=sentence):
        asked(flavour, script, question)

    assert script.requests == []


def test_a_model_has_to_be_named(flavour: str) -> None:
    with pytest.raises(InvalidInput, match="name of a model"):
        asked(flavour, Script(echo), lambda client: client.predict("rain"), model=None)


@pytest.mark.parametrize("token", ["", "two words", "line\n", "é", "a\r\nX-Evil: 1"])
def test_a_token_that_is_none_is_refused_and_not_repeated(flavour: str, token: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        asked(flavour, Script(echo), lambda client: client.predict("rain"), token=token)

    assert str(caught.value) == "Expected a token as softgate token prints it, and nothing around it."
