"""What is to survive a restart: one small JSON file in a folder that one server at a time may hold."""

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from softgate.errors import StartupFailed

NAME = "monitor.json"
MAX_BYTES = 4 * 1024 * 1024


class StateFile:
    def __init__(self, folder: Path) -> None:
        """Take the folder, made if need be. Raises StartupFailed."""
        self._path = folder / NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Kept open, and inherited by forked workers: held until the last of them ends.
            self._lock = open(folder / "lock", "ab")  # noqa: SIM115
        except OSError as exc:
            raise _refusal(folder, exc) from exc
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            self._lock.close()
            raise _refusal(folder, exc) from exc

    def read(self) -> tuple[Mapping[str, Any], str | None]:
        """What was saved, and where nothing can be used, why."""
        try:
            # A pipe in its place would be waited for.
            with open(self._path, "rb", opener=_without_waiting) as file:
                content = file.read(MAX_BYTES + 1) or b""
        except FileNotFoundError:
            return {}, "there is no saved state"
        except OSError as exc:
            return {}, f"{self._path} cannot be read: {exc.strerror}"
        if len(content) > MAX_BYTES:
            return {}, f"{self._path} is larger than {MAX_BYTES} bytes"
        try:
            values = json.loads(content)
        except (ValueError, RecursionError):
            return {}, f"{self._path} is not JSON"
        return (values, None) if isinstance(values, dict) else ({}, f"{self._path} holds no JSON object")

    def write(self, values: Mapping[str, Any]) -> None:
        """Whole or not at all. Raises OSError."""
        # One name: a process that is killed half-way leaves one file behind, not one each time.
        unfinished = self._path.with_suffix(".part")
        unfinished.unlink(missing_ok=True)
        # Made anew, so that no link leads elsewhere.
        with unfinished.open("xb") as file:
            file.write(json.dumps(values, allow_nan=False).encode())
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self._path)

    def close(self) -> None:
        self._lock.close()


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _refusal(folder: Path, exc: OSError) -> StartupFailed:
    if isinstance(exc, BlockingIOError):
        return StartupFailed(f"{folder}: another server keeps its state here; wanted a folder of its own.")
    return StartupFailed(f"{folder}: cannot keep state here: {exc.strerror}.")
