"""What the kernel says of processes and ports, and waiting for what they do."""

import socket
import time
from collections.abc import Callable
from pathlib import Path


def children(process: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def running(process: int) -> bool:
    """A zombie that its new parent has not waited for does not run."""
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def until(true: Callable[[], bool], *, seconds: float) -> float:
    """The seconds that it took."""
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < seconds, f"Not within {seconds} s."
        time.sleep(0.01)
    return time.monotonic() - started


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
