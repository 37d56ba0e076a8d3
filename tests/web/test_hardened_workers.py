"""Workers that hang or die again and again, and who tells of them."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from graphs import write_text_model
from processes import children, free_port, running, until
from servers import command, environment, samples, served, started
from softgate.web.supervisor import EXIT_CRASH_LOOP
from steady_clients import asking

STARTS = "softgate_worker_starts_total"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_text_model(tmp_path / "toy")


def test_a_hung_worker_is_killed_and_replaced_and_the_others_serve_meanwhile(folder: Path) -> None:
    with served(folder, workers=2, variables={"SOFTGATE_HANG_SECONDS": "1"}) as server:
        hung, _ = children(server.process.pid)
        time.sleep(0.3)
        stopped_at = time.monotonic()
        os.kill(hung, signal.SIGSTOP)
        while running(hung):
            answer = server.client.post(
                "/v1/models/toy/predict", json={"inputs": ["rain"]}, headers={"connection": "close"}
            )
            assert answer.status_code == 200
            assert time.monotonic() - stopped_at < 20
        assert server.started.read_until("worker hangs")["pid"] == hung
        assert server.started.read_until("worker died")["exit_code"] == -signal.SIGKILL
        server.started.read_until("ready")

        assert server.metrics()[STARTS] == 3


def test_a_killed_worker_loses_no_more_than_it_had_under_way_and_no_count_goes_back(folder: Path) -> None:
    n_clients = 16
    with served(folder, workers=2) as server:
        host, port = server.url.removeprefix("http://").split(":")
        scrapes = [server.metrics()]
        with asking(
            (host, int(port)), path="/v1/models/toy/predict", body={"inputs": ["rain"]}, n_kept=n_clients, n_fresh=0
        ) as tally:
            for round_ in range(10):
                if round_ == 3:
                    os.kill(children(server.process.pid)[0], signal.SIGKILL)
                with suppress(httpx2.TransportError):
                    scrapes.append(server.metrics())
        scrapes.append(server.metrics())

    counters = [name for name in scrapes[0] if name.partition("{")[0].endswith(("_total", "_bucket", "_count"))]
    for name in counters:
        values = [scrape[name] for scrape in scrapes]
        assert values == sorted(values), name
    # A client has one request under way, and each of the dead worker's may have lost it.
    assert len(tally.lost) <= n_clients
    counted = scrapes[-1]['softgate_requests_total{calibration="",model="toy",version="1"}']
    assert tally.answered <= counted <= tally.answered + n_clients


def test_workers_that_die_again_and_again_end_the_server_with_an_exit_code(folder: Path) -> None:
    program = (
        "import softgate.web.restarts as restarts\n"
        "restarts.FIRST_PAUSE_SECONDS = 0.01\n"
        "from softgate.cli import main\n"
        "main()\n"
    )
    arguments = ["serve", str(folder), "--port", "0", "--workers", "2"]
    with started([sys.executable, "-c", program, *arguments]) as server:
        server.read_until("ready")
        server.read_until("ready")
        died: list[dict[str, Any]] = []
        while server.process.poll() is None and len(died) < 20:
            victim = children(server.process.pid)[-1]
            os.kill(victim, signal.SIGKILL)
            died.append(server.read_until("worker died"))
            if died[-1]["again_in_seconds"] is None:
                break
            server.read_until("ready")

        assert server.process.wait(timeout=20) == EXIT_CRASH_LOOP
        assert died[-1]["again_in_seconds"] is None


@pytest.mark.parametrize("workers", [1, 2])
def test_the_ops_port_tells_of_workers_that_hang(folder: Path, workers: int) -> None:
    port = free_port()
    variables = {"SOFTGATE_OPS_PORT": str(port), "SOFTGATE_HANG_SECONDS": "60"}
    with (
        served(folder, workers=workers, variables=variables) as server,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as ops,
    ):
        server.predict("toy", inputs=["rain"])
        # The first child is the one that tells.
        at_work = children(server.process.pid)[1:] or [server.process.pid]
        told_on_main_port = server.metrics()
        for process in at_work:
            os.kill(process, signal.SIGSTOP)
        try:
            live, ready, metrics, other = (ops.get(path) for path in ("/livez", "/readyz?x", "/metrics", "/v1/models"))
        finally:
            for process in at_work:
                os.kill(process, signal.SIGCONT)

        assert (live.status_code, live.json()) == (200, {"status": "ok"})
        assert (ready.status_code, ready.json()) == (200, {"status": "ok"})
        assert other.status_code == 404
        for name in ('softgate_rows_total{calibration="",model="toy",version="1"}', STARTS):
            assert samples(metrics.text)[name] == told_on_main_port[name] > 0
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"http://127.0.0.1:{port}/livez")


def test_a_lone_worker_that_hangs_is_not_alive_to_who_asks_the_ops_port(folder: Path) -> None:
    port = free_port()
    with (
        served(folder, variables={"SOFTGATE_OPS_PORT": str(port), "SOFTGATE_HANG_SECONDS": "1"}) as server,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as ops,
    ):
        until(lambda: ops.get("/readyz").status_code == 200, seconds=10)
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            until(lambda: ops.get("/livez").status_code == 503, seconds=20)
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
        until(lambda: ops.get("/livez").status_code == 200, seconds=20)


def test_a_client_of_the_ops_port_that_says_nothing_or_too_much_is_cut_off(folder: Path) -> None:
    port = free_port()
    with (
        served(folder, variables={"SOFTGATE_OPS_PORT": str(port)}),
        socket.create_connection(("127.0.0.1", port), timeout=20) as silent,
        socket.create_connection(("127.0.0.1", port), timeout=20) as loud,
    ):
        loud.sendall(b"GET /livez HTTP/1.1\r\nx: " + b"y" * 20_000)

        for client in (loud, silent):
            with suppress(ConnectionResetError):
                assert client.recv(100) == b""
        assert httpx2.get(f"http://127.0.0.1:{port}/livez").status_code == 200


def test_who_answers_on_the_ops_port_is_replaced_when_it_dies(folder: Path) -> None:
    port = free_port()
    with served(folder, workers=2, variables={"SOFTGATE_OPS_PORT": str(port)}) as server:
        # The first child is the one that tells.
        os.kill(children(server.process.pid)[0], signal.SIGKILL)

        assert httpx2.get(f"http://127.0.0.1:{port}/livez", timeout=20).status_code == 200


def test_a_taken_ops_port_ends_the_command(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = subprocess.run(
            command("serve", folder, "--port", 0),
            capture_output=True,
            text=True,
            timeout=60,
            env=environment(SOFTGATE_OPS_PORT=port),
            check=False,
        )

    assert ended.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{port}" in ended.stderr
