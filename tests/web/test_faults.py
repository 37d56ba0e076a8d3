"""A machine that fails: a clock that jumps, memory and disks that are full, and starts that cannot be."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path

import httpx2
import pytest

from drifting import CALM, model
from graphs import LABELS, write_calibration, write_model, write_text_model
from hostile import bomb_of_a_row, bomb_when_run
from processes import children, until
from servers import Served, command, environment, started
from softgate.web.server import EXIT_STARTUP_FAILED

MIB = 2**20
DAYS = 86_400.0


def is_told(server: Served, unix_time: float) -> bool:
    """Whether the server's Date is about this."""
    date = server.client.get("/livez").headers["date"]
    return abs(parsedate_to_datetime(date).timestamp() - unix_time) < 60


@pytest.mark.parametrize("workers", [1, 2])
def test_a_clock_that_jumps_moves_no_deadline_and_no_latency(tmp_path: Path, workers: int) -> None:
    folder, ahead = write_text_model(tmp_path / "toy"), tmp_path / "ahead"
    ahead.write_text("0")
    program = (
        "import pathlib, sys, time\n"
        "real, ahead = time.time, pathlib.Path(sys.argv.pop(1))\n"
        "time.time = lambda: real() + float(ahead.read_text())\n"
        "from softgate.cli import main\n"
        "main()\n"
    )
    arguments = [str(ahead), "serve", str(folder), "--port", "0", "--workers", str(workers)]
    with started([sys.executable, "-c", program, *arguments]) as running:
        url = running.read_until("listening")["url"]
        for _ in range(workers):
            running.read_until("ready")
        with httpx2.Client(base_url=url, timeout=30) as client:
            server = Served(url, running, client)
            before = children(running.process.pid)
            for days in (1000, -1000, 0):
                (tmp_path / "new").write_text(str(days * DAYS))
                (tmp_path / "new").rename(ahead)
                until(partial(is_told, server, time.time() + days * DAYS), seconds=20)
                for headers in ({}, {"x-request-timeout-ms": "20000"}):
                    answer = client.post("/v1/models/toy/predict", json={"inputs": "rain"}, headers=headers)
                    assert answer.status_code == 200
            counts = server.metrics()
            assert client.get("/readyz").status_code == 200

        assert children(running.process.pid) == before
    sums = {name: count for name, count in counts.items() if "_seconds_sum" in name}
    assert len(sums) == 3
    # Of six requests, none of which took a day, nor less than no time.
    assert all(0 <= count < 60 for count in sums.values()), sums
    assert all(count >= 0 for count in counts.values())


def little_memory() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (600 * MIB, 600 * MIB))


def test_rows_that_need_more_memory_than_there_is_fail_and_the_worker_serves_on(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "greedy", bomb_of_a_row(), labels=LABELS[:2], name="greedy")
    line = command("serve", folder, "--port", 0, "--workers", 2)
    with started(line, preexec_fn=little_memory) as running:
        url = running.read_until("listening")["url"]
        for _ in range(2):
            running.read_until("ready")
        with httpx2.Client(base_url=url, timeout=60) as client:
            server, before = Served(url, running, client), children(running.process.pid)
            for _ in range(3):
                answer = server.predict("greedy", inputs=[1.0, 2.0**30])
                assert (answer.status_code, answer.json()["code"]) == (500, "memory_exhausted")
                assert server.predict("greedy", inputs=[1.0, 2.0]).status_code == 200

        assert children(running.process.pid) == before


@pytest.mark.parametrize("workers", [1, 2])
def test_models_that_need_more_memory_than_there_is_end_the_server_with_a_reason(tmp_path: Path, workers: int) -> None:
    folder = write_model(tmp_path / "greedy", bomb_when_run(256 * MIB), labels=LABELS[:2])
    write_calibration(folder)

    ended = subprocess.run(
        command("serve", folder, "--port", 0, "--workers", workers),
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(),
        preexec_fn=little_memory,
        check=False,
    )

    assert ended.returncode == EXIT_STARTUP_FAILED
    said = [json.loads(line) for line in ended.stderr.splitlines()]
    assert {line["code"] for line in said if line["level"] == "critical"} == {"memory_exhausted"}


