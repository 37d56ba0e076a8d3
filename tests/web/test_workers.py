"""Processes: the socket, the workers, their deaths and the end."""

import asyncio
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
import uvloop

from graphs import LABELS, slow, write_calibration, write_model, write_text_model
from hostile import bomb_when_run, endless_loop
from processes import children, running, until
from servers import Served, command, environment, served, started
from softgate.errors import StartupFailed
from softgate.web.server import EXIT_STARTUP_FAILED
from softgate.web.sockets import bind, url

REQUESTS = 'softgate_requests_total{calibration="",model="toy",version="1"}'
STARTS = "softgate_worker_starts_total"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_text_model(tmp_path / "toy")


def send(server: Served, n: int) -> None:
    """One request a connection, so that either worker may take it."""
    for _ in range(n):
        answer = server.client.post(
            "/v1/models/toy/predict", json={"inputs": ["rain", "joke"]}, headers={"connection": "close"}
        )
        assert answer.status_code == 200


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_an_accepted_connection_sends_without_delay(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    listener = bind("127.0.0.1", 0)
    delayed: list[int] = []

    class Accepting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted = transport.get_extra_info("socket")
            delayed.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    async def connect() -> None:
        server = await asyncio.get_running_loop().create_server(Accepting, sock=listener)
        _, writer = await asyncio.open_connection(*listener.getsockname())
        while not delayed:
            await asyncio.sleep(0)
        writer.close()
        server.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(connect())

    assert delayed == [1]


def test_a_port_in_use_is_one_clear_sentence() -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartupFailed, match=rf"Cannot listen on 127\.0\.0\.1:{port}: Address already in use"):
            bind("127.0.0.1", port)


def test_a_host_that_does_not_exist_is_refused() -> None:
    with pytest.raises(StartupFailed, match=r"Cannot listen on nowhere\.invalid:80"):
        bind("nowhere.invalid", 80)


def test_an_ipv6_address_is_bracketed_in_the_url() -> None:
    with bind("::1", 0) as listener:
        assert url(listener) == f"http://[::1]:{listener.getsockname()[1]}"


def test_one_scrape_holds_the_counts_of_both_workers(folder: Path) -> None:
    with served(folder, workers=2) as server:
        send(server, 200)
        scrapes = [server.metrics() for _ in range(4)]

        assert [scrape[REQUESTS] for scrape in scrapes] == [200] * 4
        assert scrapes[0]['softgate_rows_total{calibration="",model="toy",version="1"}'] == 400
        assert scrapes[0][STARTS] == 2


def test_a_killed_worker_is_replaced_within_a_second_and_its_counts_stay(folder: Path) -> None:
    with served(folder, workers=2) as server:
        send(server, 100)
        first, second = children(server.process.pid)

        killed_at = time.monotonic()
        os.kill(first, signal.SIGKILL)
        died = server.started.read_until("worker died")
        server.started.read_until("ready")

        assert time.monotonic() - killed_at < 1
        assert died["pid"] == first
        assert second in children(server.process.pid)
        assert server.metrics()[STARTS] == 3
        assert server.metrics()[REQUESTS] == 100
        send(server, 100)
        assert server.metrics()[REQUESTS] == 200


def test_workers_share_the_connections(folder: Path) -> None:
    with served(folder, workers=2) as server:
        first, second = children(server.process.pid)
        for stopped in (first, second):
            os.kill(stopped, signal.SIGSTOP)
            # A hung worker takes no connection, and the other answers every one of them.
            send(server, 20)
            os.kill(stopped, signal.SIGCONT)


def test_a_hung_worker_does_not_keep_a_stopping_server(folder: Path) -> None:
    with served(folder, workers=2, variables={"SOFTGATE_GRACE_SECONDS": "1"}) as server:
        os.kill(children(server.process.pid)[0], signal.SIGSTOP)
        server.process.terminate()

        assert server.process.wait(timeout=10) == 0


def test_workers_that_never_get_ready_end_the_server(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "slow", slow(seconds=2), name="slow")
    # It is tried first, and a busy machine takes longer than the limit for that.
    patient = {"SOFTGATE_PROBE_SECONDS": "600"}
    with started(command("serve", folder, "--port", 0, "--workers", 2), variables=patient) as server:
        server.read_until("listening")

        # Both die three times over: whichever is third in its row ends the server.
        deadline = time.monotonic() + 30
        while server.process.poll() is None:
            assert time.monotonic() < deadline
            for child in children(server.process.pid):
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)

        assert server.process.returncode == EXIT_STARTUP_FAILED


def test_workers_that_hang_while_they_load_are_killed_and_end_the_server(folder: Path) -> None:
    program = (
        "import time, softgate.policy.catalogue as catalogue\n"
        "catalogue.Model = lambda *_, **__: time.sleep(600)\n"
        "from softgate.cli import main\n"
        "main()\n"
    )
    write_calibration(folder)
    line = [sys.executable, "-c", program, "serve", str(folder), "--port", "0", "--workers", "2"]
    with started(line, variables={"SOFTGATE_PROBE_SECONDS": "1", "SOFTGATE_GRACE_SECONDS": "1"}) as server:
        assert "not ready within 2 s" in server.read_until("worker hangs")["reason"]
        died = [server.read_until("worker died") for _ in range(2)]

        assert {one["exit_code"] for one in died} == {-signal.SIGKILL}
        assert server.process.wait(timeout=30) == EXIT_STARTUP_FAILED


