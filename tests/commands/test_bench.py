"""`softgate bench`, run as a user runs it, of small models and for as short as it gets."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from graphs import LABELS, linear, write_model
from servers import command, environment
from softgate.commands.version import installed
from softgate.workbench.bench.processes import tree
from tools import tool

# With a bound that any server keeps: there is a knee whatever else the machine does, and it is found at once.
SHORT = ("--rounds", 1, "--seconds", 0.2, "--connections", 2, "--bound-ms", 1e6)
ROOT = Path(__file__).parents[2]


def bench(*arguments: object, code: int = 0, **variables: str) -> "subprocess.CompletedProcess[str]":
    tool("wrk")
    ended = subprocess.run(
        command("bench", *arguments),
        capture_output=True,
        text=True,
        env=environment(**variables),
        check=False,
        timeout=120,
    )
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    return write_model(tmp_path / "identity", linear(np.eye(4, dtype=np.float32)))


def test_every_figure_of_a_model_with_two_workers_as_json(identity: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()

    told = json.loads(bench(identity, "--workers", 2, "--json", *SHORT, SOFTGATE_STATE_DIR=str(state)).stdout)

    (closed,) = told["closed_loop"]
    assert told["versions"]["softgate"] == installed()
    assert told["command"].startswith(f"softgate bench {identity}")
    assert (told["workers"], told["rows"], told["n_labels"]) == (2, "16 made-up rows", len(LABELS))
    assert told["answer_bytes"] > 100
    assert closed["connections"] == 2
    assert closed["softgate"]["requests_per_second"]["median"] > 10
    assert closed["softgate"]["cpu_us_per_request"]["median"] > closed["bare"]["cpu_us_per_request"]["median"] > 0
    assert 1 <= closed["softgate"]["batch_rows"]["median"] <= 2
    assert closed["bare"]["batch_rows"] is None
    assert 0 < closed["of_bare"]["median"] < 2
    assert len(told["memory"]) == 2
    assert told["knee"]["p99_bound_us"] == 1e9
    rate = told["knee"]["rate"]
    # None where the machine is too busy for the client.
    loads = [] if rate is None else [pytest.approx(share * rate) for share in (0.1, 0.5, 0.8)]
    assert [load["requests_per_second"] for load in told["open_loop"]] == loads
    # Drift detectors keep their state, but not where the settings say.
    assert list(state.iterdir()) == []
    assert told["generator"]["client_us_per_request"] > 0


def test_the_screen_of_a_model_of_images(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    golden = json.loads((ROOT / "models" / "digits" / "1" / "golden.json").read_text())
    rows.write_text("\n".join(json.dumps({"inputs": row, "top_k": 2}) for row in golden["rows"]))

    shown = bench(ROOT / "models" / "digits", "--input", rows, *SHORT).stdout

    assert "digits 1: image, 10 labels; the rows of rows.jsonl, one a request" in shown
    for title in ("Closed loop", "bare", "Knee: ", "Generator of the open loop: ", "Memory per worker: RSS "):
        assert title in shown


def test_a_row_that_the_model_refuses_is_named(identity: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("[1, 2, 3, 4]\n[1, 2, 3]\n")

    said = bench(identity, "--input", rows, *SHORT, code=1).stderr

    assert said == "error Expected status 200 for row 2; got 400: Expected 4 features per row; row 0 has 3.\n"


def test_a_server_that_does_not_come_up_shows_its_log(identity: Path) -> None:
    golden = {"rows": [[1, 2, 3, 4]] * 8, "labels": ["joke"] * 8, "logits": [[1, 2, 3, 9]] * 8}
    (identity / "1" / "golden.json").write_text(json.dumps(golden))

    said = bench(identity, *SHORT, code=1).stderr

    assert said.startswith("error The server ended with exit code 1 before it was ready. Its log:\n")
    assert "Golden row 0: a logit differs by 5" in said


def test_without_wrk_nothing_is_started(identity: Path) -> None:
    ended = subprocess.run(
        command("bench", identity), capture_output=True, text=True, env=environment(PATH=""), check=False, timeout=60
    )

    assert ended.returncode == 1
    assert ended.stderr == ("error Expected the program wrk, which sends the requests; install the package wrk.\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_was_started_ends_with_it(identity: Path, number: signal.Signals) -> None:
    tool("wrk")
    process = subprocess.Popen(
        command("bench", identity, "--workers", 2),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        # Tests that run in the background of a shell have it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - one system call, no lock
    )
    try:
        # A supervisor and its two workers, two bare ones, wrk.
        started = _descendants(process.pid, least=6)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()

    assert process.returncode != 0
    assert b"Traceback" not in said
    assert [each for each in started if _is_running(each)] == []


def _descendants(process: int, *, least: int) -> Sequence[int]:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = tree(process)[1:]
        if len(found) >= least:
            return found
        time.sleep(0.05)
    raise AssertionError(f"Of {least} processes only {len(found)} were started.")


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
