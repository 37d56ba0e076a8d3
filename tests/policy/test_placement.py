"""Where a classifier's graph runs."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock, Semaphore, Thread

import numpy as np
import pytest
from numpy.typing import NDArray

from graphs import LABELS, linear, load_classifier, slow, write_model, write_text_model
from softgate.errors import EngineFailed, MemoryExhausted
from softgate.policy.placement import is_short, most_runs, n_tried, placed, side_by_side, started
from softgate.runtime.card import LOOP, MIXED, THREAD
from softgate.runtime.pace import Pace
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


def shared(n_cores: int, *, seconds: float = 0.02) -> Callable[[], None]:
    """A run that has one of so many cores to itself."""
    cores = Semaphore(n_cores)

    def run() -> None:
        with cores:
            time.sleep(seconds)

    return run


@pytest.mark.parametrize(
    ("n_cores", "most", "n_runs"), [(1, 4, 1), (2, 2, 2), (2, 8, 2), (4, 4, 4), (3, 3, 3), (9, 6, 6)]
)
def test_as_many_runs_go_side_by_side_as_do_more_than_half_as_many(n_cores: int, most: int, n_runs: int) -> None:
    found, gain = side_by_side(most, shared(n_cores), clock=time.perf_counter)

    assert found == n_runs
    assert gain == pytest.approx(n_runs, rel=0.25)


@pytest.mark.parametrize("error", [EngineFailed("no"), MemoryExhausted("no"), MemoryError(), RuntimeError("no")])
def test_runs_that_fail_beside_others_leave_as_many_as_did_not(error: Exception) -> None:
    n_running, lock = 0, Lock()

    def run() -> None:
        nonlocal n_running
        with lock:
            n_running += 1
            too_many = n_running > 2
        time.sleep(0.02)
        with lock:
            n_running -= 1
        if too_many:
            raise error

    assert side_by_side(8, run, clock=time.perf_counter)[0] == 2


class Limited(Thread):
    """As under a limit of the system: no more than two at a time."""

    n_left = 2

    def start(self) -> None:
        if Limited.n_left == 0:
            raise RuntimeError("can't start new thread")
        Limited.n_left -= 1
        super().start()

    def join(self, timeout: float | None = None) -> None:
        super().join(timeout)
        Limited.n_left += 1


def test_threads_that_cannot_be_started_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threading.Thread", Limited)

    assert side_by_side(8, shared(8), clock=time.perf_counter)[0] == 2
    threads, n_threads = started(ThreadPoolExecutor, 8)
    assert (n_threads, threads._max_workers) == (2, 2)
    threads.shutdown()


def test_all_threads_are_there_beforehand() -> None:
    threads, n_threads = started(ThreadPoolExecutor, 3)

    assert (n_threads, len(threads._threads)) == (3, 3)
    threads.shutdown()


@pytest.mark.parametrize("most", [0, 1])
def test_where_there_is_one_thread_there_is_one_run_and_no_trial(most: int) -> None:
    def never() -> None:
        raise AssertionError

    assert side_by_side(most, never, clock=time.perf_counter) == (1, 1.0)


def test_a_clock_that_stands_still_keeps_one_run() -> None:
    assert side_by_side(2, lambda: None, clock=lambda: 0.0) == (1, 1.0)


@pytest.mark.parametrize(("threads", "per_run", "runs"), [(8, 2, 4), (2, 3, 1), (64, 1, 32)])
def test_threads_are_for_all_runs_together(threads: int, per_run: int, runs: int) -> None:
    assert most_runs(threads, per_run) == runs


@pytest.mark.parametrize(("seconds_per_row", "n_rows"), [(0.0, 8), (0.0125, 8), (0.0126, 1)])
def test_slow_graphs_are_tried_with_a_single_row(seconds_per_row: float, n_rows: int) -> None:
    assert n_tried(Pace(1, {1: seconds_per_row} if seconds_per_row else {}), max_batch=32) == n_rows


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
