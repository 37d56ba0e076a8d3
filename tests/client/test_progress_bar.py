"""The bar is for people: on a terminal, and nowhere else."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from softgate.client.progress import shown

TESTS = Path(__file__).parents[1]
SCRIPT = """
import httpx2
from scripted import URL, echo
from softgate.client import Client

rows = [str(row) for row in range(1000)]
with Client(URL, model="toy", transport=httpx2.MockTransport(echo)) as client:
    for one in client.predict_many({rows}, batch_size=100, progress={progress}):
        print(one.label)
"""
PRINTED = "".join(f"{row}\n" for row in range(1000))


def ran(*, rows: str = "rows", progress: bool = True, terminal: bool, columns: int = 100) -> tuple[str, str]:
    """What it wrote to standard output, which is a pipe, and to standard error."""
    line = [sys.executable, "-c", SCRIPT.format(rows=rows, progress=progress)]
    variables = {**os.environ, "PYTHONPATH": str(TESTS), "TERM": "xterm", "COLUMNS": str(columns), "FORCE_COLOR": "1"}
    if not terminal:
        ended = subprocess.run(line, capture_output=True, text=True, env=variables, check=True, timeout=60)
        return ended.stdout, ended.stderr
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=theirs, text=True, env=variables)
        os.close(theirs)
        written, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        return written, _all(screen.fileno()).decode()


def _all(screen: int) -> bytes:
    content = b""
    while True:
        try:
            content += os.read(screen, 65536)
        except OSError:
            # Linux's word for the end of a terminal that nobody writes to any more.
            return content


@pytest.mark.parametrize(("rows", "told"), [("rows", "1,000 of 1,000 rows"), ("iter(rows)", "1,000 rows")])
def test_on_a_terminal_a_bar_says_how_far_it_is(rows: str, told: str) -> None:
    printed, screen = ran(rows=rows, terminal=True)

    assert printed == PRINTED
    assert told in screen
    assert "rows/s" in screen
    assert "━" in screen
    # It is gone in the end.
    assert screen.rstrip().endswith("\x1b[2K")


def test_elsewhere_there_is_none() -> None:
    assert ran(terminal=False) == (PRINTED, "")


def test_nor_where_nobody_asked_for_one() -> None:
    assert ran(progress=False, terminal=True) == (PRINTED, "")


def test_nothing_is_told_of_what_is_not_shown() -> None:
    with shown(["a"], progress=False) as advance:
        advance(1)
