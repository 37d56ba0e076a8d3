import asyncio
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeAlias

import numpy as np
import pytest

from hands import HandExecutor, advance, played, turns
from softgate.errors import Overloaded
from softgate.runtime.admission import Admission
from softgate.runtime.batcher import Batcher
from softgate.runtime.jobs import Job

Answer: TypeAlias = str | Exception
Run: TypeAlias = Callable[[Sequence[Job[str, str]]], Sequence[Answer]]


class Bench:
    """A batcher, what it ran, and the hands that move its executor and its clock."""

    def __init__(
        self,
        *,
        run: Run | None = None,
        max_rows: int = 4,
        max_queue: int = 100,
        longest_wait: float = math.inf,
        seconds_per_row: float = 0.0,
        delay: float = 0.0,
        on_loop: bool = False,
        side_by_side: int = 1,
        pace: float = 2.0,
    ) -> None:
        self.ran: list[list[str]] = []
        self.executor = HandExecutor()
        self.depth = np.zeros(1)
        self._run = run or (lambda jobs: [job.payload.upper() for job in jobs])
        self.batcher: Batcher[str, str] = Batcher(
            self._noted,
            executor=self.executor,
            clock=asyncio.get_running_loop().time,
            max_rows=max_rows,
            max_delay_seconds=delay,
            admission=Admission(
                max_batch=max_rows, max_queue=max_queue, max_seconds=longest_wait, seconds_per_row=seconds_per_row
            ),
            depth=self.depth,
        )
        if on_loop:
            self.batcher.stay_on_loop()
        if side_by_side > 1:
            self.batcher.run_side_by_side(side_by_side, self.executor, pace=pace)

    def _noted(self, jobs: Sequence[Job[str, str]]) -> Sequence[Answer]:
        self.ran.append([job.payload for job in jobs])
        return self._run(jobs)

    def put(self, payload: str, *, within: float = math.inf) -> list[str | BaseException]:
        """The same with a deadline, so many seconds from now; what it is told, once it is."""
        told: list[str | BaseException] = []
        expires_at = asyncio.get_running_loop().time() + within
        self.batcher.put(payload, n_rows=len(payload), group="", done=told.append, expires_at=expires_at)
        return told

    async def submit(self, payload: str, *, group: str = "") -> "asyncio.Task[str]":
        """A request of as many rows as its payload has letters, on its way."""
        coroutine = self.batcher.submit(payload, n_rows=len(payload), group=group)
        task = asyncio.get_running_loop().create_task(coroutine)
        await turns()
        return task

    async def step(self, run: int = 0) -> None:
        """Let a run under way end, of several this one."""
        self.executor.waiting.pop(run)()
        await turns()


@played
async def test_an_idle_model_runs_a_request_at_once() -> None:
    bench = Bench()
    task = await bench.submit("a")
    await bench.step()

    assert await task == "A"
    assert bench.ran == [["a"]]


@played
async def test_requests_that_come_during_a_run_share_the_next_one() -> None:
    bench = Bench()
    tasks = [await bench.submit(payload) for payload in ("a", "bb", "c")]
    assert (len(bench.executor.waiting), bench.depth[0]) == (1, 3)
    await bench.step()
    await bench.step()

    assert [await task for task in tasks] == ["A", "BB", "C"]
    assert bench.ran == [["a"], ["bb", "c"]]


@played
async def test_what_exceeds_a_run_waits_for_the_one_after() -> None:
    bench = Bench(max_rows=2)
    tasks = [await bench.submit(payload) for payload in ("a", "b", "cccc", "d", "e")]
    for _ in range(4):
        await bench.step()

    assert [await task for task in tasks] == ["A", "B", "CCCC", "D", "E"]
    assert bench.ran == [["a"], ["b", "d"], ["cccc"], ["e"]]
    assert (bench.depth[0], bench.executor.waiting) == (0, [])


