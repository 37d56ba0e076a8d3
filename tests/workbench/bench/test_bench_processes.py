import os
import resource
import subprocess
import sys

import pytest

from softgate.workbench.bench.processes import Stat, cpu_model, cpu_seconds, descendants, memory, stat, tree

LINE = "42 (a ) b) S 7 42 42 0 -1 4194304 100 0 0 0 12 30 5 6 20 0 1 0 100 1000 200"


def test_a_line_of_stat_is_read_behind_any_name() -> None:
    assert stat(LINE) == Stat(parent=7, cpu_ticks=42)


def test_descendants_are_children_and_theirs() -> None:
    parents = {1: 0, 10: 1, 11: 10, 12: 10, 13: 12, 20: 1}

    assert descendants(10, parents) == [10, 11, 12, 13]
    assert descendants(20, parents) == [20]


def test_a_child_is_found_under_its_parent() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert child.pid in tree(os.getpid())
    finally:
        child.communicate(b"\n")


def test_cpu_time_is_that_of_getrusage() -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)

    assert cpu_seconds([os.getpid()]) == pytest.approx(used.ru_utime + used.ru_stime, abs=0.05)


def test_memory_of_a_process_is_shared_in_part() -> None:
    found = memory(os.getpid())

    assert found.resident_bytes > 2**20
    assert found.proportional_bytes is None or 0 < found.proportional_bytes <= found.resident_bytes * 1.1


def test_a_process_that_has_ended_uses_nothing() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()

    assert cpu_seconds([child.pid]) == 0
    assert memory(child.pid).resident_bytes == 0


def test_the_processor_has_a_name() -> None:
    assert cpu_model()
