"""How many CPUs this process may really use: its affinity, and its container's quota (cgroup v1 and v2)."""

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def usable_cpus(*, affinity: int | None = None, cgroup: Path = CGROUP) -> int:
    """
    Whole CPUs, at least 1, rounded down: threads beyond the quota are throttled, not run.

    onnxruntime counts the host's cores; in a container of 2 of 64 it would start 64 threads.
    """
    available = len(os.sched_getaffinity(0)) if affinity is None else affinity
    return max(1, int(min(available, _quota(cgroup))))


def _quota(cgroup: Path) -> float:
    """CPUs of the tightest limit that can be seen; infinite without one."""
    v2 = _read(cgroup / "cpu.max").split()
    if len(v2) == 2 and v2[0] != "max":
        return int(v2[0]) / int(v2[1])
    quota, period = _read(cgroup / "cpu/cpu.cfs_quota_us"), _read(cgroup / "cpu/cpu.cfs_period_us")
    if quota and period and int(quota) > 0:
        return int(quota) / int(period)
    return math.inf


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