def no_labels(folder: Path) -> dict[str, str]:
    (folder / "labels.txt").unlink()
    return {}


def a_card_that_is_none(folder: Path) -> dict[str, str]:
    (folder / "classifier.toml").write_text("name = ")
    return {}


def a_graph_that_is_none(folder: Path) -> dict[str, str]:
    (folder / "1" / "model.onnx").write_bytes(b"no graph")
    return {}


def a_foreign_calibration(folder: Path) -> dict[str, str]:
    write_calibration(folder)
    (folder / "labels.txt").write_text("\n".join(reversed(LABELS)))
    return {}


def another_digest(_: Path) -> dict[str, str]:
    return {"SOFTGATE_MODELS_DIGEST": f"sha256:{'0' * 64}"}


def a_state_folder_that_is_a_file(folder: Path) -> dict[str, str]:
    return {"SOFTGATE_STATE_DIR": str(folder / "classifier.toml")}


def an_address_of_nobody(_: Path) -> dict[str, str]:
    return {"SOFTGATE_HOST": "nowhere.invalid"}


def no_number_of_workers(_: Path) -> dict[str, str]:
    return {"SOFTGATE_WORKERS": "0"}


CANNOT = [
    no_labels,
    a_card_that_is_none,
    a_graph_that_is_none,
    a_foreign_calibration,
    another_digest,
    a_state_folder_that_is_a_file,
    an_address_of_nobody,
    no_number_of_workers,
]


@pytest.mark.parametrize("spoil", CANNOT, ids=lambda spoil: spoil.__name__)
def test_a_start_that_cannot_be_ends_soon_with_an_exit_code_and_one_line(
    tmp_path: Path, spoil: Callable[[Path], dict[str, str]]
) -> None:
    folder = write_text_model(tmp_path / "toy")
    variables = spoil(folder)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)

    ended = subprocess.run(
        command("serve", folder, "--port", 0),
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(**variables),
        check=False,
    )

    assert ended.returncode not in (0, None)
    assert len([line for line in ended.stderr.splitlines() if '"level": "warning"' not in line]) == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    # Of the processors: the time of the clock depends on who else wants them.
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert spent.ru_utime + spent.ru_stime - before.ru_utime - before.ru_stime < 5


def test_a_full_disk_takes_nothing_from_clients_and_its_end_is_noticed(tmp_path: Path) -> None:
    """A file system of 64 kB for the state, in a namespace of the server's own."""
    model(tmp_path / "models" / "toy")
    state = tmp_path / "state"
    state.mkdir()
    program = "import softgate.web.watcher as w; w.SAVE_SECONDS = 0.1; from softgate.cli import main; main()"
    serve = [sys.executable, "-c", program, "serve", str(tmp_path / "models"), "--port", "0", "--state-dir", str(state)]
    mounted = f'mount -t tmpfs -o size=64k none {state} && exec "$@"'
    failures = "softgate_monitor_state_write_failures_total"
    with started(["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mounted, "sh", *serve]) as running:
        url = running.read_until("listening")["url"]
        running.read_until("ready")
        with httpx2.Client(base_url=url, timeout=30) as client:
            server = Served(url, running, client)

            def counted(rows: int) -> float:
                assert server.predict("toy", inputs=CALM[:rows].tolist()).status_code == 200
                return server.metrics()[failures]

            inside = Path(f"/proc/{running.process.pid}/root{state}")
            until(lambda: counted(10) == 0 and len(os.listdir(inside)) > 1, seconds=20)
            with (inside / "full").open("wb", buffering=0) as file:
                assert file.write(bytes(10**6)) < 64_000
            until(lambda: counted(10) > 0, seconds=20)
            (inside / "full").unlink()
            until(lambda: counted(10) == counted(10), seconds=20)
            assert running.process.poll() is None
        running.process.terminate()
        assert running.process.wait(30) == 0
