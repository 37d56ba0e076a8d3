import asyncio
import math

import pytest

from hands import advance, played
from runtime.test_batcher import Bench
from softgate.errors import Overloaded
from softgate.runtime.admission import Admission


def admission(*, seconds_per_row: float = 0.0, max_queue: int = 100) -> Admission:
    return Admission(max_batch=4, max_queue=max_queue, max_seconds=0.5, seconds_per_row=seconds_per_row)


def refusal(found: Admission, n_rows: int, *, n_queued: int, seconds_left: float = math.inf) -> str | None:
    try:
        found.check(n_rows, n_queued=n_queued, seconds_left=seconds_left)
    except Overloaded as exc:
        return str(exc)
    return None


def test_so_many_rows_wait_and_no_more() -> None:
    assert refusal(admission(max_queue=10), 3, n_queued=7) is None
    said = "Expected at most 10 rows in the queue; it holds 7, and 4 more came."
    assert refusal(admission(max_queue=10), 4, n_queued=7) == said
    assert refusal(admission(max_queue=10), 50, n_queued=0) is None


def test_what_would_wait_too_long_by_the_pace_of_the_runs_before_is_refused() -> None:
    slow = admission(seconds_per_row=0.1)

    assert refusal(slow, 1, n_queued=5) is None
    said = "Expected a wait of at most 500 ms; the 6 rows in the queue take 600 ms."
    assert refusal(slow, 1, n_queued=6) == said


def test_what_would_wait_beyond_its_deadline_is_refused_at_once() -> None:
    slow = admission(seconds_per_row=0.1)

    said = "Expected a wait of at most 300 ms; the 4 rows in the queue take 400 ms."
    assert refusal(slow, 1, n_queued=4, seconds_left=0.3) == said
    assert refusal(slow, 1, n_queued=4, seconds_left=0.4) is None


def test_what_shares_the_next_run_is_never_too_late() -> None:
    # However slow: else a batch would never fill, and a graph that gains by batches would be slower still.
    assert refusal(admission(seconds_per_row=60.0), 1, n_queued=3) is None


def test_without_a_known_pace_rows_alone_count() -> None:
    assert refusal(admission(), 1, n_queued=99) is None


def test_the_first_full_run_sets_the_pace_and_later_ones_move_it() -> None:
    found = admission()

    found.ran(4, seconds=0.4)
    assert found.seconds_per_row == 0.1
    found.ran(4, seconds=0.8)

    assert found.seconds_per_row == pytest.approx(0.12)


def test_a_stall_is_forgotten_after_some_runs() -> None:
    found = admission(seconds_per_row=0.001)

    found.ran(4, seconds=4.0)
    assert refusal(found, 1, n_queued=20) is not None
    for _ in range(20):
        found.ran(4, seconds=0.004)

    assert refusal(found, 1, n_queued=20) is None


@played
async def test_at_ten_times_the_load_the_graph_never_idles_and_nobody_taken_waits_longer_than_promised() -> None:
    """A run of 4 rows takes 0.1 s, and 400 rows a second come for 20 s."""
    bench = Bench(max_queue=10_000, longest_wait=0.5, seconds_per_row=0.025)
    loop, waits, refused = asyncio.get_running_loop(), [], 0

    def put() -> None:
        came = loop.time()
        bench.batcher.put("a", n_rows=1, group="", done=lambda _: waits.append(loop.time() - came))

    for _ in range(200):
        for _ in range(40):
            try:
                put()
            except Overloaded:
                refused += 1
        await advance(0.1)
        await bench.step()

    assert len(waits) == sum(map(len, bench.ran))
    # Of the 800 that the graph can do at all: the first run took what was there, one row.
    assert len(waits) >= 0.99 * 800
    assert refused > 7000
    # The queue's bound, the run under way and the own run.
    assert max(waits) <= 0.5 + 0.1 + 0.1 + 1e-6


@played
async def test_a_graph_whose_one_run_takes_longer_than_the_bound_still_gets_whole_batches() -> None:
    bench = Bench(longest_wait=0.05)

    for _ in range(20):
        for _ in range(40):
            try:
                bench.batcher.put("a", n_rows=1, group="", done=lambda _: None)
            except Overloaded:
                continue
        await advance(0.1)
        await bench.step()

    assert {len(jobs) for jobs in bench.ran[2:]} == {4}