@played
async def test_groups_do_not_share_a_run() -> None:
    bench = Bench()
    tasks = [await bench.submit(payload, group=payload[0]) for payload in ("a", "x1", "y1", "x2")]
    for _ in range(3):
        await bench.step()

    assert [await task for task in tasks] == ["A", "X1", "Y1", "X2"]
    assert bench.ran == [["a"], ["x1", "x2"], ["y1"]]


@played
async def test_the_rows_of_a_caller_that_left_never_run_and_its_companions_are_answered() -> None:
    bench = Bench()
    first, left, stayed = [await bench.submit(payload) for payload in ("a", "b", "c")]
    left.cancel()
    await bench.step()
    await bench.step()

    assert [await first, await stayed] == ["A", "C"]
    assert left.cancelled()
    assert bench.ran == [["a"], ["c"]]


@played
async def test_a_caller_that_leaves_during_its_run_harms_no_companion() -> None:
    bench = Bench()
    await bench.submit("a")
    left, stayed = [await bench.submit(payload) for payload in ("b", "c")]
    await bench.step()
    left.cancel()
    await bench.step()

    assert await stayed == "C"
    assert left.cancelled()


@played
async def test_when_all_that_waited_have_left_nothing_runs() -> None:
    bench = Bench()
    first, left = await bench.submit("a"), await bench.submit("b")
    left.cancel()
    await bench.step()
    assert await first == "A"
    assert (bench.depth[0], bench.executor.waiting) == (0, [])

    again = await bench.submit("c")
    await bench.step()

    assert await again == "C"


@played
async def test_an_error_of_one_job_is_its_own() -> None:
    def run(jobs: Sequence[Job[str, str]]) -> Sequence[Answer]:
        return [ValueError(job.payload) if job.payload == "bad" else job.payload for job in jobs]

    bench = Bench(run=run, max_rows=10)
    tasks = [await bench.submit(payload) for payload in ("a", "b", "bad", "c")]
    await bench.step()
    await bench.step()

    assert [await tasks[0], await tasks[1], await tasks[3]] == ["a", "b", "c"]
    with pytest.raises(ValueError, match="bad"):
        await tasks[2]


@played
async def test_an_error_of_the_run_reaches_all_of_its_jobs_and_the_next_run_goes_on() -> None:
    def run(jobs: Sequence[Job[str, str]]) -> Sequence[Answer]:
        if len(jobs) == 2:
            raise RuntimeError("broken")
        return [job.payload for job in jobs]

    bench = Bench(run=run)
    tasks = [await bench.submit(payload) for payload in ("a", "b", "c", "dddd")]
    for _ in range(3):
        await bench.step()

    for task in tasks[1:3]:
        with pytest.raises(RuntimeError, match="broken"):
            await task
    assert [await tasks[0], await tasks[3]] == ["a", "dddd"]


@played
async def test_a_full_queue_refuses_and_says_what_it_holds() -> None:
    bench = Bench(max_queue=3)
    tasks = [await bench.submit(payload) for payload in ("a", "bb")]
    refused = await bench.submit("cc")
    with pytest.raises(Overloaded) as caught:
        await refused
    assert str(caught.value) == "Expected at most 3 rows in the queue; it holds 2, and 2 more came."

    tasks.append(await bench.submit("d"))
    await bench.step()
    await bench.step()

    assert [await task for task in tasks] == ["A", "BB", "D"]


@played
async def test_an_empty_queue_takes_a_request_larger_than_itself() -> None:
    bench = Bench(max_queue=2)
    tasks = [await bench.submit(payload) for payload in ("aaa", "bbb")]
    await bench.step()
    await bench.step()

    assert [await task for task in tasks] == ["AAA", "BBB"]


@played
async def test_a_delay_gathers_what_comes_meanwhile() -> None:
    bench = Bench(delay=0.01)
    tasks = [await bench.submit("a")]
    await advance(0.009)
    tasks.append(await bench.submit("b"))
    assert bench.executor.waiting == []
    await advance(0.001)
    await bench.step()

    assert [await task for task in tasks] == ["A", "B"]
    assert bench.ran == [["a", "b"]]


