"""The most memory that a process has had, as the kernel counts it since the process became what it is."""

import subprocess
import time
from pathlib import Path
from typing import Any


def peak_mib(pid: int) -> float:
    """0 for a process that has ended."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024 if "VmHWM:" in status else 0.0


def proportional_mib(pid: int) -> float:
    """What a process holds, of shared pages its part."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(rollup.partition("\nPss:")[2].split()[0]) / 1024


def peak_until_end(process: "subprocess.Popen[Any]") -> float:
    """
    Looks every few milliseconds, for `ru_maxrss` of a child starts at what its parent had when it forked.

    The process is left for whoever waits for it.
    """
    peak = 0.0
    while (now := peak_mib(process.pid)) > 0:
        peak = max(peak, now)
        time.sleep(0.01)
    return peak
