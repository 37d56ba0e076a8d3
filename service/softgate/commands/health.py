"""`softgate health`: light, for a container runs it every few seconds."""

import sys

from softgate.commands import running


def run(url: str | None) -> int:
    """The exit code. Raises StartupFailed where nobody answers."""
    status, body = running.get(f"{running.base(url)}/readyz?verbose")
    sys.stdout.write(body.decode(errors="replace") + "\n")
    return 0 if status == 200 else 1
