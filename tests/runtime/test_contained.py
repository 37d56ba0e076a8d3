"""Each test starts a process of its own, as each graph that nobody vouches for gets one."""

import gc
import resource
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hostile
from softgate.errors import CardInvalid, GraphInvalid, SoftgateError
from softgate.runtime.contained import Limits, contained

MIB = 2**20
LIMITS = Limits(memory_bytes=128 * MIB, seconds=30)


def answers(function: str, *arguments: str, limits: Limits = LIMITS) -> list[Any]:
    return list(contained(f"hostile:{function}", *arguments, limits=limits))


def written(folder: Path, graph: bytes) -> str:
    (folder / "model.onnx").write_bytes(graph)
    return str(folder / "model.onnx")


def is_gone(process: int) -> bool:
    return not Path(f"/proc/{process}").exists()


def test_what_is_yielded_arrives_in_order() -> None:
    assert answers("echo", "a", "ü \n \udcff", "") == ["a", "ü \n \udcff", ""]


def test_values_arrive_as_they_come() -> None:
    endless = contained("hostile:count", limits=LIMITS)

    assert [next(endless) for _ in range(3)] == [0, 1, 2]
    endless.close()


def test_a_good_graph_runs_in_little_memory(tmp_path: Path) -> None:
    path = written(tmp_path, hostile.foldable(1024))

    assert answers("run", path, limits=Limits(memory_bytes=64 * MIB, seconds=30)) == [[[1.0, 1.0]]]


@pytest.mark.parametrize("bomb", [hostile.bomb_when_run, hostile.foldable])
@pytest.mark.parametrize("n_bytes", [2**30, 2**42])
def test_a_memory_bomb_takes_the_child_and_not_the_caller(tmp_path: Path, bomb: Any, n_bytes: int) -> None:
    path = written(tmp_path, bomb(n_bytes))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(GraphInvalid, match=r"^The graph needs more than 128 MiB of memory to load and run\.$"):
        answers("run", path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024  # KiB


def test_folding_a_constant_at_load_stays_within_the_limit(tmp_path: Path) -> None:
    # The engine folds it where there is memory, and takes twice its size; where there is not, it goes on without.
    path = written(tmp_path, hostile.foldable(2**30))

    (grown_bytes,) = answers("load", path)

    assert grown_bytes < 128 * MIB


def test_parsing_stays_within_the_limit(tmp_path: Path) -> None:
    path = written(tmp_path, hostile.crowded(4_000_000))

    with pytest.raises(GraphInvalid, match="more than 128 MiB of memory"):
        answers("parse", path)


@pytest.mark.parametrize("function", ["hoard", "die_of_bad_alloc"])
def test_every_way_to_run_out_of_memory_says_so(function: str) -> None:
    with pytest.raises(GraphInvalid, match="more than 128 MiB of memory"):
        answers(function)


def test_an_endless_loop_ends_with_its_time(tmp_path: Path) -> None:
    path = written(tmp_path, hostile.endless_loop())
    start = time.monotonic()

    with pytest.raises(GraphInvalid, match=r"^The graph did not finish within 0\.5 s\.$"):
        answers("run", path, limits=Limits(memory_bytes=128 * MIB, seconds=0.5))
    assert time.monotonic() - start < 10


def test_the_clock_runs_where_nothing_is_calculated() -> None:
    with pytest.raises(GraphInvalid, match="did not finish within"):
        answers("own_id_then_sleep", limits=Limits(memory_bytes=128 * MIB, seconds=0.2))


@pytest.mark.parametrize(("function", "name"), [("crash", "SIGSEGV"), ("abort", "SIGABRT"), ("killed", "SIGKILL")])
def test_a_signal_is_told_by_its_name(function: str, name: str) -> None:
    with pytest.raises(GraphInvalid, match=f"^The process that ran the graph was killed by {name}"):
        answers(function)


@pytest.mark.parametrize("code", ["0", "3"])
def test_a_child_that_leaves_early_has_not_answered(code: str) -> None:
    with pytest.raises(GraphInvalid, match=f"exit code {code} before it was done"):
        answers("leave", code)


def test_noise_neither_forges_an_answer_nor_blocks() -> None:
    assert answers("noisy", str(2 * MIB)) == ["first", "second"]


def test_a_line_above_the_limit_is_refused() -> None:
    with pytest.raises(GraphInvalid, match="more than 64 MiB"):
        answers("long_line", str(65 * MIB), limits=Limits(memory_bytes=1024 * MIB, seconds=30))


def test_a_nan_is_not_json() -> None:
    with pytest.raises(GraphInvalid, match=r"failed with ValueError\.$"):
        answers("not_a_number")


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        ("our_error", CardInvalid, "Expected a card; got a “postcard”."),
        ("root_error", SoftgateError, "the root of the tree"),
        ("their_error", GraphInvalid, "Reading or running the graph failed with LookupError."),
    ],
)
def test_an_error_of_ours_crosses_whole_and_another_by_its_class(
    function: str, error: type[SoftgateError], message: str
) -> None:
    with pytest.raises(SoftgateError) as raised:
        answers(function)

    assert type(raised.value) is error
    assert str(raised.value) == message


def test_a_caller_that_stops_early_leaves_no_process() -> None:
    values: Iterator[int] = contained("hostile:own_id_then_sleep", limits=LIMITS)
    process = next(values)
    assert not is_gone(process)

    del values
    gc.collect()

    assert is_gone(process)


def test_the_child_ends_with_the_thread_that_asked() -> None:
    values: Iterator[int] = contained("hostile:own_id_then_sleep", limits=LIMITS)
    found: list[int] = []
    asking = threading.Thread(target=lambda: found.append(next(values)))
    asking.start()
    asking.join()

    # The kernel's signal at the death of the thread, not the clock's thirty seconds later.
    with pytest.raises(GraphInvalid, match="SIGKILL"):
        next(values)
    assert is_gone(found[0])


def test_the_child_finds_modules_where_the_caller_does_and_nowhere_else() -> None:
    (child,) = answers("surroundings")

    assert child["path"] == sys.path


def test_a_dying_child_leaves_no_core_and_is_the_first_to_go() -> None:
    (child,) = answers("surroundings")

    assert child["core"] == 0
    assert child["oom_score_adj"] == 1000