@played
async def test_a_full_batch_does_not_wait_out_the_delay() -> None:
    bench = Bench(delay=0.01)
    tasks = [await bench.submit(payload) for payload in ("a", "bbb")]
    await bench.step()
    assert [await task for task in tasks] == ["A", "BBB"]

    # The old timer is gone: the next request gets a whole delay of its own.
    await advance(0.005)
    late = await bench.submit("c")
    await advance(0.006)
    assert bench.executor.waiting == []
    await advance(0.004)
    await bench.step()

    assert await late == "C"


@played
async def test_a_delay_that_ends_after_every_caller_left_runs_nothing() -> None:
    bench = Bench(delay=0.01)
    left = await bench.submit("a")
    left.cancel()
    await advance(0.01)

    assert (bench.depth[0], bench.executor.waiting, left.cancelled()) == (0, [], True)


@played
async def test_on_the_loop_requests_of_one_turn_share_a_run() -> None:
    bench = Bench(on_loop=True)
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(bench.batcher.submit(payload, n_rows=1, group="")) for payload in ("a", "b", "c")]
    await turns()

    assert [await task for task in tasks] == ["A", "B", "C"]
    assert bench.ran == [["a", "b", "c"]]
    assert bench.depth[0] == 0


@played
async def test_on_the_loop_others_get_their_turn_between_two_runs() -> None:
    seen: list[str] = []

    def run(jobs: Sequence[Job[str, str]]) -> Sequence[Answer]:
        seen.extend(job.payload for job in jobs)
        asyncio.get_running_loop().call_soon(seen.append, "other")
        return ["x"] * len(jobs)

    bench = Bench(on_loop=True, max_rows=2, run=run)
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(bench.batcher.submit(payload, n_rows=1, group="")) for payload in "abcd"]
    await turns()

    assert [await task for task in tasks] == ["x"] * 4
    assert seen == ["a", "b", "other", "c", "d", "other"]


@played
async def test_on_the_loop_an_error_of_the_run_reaches_all_of_its_jobs() -> None:
    def fail(jobs: Sequence[Job[str, str]]) -> Sequence[Answer]:
        raise MemoryError

    bench = Bench(on_loop=True, run=fail)
    tasks = [await bench.submit(payload) for payload in ("a", "b")]

    for task in tasks:
        with pytest.raises(MemoryError):
            await task


@pytest.mark.parametrize("on_loop", [True, False])
def test_a_panic_of_the_run_reaches_all_of_its_jobs_and_the_next_run_goes_on(on_loop: bool) -> None:
    class Panic(BaseException):
        pass

    def run(jobs: Sequence[Job[str, str]]) -> Sequence[Answer]:
        if jobs[0].payload == "bad":
            raise Panic
        return [job.payload for job in jobs]

    @played
    async def scene() -> None:
        bench = Bench(on_loop=on_loop, run=run)
        loop = asyncio.get_running_loop()
        bad = loop.create_task(bench.batcher.submit("bad", n_rows=1, group=""))
        caught = asyncio.gather(bad, return_exceptions=True)
        await turns()
        if not on_loop:
            await bench.step()
        assert isinstance((await caught)[0], Panic)
        good = await bench.submit("good")
        if not on_loop:
            await bench.step()
        assert await good == "good"

    scene()


@played
async def test_on_the_loop_a_delay_gathers_and_a_full_batch_ends_it() -> None:
    bench = Bench(on_loop=True, delay=1.0, max_rows=2)
    first = await bench.submit("a")
    assert not first.done()
    second = await bench.submit("b")
    assert [await first, await second] == ["A", "B"]
    late = await bench.submit("c")
    assert not late.done()
    await advance(1.0)

    assert await late == "C"
    assert bench.ran == [["a", "b"], ["c"]]


