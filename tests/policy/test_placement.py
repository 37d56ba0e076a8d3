"""Where a classifier's graph runs."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from graphs import LABELS, linear, load_classifier, slow, write_model, write_text_model
from softgate.runtime.card import LOOP, THREAD

SMALL = linear(np.eye(4, dtype=np.float32))


def placed(folder: Path, *, clock: Callable[[], float] = time.perf_counter) -> str:
    classifier = load_classifier(folder, clock=clock)
    classifier.place()
    classifier.close()
    return classifier.runs_on


def test_a_small_graph_of_numbers_runs_on_the_loop(tmp_path: Path) -> None:
    assert placed(write_model(tmp_path / "small", SMALL)) == LOOP


def test_a_slow_graph_runs_on_a_thread(tmp_path: Path) -> None:
    assert placed(write_model(tmp_path / "slow", slow(seconds_hint=1))) == THREAD


def test_texts_are_read_on_a_thread_however_small_the_graph(tmp_path: Path) -> None:
    assert placed(write_text_model(tmp_path / "words")) == THREAD


def test_a_clock_that_stands_still_measures_nothing(tmp_path: Path) -> None:
    assert placed(write_model(tmp_path / "small", SMALL), clock=lambda: 0.0) == THREAD


@pytest.mark.parametrize("where", [LOOP, THREAD])
def test_the_card_has_the_last_word_and_the_answers_are_the_same(tmp_path: Path, where: str) -> None:
    folder = write_model(tmp_path / "small", SMALL)
    card = folder / "classifier.toml"
    card.write_text(f'{card.read_text()}\n[serving]\nrun_on = "{where}"\n')
    classifier = load_classifier(folder, clock=time.perf_counter)
    classifier.place()
    rows = np.random.default_rng(0).normal(scale=3, size=(50, 4))

    async def answers() -> list[list[float]]:
        asked = [classifier.predict(classifier.check([row])) for row in rows.tolist()]
        return [answer.scores.probabilities[0].tolist() for answer in await asyncio.gather(*asked)]

    found = asyncio.run(answers())
    expected = classifier.predict_now(classifier.check(rows.tolist())).scores
    classifier.close()

    assert classifier.runs_on == where
    assert found == expected.probabilities.tolist()
    assert classifier.monitor.counts["labels"].sum() == 50
    assert len(found[0]) == len(LABELS)
