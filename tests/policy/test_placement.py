"""Where a classifier's graph runs."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock

import numpy as np
import pytest
from numpy.typing import NDArray

from graphs import LABELS, linear, load_classifier, slow, write_model, write_text_model
from softgate.errors import EngineFailed
from softgate.policy.placement import is_short, n_that_pay, placed
from softgate.runtime.card import LOOP, MIXED, THREAD
from softgate.types import Rows

SMALL = linear(np.eye(4, dtype=np.float32))


def where_placed(folder: Path, *, clock: Callable[[], float] = time.perf_counter) -> str:
    classifier = load_classifier(folder, clock=clock)
    classifier.place(threads=1)
    classifier.close()
    return classifier.runs_on


def test_a_small_graph_of_numbers_runs_on_the_loop(tmp_path: Path) -> None:
    assert where_placed(write_model(tmp_path / "small", SMALL)) == LOOP


def test_a_slow_graph_runs_on_a_thread(tmp_path: Path) -> None:
    assert where_placed(write_model(tmp_path / "slow", slow(seconds=0.1))) == THREAD


@pytest.mark.parametrize(
    ("kind", "batch", "row", "where"),
    [
        ("tensor", 0.9e-3, 0.1e-3, LOOP),
        ("tensor", 1.1e-3, 0.9e-3, MIXED),
        ("tensor", 9.0e-3, 1.1e-3, THREAD),
        ("text", 9.0e-3, 1.9e-3, MIXED),
        ("text", 0.1e-3, 2.1e-3, THREAD),
        ("image", 0.1e-3, 0.1e-3, THREAD),
    ],
)
def test_what_takes_long_in_a_full_batch_may_run_on_the_loop_alone(
    kind: str, batch: float, row: float, where: str
) -> None:
    assert (
        placed(kind, batch_within=lambda seconds: batch <= seconds, row_within=lambda seconds: row <= seconds) == where
    )


def test_a_short_text_that_is_alone_runs_on_the_loop_where_the_graph_is_small(tmp_path: Path) -> None:
    assert where_placed(write_text_model(tmp_path / "words")) == MIXED


def test_what_runs_mixed_is_answered_alike_whatever_its_length(tmp_path: Path) -> None:
    classifier = load_classifier(write_text_model(tmp_path / "words"), clock=time.perf_counter)
    classifier.place(threads=1)
    texts = ["send money", "rain " * 200, "joke", "weather"]

    async def answers() -> list[list[float]]:
        one_by_one = [await classifier.predict(classifier.check([text])) for text in texts]
        together = await asyncio.gather(*[classifier.predict(classifier.check([text])) for text in texts])
        return [answer.scores.probabilities[0].tolist() for answer in [*one_by_one, *together]]

    found = asyncio.run(answers())
    expected = classifier.predict_now(classifier.check(texts)).scores.probabilities
    classifier.close()

    np.testing.assert_allclose(found, [*expected.tolist()] * 2, rtol=1e-6)


def test_a_row_of_numbers_is_short_where_it_is_alone() -> None:
    assert is_short(Rows(np.zeros((1, 4))))
    assert not is_short(Rows(np.zeros((2, 4))))


@pytest.mark.parametrize(("texts", "short"), [(["x" * 150], True), (["x" * 151], False), (["x", "x"], False)])
def test_a_text_of_up_to_150_characters_is_short_where_it_is_alone(texts: list[str], *, short: bool) -> None:
    assert is_short(Rows(texts)) is short


def test_a_clock_that_stands_still_measures_nothing(tmp_path: Path) -> None:
    assert where_placed(write_model(tmp_path / "small", SMALL), clock=lambda: 0.0) == THREAD


@pytest.mark.parametrize("where", [LOOP, THREAD])
def test_the_card_has_the_last_word_and_the_answers_are_the_same(tmp_path: Path, where: str) -> None:
    folder = write_model(tmp_path / "small", SMALL)
    card = folder / "classifier.toml"
    card.write_text(f'{card.read_text()}\n[serving]\nrun_on = "{where}"\n')
    classifier = load_classifier(folder, clock=time.perf_counter)
    classifier.place(threads=1)
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


def test_runs_side_by_side_gain_where_they_sleep_and_not_where_they_hold_the_lock() -> None:
    lock = Lock()

    def alone() -> None:
        with lock:
            time.sleep(0.02)

    assert n_that_pay(4, lambda: time.sleep(0.02), clock=time.perf_counter) == 4
    assert n_that_pay(4, alone, clock=time.perf_counter) == 1


def test_a_run_that_fails_beside_others_fails_the_trial() -> None:
    def fail() -> None:
        raise EngineFailed("no")

    with pytest.raises(EngineFailed, match="no"):
        n_that_pay(2, fail, clock=time.perf_counter)


@pytest.mark.parametrize("most", [0, 1])
def test_where_there_is_one_thread_there_is_one_run_and_no_trial(most: int) -> None:
    def never() -> None:
        raise AssertionError

    assert n_that_pay(most, never, clock=time.perf_counter) == 1


def test_a_clock_that_stands_still_keeps_one_run() -> None:
    assert n_that_pay(2, lambda: None, clock=lambda: 0.0) == 1


@pytest.mark.parametrize(("keys", "n_runs"), [("parallel_runs = 3", 3), ("parallel_runs = 1", 1)])
def test_the_card_pins_the_runs_at_a_time(tmp_path: Path, keys: str, n_runs: int) -> None:
    classifier = load_classifier(
        write_model(tmp_path / "small", SMALL, routing=f'[serving]\nrun_on = "thread"\n{keys}'),
        clock=time.perf_counter,
    )
    classifier.place(threads=2)
    classifier.close()

    assert classifier.parallel_runs == n_runs


def test_a_graph_on_the_loop_has_one_run_at_a_time(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "small", SMALL, routing='[serving]\nrun_on = "loop"\nparallel_runs = 3')
    classifier = load_classifier(folder, clock=time.perf_counter)
    classifier.place(threads=4)
    classifier.close()

    assert classifier.parallel_runs == 1


def test_runs_side_by_side_answer_alike_and_count_every_row(tmp_path: Path) -> None:
    routing = 'threshold = 0.7\n[serving]\nrun_on = "thread"\nparallel_runs = 4\nmax_batch = 16\nmax_queue = 16000'
    classifier = load_classifier(write_model(tmp_path / "small", SMALL, routing=routing), clock=time.perf_counter)
    classifier.place(threads=4)
    requests = np.random.default_rng(0).normal(scale=3, size=(1000, 16, 4)).tolist()

    async def answers() -> list[NDArray[np.float64]]:
        asked = [classifier.predict(classifier.check(rows)) for rows in requests]
        return [answer.scores.probabilities for answer in await asyncio.gather(*asked)]

    found = asyncio.run(answers())
    expected = [classifier.predict_now(classifier.check(rows)).scores for rows in requests]
    classifier.close()

    np.testing.assert_array_equal(found, [scores.probabilities for scores in expected])
    counts = classifier.monitor.counts
    labels = np.concatenate([scores.label for scores in expected])
    assert counts["labels"].tolist() == np.bincount(labels, minlength=4).tolist()
    assert counts["batch_rows_sum"][0] == counts["decisions"].sum() == 16_000