@played
async def test_a_short_job_runs_on_the_loop_if_it_is_alone() -> None:
    bench = Bench()
    bench.batcher.keep_short_on_loop(lambda payload: len(payload) == 1)

    alone = await bench.submit("a")
    long = await bench.submit("bb")
    assert (alone.done(), long.done(), len(bench.executor.waiting)) == (True, False, 1)
    # A run is under way: what comes now waits for it, however short.
    behind = await bench.submit("c")
    assert not behind.done()
    await bench.step()
    tasks = [asyncio.create_task(bench.batcher.submit(payload, n_rows=1, group="")) for payload in ("d", "e")]
    await turns()
    await bench.step()

    assert [await task for task in (alone, long, behind, *tasks)] == ["A", "BB", "C", "D", "E"]
    assert bench.ran == [["a"], ["bb"], ["c"], ["d", "e"]]


@played
async def test_whoever_is_to_be_called_back_has_the_job_in_hand_by_then() -> None:
    bench = Bench(on_loop=True, delay=1.0, max_rows=2)
    called: list[object] = []
    for payload in ("a", "b"):
        bench.batcher.put(payload, n_rows=1, group="", done=called.append)
        assert called == []
    await turns()

    assert called == ["A", "B"]


def outcome(told: list[str | BaseException]) -> str:
    return ", ".join(answer if isinstance(answer, str) else str(type(answer).__name__) for answer in told)


@played
async def test_what_expires_in_the_queue_is_told_so_when_it_does_and_never_runs() -> None:
    bench = Bench()
    told = [bench.put("a"), bench.put("b", within=0.2), bench.put("c", within=0.1), bench.put("d")]
    await advance(0.11)
    assert list(map(outcome, told)) == ["", "", "DeadlineExceeded", ""]
    assert bench.depth[0] == 2
    await advance(0.1)
    assert list(map(outcome, told)) == ["", "DeadlineExceeded", "DeadlineExceeded", ""]
    await bench.step()
    await bench.step()

    assert list(map(outcome, told)) == ["A", "DeadlineExceeded", "DeadlineExceeded", "D"]
    assert bench.ran == [["a"], ["d"]]
    (said,) = told[2]
    assert str(said) == (
        "Expected to reach the graph before the request's deadline; 110 ms in the queue were too long."
    )


@played
async def test_a_run_under_way_is_not_cut_at_a_deadline() -> None:
    bench = Bench()
    told = bench.put("a", within=0.1)
    await advance(1.0)
    await bench.step()

    assert outcome(told) == "A"


@played
async def test_what_expired_while_the_loop_was_busy_never_runs_on_it() -> None:
    bench = Bench(on_loop=True)
    loop = asyncio.get_running_loop()
    told = [bench.put("a", within=0.1), bench.put("b"), bench.put("c", within=0.3)]
    # The loop comes to the run before it comes to any timer: nothing but the clock tells.
    loop.now += 0.2  # type: ignore[attr-defined]  # a HandLoop
    await turns()

    assert list(map(outcome, told)) == ["DeadlineExceeded", "B", "C"]
    assert bench.ran == [["b", "c"]]


@played
async def test_one_timer_serves_all_deadlines() -> None:
    bench = Bench()
    loop = asyncio.get_running_loop()
    before = len(loop._scheduled)  # type: ignore[attr-defined]  # nobody else tells
    told = [bench.put("a", within=30.0) for _ in range(50)]

    assert len(loop._scheduled) - before == 1  # type: ignore[attr-defined]
    await advance(31.0)

    assert [outcome(one) for one in told[1:]] == ["DeadlineExceeded"] * 49


@played
async def test_a_later_deadline_is_watched_after_an_earlier_one() -> None:
    bench = Bench()
    bench.put("a")
    late, early = bench.put("b", within=2.0), bench.put("c", within=1.0)
    await advance(1.0)
    assert (outcome(late), outcome(early)) == ("", "DeadlineExceeded")
    await advance(1.0)

    assert outcome(late) == "DeadlineExceeded"


@played
async def test_a_request_that_an_answer_lets_through_waits_for_the_next_run() -> None:
    """One connection's requests come one by one; one run at a time also where the next comes with the answer."""
    bench = Bench()

    def done(_: object) -> None:
        bench.put("b")

    bench.batcher.put("a", n_rows=1, group="", done=done)
    await bench.submit("c")
    await bench.step()

    assert len(bench.executor.waiting) == 1
    await bench.step()
    assert bench.ran == [["a"], ["c", "b"]]


