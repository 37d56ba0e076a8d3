"""The servers that are measured: processes of ours on loopback, ended by their ids whatever happens."""

import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from softgate.errors import SoftgateError, StartupFailed
from softgate.workbench.bench.asking import ask, samples, total
from softgate.workbench.bench.processes import tree

BACKLOG = 2048
START_SECONDS = 120.0
STOP_SECONDS = 15.0
LOOK_EVERY_SECONDS = 0.05
LOG_LINES, LINE_CHARACTERS = 10, 300
_LISTENING = re.compile(r"http://127\.0\.0\.1:\d+")


@dataclass(frozen=True, slots=True)
class Target:
    url: str
    path: str
    processes: Sequence[int]
    """All of the server's."""
    workers: Sequence[int]
    """Those of them that answer."""


@contextmanager
def softgate(folder: Path, *, name: str, workers: int, keeps_state: bool) -> Iterator[Target]:
    """
    `softgate serve` of a model folder, ready, with the caller's settings but for where it listens, and without tokens.

    `keeps_state`: whether drift detectors write to a folder, as the settings say; it is never that of the settings,
    for made-up traffic has no place there. Raises StartupFailed, with the end of the log.
    """
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="softgate-bench-")))
        log = scratch / "log"
        options = ["--host", "127.0.0.1", "--port", "0", "--workers", str(workers)]
        if keeps_state:
            (scratch / "state").mkdir()
            options += ["--state-dir", str(scratch / "state")]
        # On loopback nobody need be asked for a token, and wrk has none to show.
        line = ["env", "-u", "SOFTGATE_TOKENS_FILE", sys.executable, "-m", "softgate", "serve", str(folder), *options]
        process = stack.enter_context(_running(line, log))
        url = _ready(process, log, workers)
        processes = tree(process.pid)
        path = f"/v1/models/{quote(name, safe='')}/predict"
        yield Target(url, path, processes, processes if workers == 1 else processes[1:])


@contextmanager
def bare(n_bytes: int, *, workers: int) -> Iterator[Target]:
    """As many bare servers, which answer so many bytes each; all accept from one socket, as softgate's workers do."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="softgate-bench-")))
        # With the protocol named: without, uvloop leaves TCP_NODELAY off.
        listener = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP))
        listener.bind(("127.0.0.1", 0))
        listener.listen(BACKLOG)
        line = [sys.executable, "-m", "softgate.workbench.bench.bare", str(listener.fileno()), str(n_bytes)]
        processes = [
            stack.enter_context(_running(line, scratch / f"log{number}", listener.fileno())).pid
            for number in range(workers)
        ]
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        ask(url, "/", b"{}")
        yield Target(url, "/", processes, processes)


@contextmanager
def _running(line: Sequence[str], log: Path, *descriptors: int) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603
            line, stdin=subprocess.PIPE, stdout=file, stderr=file, pass_fds=descriptors
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
        finally:
            # Of one that has ended it asks nothing; on a second Ctrl-C, too, nothing stays behind.
            process.kill()
            process.wait()
        assert process.stdin is not None, "It is a pipe."
        process.stdin.close()


def _ready(process: "subprocess.Popen[bytes]", log: Path, workers: int) -> str:
    """Its URL, when every worker answers."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise StartupFailed(
                f"The server ended with exit code {process.returncode} before it was ready. {_end(log)}"
            )
        listening = _LISTENING.search(log.read_text(errors="replace"))
        if listening is not None and _workers_ready(listening[0]) == workers:
            return listening[0]
        time.sleep(LOOK_EVERY_SECONDS)
    raise StartupFailed(f"The server was not ready after {START_SECONDS:g} seconds. {_end(log)}")


def _workers_ready(url: str) -> int:
    try:
        return int(total(samples(url), "softgate_workers_ready"))
    except SoftgateError:
        # It listens before it answers.
        return 0


def _end(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
    return "Its log:\n" + "\n".join(line[:LINE_CHARACTERS] for line in lines) if lines else "It logged nothing."
