"""Servers of any make: started on loopback, awaited until they give a good answer, ended with all their children."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.turns import Contender, signal_all
from softgate.errors import SoftgateError
from softgate.workbench.bench.asking import ask
from softgate.workbench.bench.processes import tree
from softgate.workbench.bench.targets import Target

START_SECONDS, STOP_SECONDS = 60.0, 15.0
LOOK_EVERY_SECONDS = 0.002
LOG_BYTES = 2000


@dataclass(frozen=True, slots=True)
class Server:
    contender: Contender
    first_answer_seconds: float
    """From its start to its first good answer."""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def running(
    line: Sequence[str],
    *,
    port: int,
    path: str,
    bodies: Sequence[bytes],
    variables: Mapping[str, str] | None = None,
    pauses: bool = False,
) -> Iterator[Server]:
    """
    `pauses`: stopped by a signal outside its own turns, for a server that keeps a core busy when nobody asks it.

    Raises SoftgateError, with the end of its log, for a server that gives no good answer in a minute.
    """
    with tempfile.TemporaryDirectory(prefix="softgate-compare-") as folder:
        log = Path(folder, "log")
        with log.open("wb") as file:
            started = time.monotonic()
            process = subprocess.Popen(
                line, cwd=folder, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment(variables or {})
            )
        try:
            url = f"http://127.0.0.1:{port}"
            _await_answer(process, url, path, bodies[0], log)
            seconds = time.monotonic() - started
            processes = tree(process.pid)
            target = Target(url, path, processes, processes if len(processes) == 1 else processes[1:])
            if pauses:
                signal_all(processes, signal.SIGSTOP)
            yield Server(Contender(target, bodies, pauses), seconds)
        finally:
            _end(process)


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Ours without softgate's settings; no server tells anybody that it runs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SOFTGATE_")}
    return kept | {"ORT_DISABLE_TELEMETRY": "1", "PYTHONDONTWRITEBYTECODE": "1"} | dict(variables)


def _await_answer(process: "subprocess.Popen[bytes]", url: str, path: str, body: bytes, log: Path) -> None:
    end, status = time.monotonic() + START_SECONDS, 0
    while process.poll() is None and time.monotonic() < end:
        with suppress(SoftgateError):
            status, _ = ask(url, path, body)
            if status == 200:
                return
        time.sleep(LOOK_EVERY_SECONDS)
    told = log.read_bytes()[-LOG_BYTES:].decode(errors="replace")
    raise SoftgateError(
        f"Expected a good answer of {process.args!r}; got exit code {process.poll()}, {status}:\n{told}"
    )


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Its children, too: some servers leave them behind."""
    family = tree(process.pid) if process.poll() is None else []
    process.terminate()
    signal_all(family, signal.SIGCONT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    signal_all(family[1:], signal.SIGKILL)
    process.kill()
    process.wait()