@played
async def test_a_full_batch_that_waits_is_run_before_the_answers_to_the_last_are_written() -> None:
    bench = Bench()
    running = []

    def done(_: object) -> None:
        running.append(len(bench.executor.waiting))

    bench.batcher.put("a", n_rows=1, group="", done=done)
    waiting = [bench.put(payload) for payload in ("bbbb", "c")]
    await bench.step()

    assert running == [1]
    for _ in waiting:
        await bench.step()
    assert bench.ran == [["a"], ["bbbb"], ["c"]]
    assert [outcome(one) for one in waiting] == ["BBBB", "C"]


@played
async def test_a_full_batch_that_everybody_has_left_holds_up_nobody() -> None:
    bench = Bench()
    first = await bench.submit("a")
    for task in [await bench.submit(payload) for payload in ("bb", "cc")]:
        task.cancel()
    await turns()
    await bench.step()
    assert await first == "A"

    last = await bench.submit("d")
    await bench.step()

    assert await last == "D"
    assert bench.ran == [["a"], ["d"]]


@played
async def test_nothing_is_told_twice_when_the_batcher_is_abandoned() -> None:
    bench = Bench()
    told = [bench.put("a"), bench.put("b", within=0.1)]
    bench.batcher.abandon(RuntimeError())
    await advance(1.0)
    await bench.step()

    assert list(map(outcome, told)) == ["A", "RuntimeError"]


@played
async def test_what_comes_after_the_end_is_told_so_and_runs_nothing() -> None:
    bench = Bench()
    bench.put("a")
    bench.batcher.abandon(RuntimeError())
    with pytest.raises(RuntimeError):
        bench.put("b")
    await bench.step()

    assert bench.ran == [["a"]]
    assert bench.executor.waiting == []


@played
async def test_a_caller_that_leaves_during_its_run_is_not_called_back() -> None:
    bench = Bench()
    told: list[object] = []
    left = bench.batcher.put("a", n_rows=1, group="", done=told.append)
    left.left = True
    await bench.step()

    assert bench.ran == [["a"]]
    assert told == []


@played
async def test_a_full_run_tells_the_pace_though_none_waits_behind_it() -> None:
    bench = Bench(max_rows=2, longest_wait=0.9)
    bench.put("aa")
    await advance(1.0)
    await bench.step()
    bench.put("b")
    bench.put("cc")

    with pytest.raises(Overloaded, match="at most 900 ms; the 2 rows in the queue take 1000 ms"):
        bench.put("d")


@played
async def test_two_runs_are_under_way_and_the_rest_waits_for_whichever_ends_first() -> None:
    bench = Bench(side_by_side=2)
    tasks = [await bench.submit(payload) for payload in ("a", "b", "c", "d")]
    assert (len(bench.executor.waiting), bench.depth[0]) == (2, 2)
    await bench.step(1)
    assert (len(bench.executor.waiting), bench.depth[0]) == (2, 0)
    await bench.step(1)
    await bench.step()

    assert [await task for task in tasks] == ["A", "B", "C", "D"]
    assert bench.ran == [["b"], ["c", "d"], ["a"]]


@played
async def test_what_one_run_leaves_behind_is_taken_by_the_one_beside_it_at_once() -> None:
    bench = Bench(side_by_side=2, delay=1.0)
    tasks = [await bench.submit(payload, group=payload[0]) for payload in ("a", "x", "y")]
    assert bench.executor.waiting == []
    await advance(1.0)
    assert (len(bench.executor.waiting), bench.depth[0]) == (2, 1)
    for _ in range(3):
        await bench.step()

    assert [await task for task in tasks] == ["A", "X", "Y"]
    assert bench.ran == [["a"], ["x"], ["y"]]


@played
async def test_a_full_batch_starts_in_the_place_of_the_run_that_ended_and_no_other() -> None:
    bench = Bench(side_by_side=2, max_rows=2)
    tasks = [await bench.submit(payload) for payload in ("a", "b", "cc", "dd", "ee")]
    while bench.executor.waiting:
        assert len(bench.executor.waiting) <= 2
        await bench.step()

    assert [await task for task in tasks] == ["A", "B", "CC", "DD", "EE"]