def test_a_worker_that_cannot_load_what_others_have_loaded_takes_none_of_them_with_it(folder: Path) -> None:
    """As where memory is short for a moment: the first three that follow the dead one find too little."""
    program = (
        "import os, sys\n"
        "import softgate.policy.catalogue as catalogue\n"
        "from softgate.errors import MemoryExhausted\n"
        "from softgate.runtime.repository import Model\n"
        "def short(*given, **named):\n"
        "    file = sys.argv[2] + '/starts'\n"
        "    with open(file, 'ab') as starts: starts.write(b'x')\n"
        "    if 3 <= os.path.getsize(file) <= 5: raise MemoryExhausted('There is not enough memory.')\n"
        "    return Model(*given, **named)\n"
        "catalogue.Model = short\n"
        "from softgate.cli import main\n"
        "main()\n"
    )
    line = [sys.executable, "-c", program, "serve", str(folder), "--port", "0", "--workers", "2"]
    with started(line) as server:
        url = server.read_until("listening")["url"]
        for _ in range(2):
            server.read_until("ready")
        os.kill(children(server.process.pid)[0], signal.SIGKILL)
        codes = [server.read_until("worker died")["exit_code"] for _ in range(4)]
        server.read_until("ready")

        assert codes == [-signal.SIGKILL, *[EXIT_STARTUP_FAILED] * 3]
        assert httpx2.get(f"{url}/readyz").status_code == 200


def test_a_dead_worker_is_replaced_even_where_the_signal_was_ignored_before(folder: Path) -> None:
    line = command("serve", folder, "--port", 0, "--workers", 2)
    with started(line, preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN)) as server:
        server.read_until("ready")
        server.read_until("ready")
        killed, _ = children(server.process.pid)

        os.kill(killed, signal.SIGKILL)

        assert server.read_until("worker died")["pid"] == killed
        server.read_until("ready")
        server.process.terminate()
        assert server.process.wait(timeout=10) == 0


def test_a_child_that_is_no_worker_is_buried_and_forgotten(folder: Path) -> None:
    """As in an entrypoint script that starts something else before it execs the server."""
    line = shlex.join(command("serve", folder, "--port", 0, "--workers", 2))
    with started(["sh", "-c", f"sleep 0.2 & exec {line}"]) as server:
        server.read_until("ready")
        server.read_until("ready")

        until(lambda: len(children(server.process.pid)) == 2, seconds=5)
        server.process.terminate()

        assert server.process.wait(timeout=10) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_load_that_fails_for_a_reason_nobody_thought_of_ends_the_server_too(workers: int, folder: Path) -> None:
    program = (
        "import sys, softgate.policy.catalogue as catalogue\n"
        "def fail(*_, **__): raise RuntimeError('out of luck')\n"
        "catalogue.Model = fail\n"
        "from softgate.cli import main\n"
        "main()\n"
    )
    arguments = ["serve", str(folder), "--port", "0", "--workers", str(workers)]

    ended = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, env=environment(), check=False
    )

    assert ended.returncode == EXIT_STARTUP_FAILED
    assert "out of luck" in ended.stderr


def test_workers_end_with_their_supervisor(folder: Path) -> None:
    with served(folder, workers=2) as server:
        left = children(server.process.pid)
        server.process.kill()

        until(lambda: not any(running(child) for child in left), seconds=10)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_server_told_to_stop_ends_with_exit_code_0(folder: Path, workers: int, how: signal.Signals) -> None:
    with served(folder, workers=workers) as server:
        send(server, 1)
        left = children(server.process.pid)
        server.process.send_signal(how)

        assert server.process.wait(timeout=10) == 0
        assert not any(running(child) for child in left)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_model_that_does_not_load_ends_the_server_with_a_reason(folder: Path, workers: int) -> None:
    (folder / "1" / "model.onnx").write_bytes(b"not a graph")
    # What a calibration vouches for is not tried before it is served.
    write_calibration(folder)

    ended = subprocess.run(
        command("serve", folder, "--port", 0, "--workers", workers),
        capture_output=True,
        text=True,
        timeout=30,
        env=environment(),
        check=False,
    )

    assert ended.returncode == EXIT_STARTUP_FAILED
    records = [json.loads(line) for line in ended.stderr.splitlines()]
    reasons = Counter(record.get("code") for record in records if record["level"] == "critical")
    assert 1 <= reasons.pop("graph_invalid") <= workers
    assert not reasons
    assert str(folder) in next(record["message"] for record in records if record["level"] == "critical")


HOSTILE = {
    "a memory bomb": (bomb_when_run(2**40), "needs more than 256 MiB of memory"),
    "an endless loop": (endless_loop(), "did not finish within 2 s"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_graph_that_nobody_vouches_for_is_tried_before_the_server_listens(tmp_path: Path, name: str) -> None:
    graph, reason = HOSTILE[name]
    folder = write_model(tmp_path / "toy", graph, labels=LABELS[:2])

    ended = subprocess.run(
        command("serve", folder, "--port", 0),
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(SOFTGATE_PROBE_MEMORY_MB="256", SOFTGATE_PROBE_SECONDS="2"),
        check=False,
    )

    assert ended.returncode == 1
    assert reason in ended.stderr
    assert "listening" not in ended.stderr


def test_a_mistake_in_a_card_ends_the_command_before_it_listens(folder: Path) -> None:
    card = folder / "classifier.toml"
    card.write_text(
        card.read_text().replace('kind = "text"', 'kind = "text"\nmax_token = 3').replace("softmax", "soft")
    )

    ended = subprocess.run(
        command("serve", folder, "--port", 0),
        capture_output=True,
        text=True,
        timeout=30,
        env=environment(),
        check=False,
    )

    assert ended.returncode == 1
    assert "activation: got 'soft', wanted one of entmax15, sigmoid, softmax, sparsemax" in ended.stderr
    assert "input.max_token: unknown key; did you mean max_tokens?" in ended.stderr
    assert "Traceback" not in ended.stderr
