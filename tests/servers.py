"""Real servers on loopback, started as a user would and stopped when the test is done."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx2


@dataclass(frozen=True)
class Served:
    url: str
    started: "Started"
    client: httpx2.Client
    grpc: str = ""
    """Its address for gRPC, where it has one."""

    @property
    def process(self) -> "subprocess.Popen[str]":
        return self.started.process

    def predict(self, model: str, **body: object) -> httpx2.Response:
        return self.client.post(f"/v1/models/{model}/predict", json=body)

    def metrics(self) -> dict[str, float]:
        """Every sample of a scrape, by its name with its labels."""
        return samples(self.client.get("/metrics").text)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


def samples(scrape: str) -> dict[str, float]:
    lines = scrape.splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "softgate", *map(str, arguments)]


def environment(**variables: str) -> dict[str, str]:
    """The caller's environment without a setting of ours but those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SOFTGATE_")}
    # A warning anywhere in a server is an error, as it is in the tests themselves.
    return kept | {"PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "error", "SOFTGATE_LOG_FORMAT": "json"} | variables


@dataclass(frozen=True)
class Started:
    process: "subprocess.Popen[str]"
    log: IO[str]

    def read_until(self, message: str) -> dict[str, Any]:
        """The next record of the log with this message; those before it are passed over."""
        for line in self.log:
            record: dict[str, Any] = json.loads(line)
            if record["message"] == message:
                return record
        raise AssertionError(f"The server ended with exit code {self.process.wait()} before it logged {message}.")


@contextmanager
def started(
    line: Sequence[str],
    *,
    variables: Mapping[str, str] | None = None,
    preexec_fn: Callable[[], object] | None = None,
    pass_fds: Sequence[int] = (),
) -> Iterator[Started]:
    """A process whose standard error is to be read. It is ended at the end, whatever the test did or did not get to."""
    process = subprocess.Popen(
        line,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**(variables or {})),
        preexec_fn=preexec_fn,  # noqa: PLW1509 - one system call, no lock
        pass_fds=pass_fds,
    )
    assert process.stderr is not None
    try:
        yield Started(process, process.stderr)
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(timeout=30)
        process.stderr.close()


@contextmanager
def served(
    folder: Path, *options: object, workers: int = 1, variables: Mapping[str, str] | None = None
) -> Iterator[Served]:
    """A ready server of `folder`. Its log is read up to the last worker's `ready`, and then no more."""
    line = command("serve", folder, "--port", 0, "--workers", workers, *options)
    with started(line, variables=variables) as server:
        listening = server.read_until("listening")
        for _ in range(workers):
            server.read_until("ready")
        with httpx2.Client(base_url=listening["url"], timeout=30) as client:
            yield Served(listening["url"], server, client, listening.get("grpc", ""))
