import os
from pathlib import Path

import pytest

from softgate.runtime.quota import usable_cpus


def cgroup(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    return folder


@pytest.mark.parametrize(
    ("limit", "cpus"),
    [
        ("200000 100000", 2),
        ("250000 100000", 2),
        ("50000 100000", 1),
        ("1000 100000", 1),
        ("max 100000", 8),
        ("1600000 100000", 8),
        ("", 8),
    ],
)
def test_the_quota_of_cgroup_v2_is_rounded_down_to_at_least_one(limit: str, cpus: int, tmp_path: Path) -> None:
    assert usable_cpus(affinity=8, cgroup=cgroup(tmp_path, {"cpu.max": f"{limit}\n"})) == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("200000", 2), ("370000", 3), ("20000", 1), ("-1", 8), ("", 8)])
def test_the_quota_of_cgroup_v1_is_rounded_down_to_at_least_one(quota: str, cpus: int, tmp_path: Path) -> None:
    files = {"cpu/cpu.cfs_quota_us": f"{quota}\n", "cpu/cpu.cfs_period_us": "100000\n"}

    assert usable_cpus(affinity=8, cgroup=cgroup(tmp_path, files)) == cpus


def test_a_quota_without_its_period_is_none(tmp_path: Path) -> None:
    assert usable_cpus(affinity=8, cgroup=cgroup(tmp_path, {"cpu/cpu.cfs_quota_us": "100000"})) == 8


def test_without_a_quota_the_affinity_decides(tmp_path: Path) -> None:
    assert usable_cpus(affinity=3, cgroup=tmp_path) == 3
    assert usable_cpus(cgroup=tmp_path / "absent") == len(os.sched_getaffinity(0))


def test_an_affinity_below_the_quota_decides(tmp_path: Path) -> None:
    assert usable_cpus(affinity=2, cgroup=cgroup(tmp_path, {"cpu.max": "400000 100000"})) == 2


def test_this_machine_has_a_cpu() -> None:
    assert 1 <= usable_cpus() <= len(os.sched_getaffinity(0))
