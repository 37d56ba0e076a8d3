import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from graphs import LABELS, bag_of_tokens, word_tokenizer
from pacing import Paced, Watch
from softgate.errors import EngineFailed
from softgate.runtime.inputs.tokens import TokenInput
from softgate.runtime.outputs import Head
from softgate.runtime.runner import MOST_TOKENS_KEPT, Runner
from softgate.types import Rows

TEXTS = ["send money", "rain", "", "joke laugh joke laugh", "sun sun", "balance", "send send money account"]


def runner(*, max_rows: int = 32, max_padded_tokens: int = 10**6, batch: int | str = "batch") -> Runner:
    """Over a graph that shows wrong masks and wrong order in its answers."""
    session = Paced(bag_of_tokens(batch=batch), Watch())
    source = TokenInput(
        {spec.name: spec for spec in session.inputs}, max_tokens=10_000, tokenizer=word_tokenizer().encode()
    )
    head = Head(session.outputs, kind="logits", tensor=None, labels=LABELS, independent=False)
    return Runner(session, source, head, max_rows=max_rows, max_padded_tokens=max_padded_tokens)


def shapes(texts: Sequence[str], feeds: Runner, *, cost: float | None = None) -> list[tuple[int, ...]]:
    feeds.values(Rows(texts), call_cost_in_tokens=cost)
    assert isinstance(feeds.session, Paced)
    return feeds.session.shapes


@pytest.mark.parametrize("cost", [0.0, 2.0, math.inf])
@pytest.mark.parametrize("batch", ["batch", 3])
def test_answers_come_in_the_order_of_their_texts_however_they_are_cut(cost: float, batch: int | str) -> None:
    alone = [runner().values(Rows([text])) for text in TEXTS]

    assert_array_equal(runner(batch=batch).values(Rows(TEXTS), call_cost_in_tokens=cost), np.concatenate(alone))


def test_texts_of_like_length_share_a_call() -> None:
    assert shapes(TEXTS, runner(), cost=0.0) == [(2, 4), (2, 2), (3, 1)]


def test_a_call_is_padded_to_its_own_longest() -> None:
    assert shapes(TEXTS, runner(), cost=math.inf) == [(7, 4)]


def test_the_cost_of_a_call_is_the_one_measured_unless_told() -> None:
    feeds = runner()
    feeds.call_cost_in_tokens = 0.0

    assert shapes(["rain", "send money"], feeds) == [(1, 2), (1, 1)]


def test_no_call_exceeds_the_limits() -> None:
    assert shapes(["rain"] * 5, runner(max_rows=2)) == [(2, 1), (2, 1), (1, 1)]
    assert shapes(["send money"] * 5, runner(max_padded_tokens=4)) == [(2, 2), (2, 2), (1, 2)]


def test_a_large_call_gives_its_memory_back() -> None:
    feeds = runner()
    assert isinstance(feeds.session, Paced)

    feeds.values(Rows(["rain " * (MOST_TOKENS_KEPT + 1), "rain " * MOST_TOKENS_KEPT]), call_cost_in_tokens=0.0)

    assert feeds.session.given_back == [True, False]


def test_a_graph_that_takes_so_many_rows_at_a_time_is_fed_as_many() -> None:
    assert shapes(["rain", "send money", "joke"], runner(batch=2)) == [(2, 2), (2, 1)]


def test_a_call_that_fails_fails_them_all() -> None:
    feeds = runner()
    feeds.session = Paced(bag_of_tokens(width=2), Watch())

    with pytest.raises(EngineFailed):
        feeds.values(Rows(TEXTS))