@played
async def test_a_short_job_beside_a_run_goes_to_a_thread() -> None:
    bench = Bench(side_by_side=2)
    bench.batcher.keep_short_on_loop(lambda payload: len(payload) == 1)
    long, short = [await bench.submit(payload) for payload in ("bb", "c")]
    assert len(bench.executor.waiting) == 2
    await bench.step(1)
    assert short.done()
    await bench.step()

    assert [await long, await short] == ["BB", "C"]


@played
async def test_two_runs_at_a_time_take_the_queue_at_twice_the_pace() -> None:
    bench = Bench(side_by_side=2, max_rows=2, longest_wait=1.0, seconds_per_row=0.4)
    assert bench.batcher._admission.seconds_per_row == 0.2
    told = [bench.put(payload) for payload in ("aa", "bb", "cc", "dd")]
    await turns()
    await advance(2.0)
    await bench.step()
    # 2 s for two rows: one second a row, of which a fifth is news.
    assert bench.batcher._admission.seconds_per_row == pytest.approx(0.2 + 0.2 * (1.0 - 0.2))
    await bench.step()
    # The same for the other two, and in their time all four have been run.
    assert bench.batcher._admission.seconds_per_row == pytest.approx(0.36 + 0.2 * (0.5 - 0.36))
    while bench.executor.waiting:
        await bench.step()

    assert list(map(outcome, told)) == ["AA", "BB", "CC", "DD"]


@played
async def test_a_full_run_takes_no_credit_for_small_ones_that_begin_beside_it_and_do_not_end() -> None:
    bench = Bench(side_by_side=4, max_rows=2, pace=1.0, seconds_per_row=1.0)
    told = [bench.put("aa")]
    await turns()
    await advance(1.9)
    told += [bench.put(payload) for payload in ("b", "c")]
    await turns()
    await advance(0.1)
    await bench.step()
    assert bench.batcher._admission.seconds_per_row == pytest.approx(1.0)
    while bench.executor.waiting:
        await bench.step()

    assert list(map(outcome, told)) == ["AA", "B", "C"]


@played
async def test_requests_that_an_answer_lets_through_share_a_run_in_a_free_place() -> None:
    bench = Bench(side_by_side=2)
    told: list[list[str | BaseException]] = []
    first = bench.put("a")

    def ask(answer: object) -> None:
        told.extend(bench.put("n") for _ in range(4))

    bench.batcher.put("b", n_rows=1, group="", done=ask)
    await turns()
    while bench.executor.waiting:
        await bench.step()

    assert [outcome(each) for each in (first, *told)] == ["A", "N", "N", "N", "N"]
    assert bench.ran == [["a"], ["b"], ["n", "n", "n", "n"]]


class NoThreads(HandExecutor):
    """As under a limit of the system, for so many calls."""

    n_left = 2

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        if self.n_left:
            self.n_left -= 1
            raise RuntimeError("can't start new thread")
        return super().submit(fn, *args, **kwargs)


@played
async def test_where_no_thread_starts_those_that_waited_are_told_and_the_next_are_answered() -> None:
    bench = Bench()
    bench.executor = NoThreads()
    bench.batcher.run_side_by_side(2, bench.executor, pace=1.0)
    told = []
    for payload in ("a", "b", "c"):
        told.append(bench.put(payload))
        await turns()
    await bench.step()

    assert list(map(outcome, told)) == ["RuntimeError", "RuntimeError", "C"]


@played
async def test_a_caller_who_fails_when_told_does_not_end_the_runs() -> None:
    bench, failed = Bench(), []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context["exception"]))

    def fail(_: object) -> None:
        raise ArithmeticError

    bench.batcher.put("a", n_rows=1, group="", done=fail)
    waiting = bench.put("b")
    await bench.step()
    await bench.step()

    assert [type(exc) for exc in failed] == [ArithmeticError]
    assert outcome(waiting) == "B"
