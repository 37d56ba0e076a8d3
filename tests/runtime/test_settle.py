"""What a model finds out while it is loaded, on graphs that take as long as they are told to."""

import time
from pathlib import Path

import numpy as np
import pytest

from graphs import LABELS, bag_of_words, linear, word_tokenizer, write_model, write_text_model
from pacing import Paced, Watch
from softgate.runtime.card import MAX_BATCH
from softgate.runtime.inputs import INPUTS, Input
from softgate.runtime.inputs.tensor import TensorKeys
from softgate.runtime.inputs.text import TextKeys
from softgate.runtime.outputs import Head
from softgate.runtime.pace import CALL_COST_IN_TOKENS, Pace
from softgate.runtime.repository import Model, read_bundle
from softgate.runtime.runner import Runner
from softgate.runtime.settle import settle

NUMBERS = linear(np.eye(4, dtype=np.float32))


def runner(session: Paced) -> tuple[Runner, Input]:
    """Of words where the graph takes integers, else of numbers."""
    if session.inputs[0].dtype.kind == "i":
        keys = TextKeys(tensor=None, max_tokens=512, attention_mask=None, token_type_ids=None)
        source = INPUTS["text"].build(session.inputs, keys, tokenizer=word_tokenizer().encode())
    else:
        source = INPUTS["tensor"].build(session.inputs, TensorKeys(None, None, None), tokenizer=None)
    head = Head(session.outputs, kind="logits", tensor=None, labels=LABELS, independent=False)
    return Runner(session, source, head, max_rows=32, max_padded_tokens=4096), source


def settled(watch: Watch, *, more: float, one: float) -> tuple[Pace, bool]:
    """Of two threads that take `more` a value and one that takes `one`; and whether the one is left."""
    alone = Paced(NUMBERS, watch, per_value=one)
    feeds, source = runner(Paced(NUMBERS, watch, per_value=more))
    pace = settle(feeds, source, threads=2, one=lambda: alone, max_rows=32, clock=watch)
    return pace, feeds.session is alone


def test_threads_that_gain_enough_stay() -> None:
    pace, alone = settled(Watch(), more=1e-6, one=1.4e-6)

    assert (pace.threads, alone) == (2, False)
    assert pace.seconds == {1: pytest.approx(4e-6), 32: pytest.approx(128e-6)}


def test_threads_that_gain_little_go() -> None:
    pace, alone = settled(Watch(), more=1e-6, one=1.2e-6)

    assert (pace.threads, alone) == (1, True)
    assert pace.seconds == {1: pytest.approx(4.8e-6), 32: pytest.approx(153.6e-6)}


def test_the_cost_of_a_call_is_that_of_its_graph() -> None:
    watch = Watch()
    feeds, source = runner(Paced(bag_of_words(), watch, per_call=700e-6, per_value=100e-6))

    settle(feeds, source, threads=1, one=None, max_rows=32, clock=watch)

    assert feeds.call_cost_in_tokens == pytest.approx(7.0)


def test_a_slow_graph_is_tried_with_several_rows_and_not_for_long() -> None:
    watch = Watch()
    feeds, source = runner(Paced(bag_of_words(), watch, per_value=1e-3))

    pace = settle(feeds, source, threads=1, one=None, max_rows=32, clock=watch)

    assert list(pace.seconds) == [1, 8]
    assert watch.now < 0.6


def test_runs_not_come_to_in_time_have_no_pace() -> None:
    watch = Watch()
    feeds, source = runner(Paced(bag_of_words(), watch, per_call=1.0))

    pace = settle(feeds, source, threads=1, one=None, max_rows=32, clock=watch)

    assert pace == Pace(1, {1: 1.0})
    assert watch.now == pytest.approx(3.0)


def test_a_clock_that_stands_still_leaves_what_was() -> None:
    feeds, source = runner(Paced(bag_of_words(), Watch()))

    pace = settle(feeds, source, threads=1, one=None, max_rows=32, clock=lambda: 0.0)

    assert (pace, feeds.call_cost_in_tokens) == (Pace(1), CALL_COST_IN_TOKENS)


def test_a_small_model_is_left_with_one_thread(tmp_path: Path) -> None:
    model = Model(read_bundle(write_model(tmp_path / "small", NUMBERS)), threads=2, clock=time.perf_counter)

    assert model.pace.threads == 1
    assert list(model.pace.seconds) == [1, MAX_BATCH["tensor"]]


def test_the_card_pins_the_threads(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "small", NUMBERS, routing="[serving]\nthreads = 3")

    assert Model(read_bundle(folder), threads=2, clock=time.perf_counter).pace.threads == 3


def test_without_a_clock_nothing_is_measured(tmp_path: Path) -> None:
    assert Model(read_bundle(write_text_model(tmp_path / "words")), threads=2).pace == Pace(2)
