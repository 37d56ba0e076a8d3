"""Real servers on loopback, started as a user would and stopped when the test is done."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2


@dataclass(frozen=True)
class Served:
    url: str
    process: "subprocess.Popen[str]"
    client: httpx2.Client

    def predict(self, model: str, **body: object) -> httpx2.Response:
        return self.client.post(f"/v1/models/{model}/predict", json=body)

    def metrics(self) -> dict[str, float]:
        """Every sample of a scrape, by its name with its labels."""
        lines = self.client.get("/metrics").text.splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "softgate", *map(str, arguments)]


def environment(**variables: str) -> dict[str, str]:
    """The caller's environment without a setting of ours but those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SOFTGATE_")}
    # A warning anywhere in a server is an error, as it is in the tests themselves.
    return kept | {"PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "error", "SOFTGATE_LOG_FORMAT": "json"} | variables


@contextmanager
def served(
    folder: Path, *options: object, workers: int = 1, variables: Mapping[str, str] | None = None
) -> Iterator[Served]:
    """A ready server of `folder`. Its log is read up to the last worker's `ready`, and then no more."""
    arguments: Sequence[object] = ("serve", folder, "--port", 0, "--workers", workers, *options)
    process = subprocess.Popen(
        command(*arguments), stderr=subprocess.PIPE, text=True, env=environment(**(variables or {}))
    )
    assert process.stderr is not None
    url, ready = "", 0
    while ready < workers:
        line = process.stderr.readline()
        assert line, f"The server ended with exit code {process.wait()} before it was ready."
        record = json.loads(line)
        url = record.get("url", url)
        ready += record["message"] == "ready"
    with httpx2.Client(base_url=url, timeout=30) as client:
        try:
            yield Served(url, process, client)
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(timeout=30)
            process.stderr.close()
