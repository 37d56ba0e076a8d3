"""The end of a server: what its clients notice of it is nothing, or a connection that closes."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import pytest

from graphs import slow, write_model, write_text_model
from processes import children, free_port, running, until
from servers import Served, Started, command, served, started
from softgate.web.sweeper import LINGER_SECONDS
from steady_clients import Tally, asking

PREDICT = b"POST /v1/models/%b/predict HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_text_model(tmp_path / "toy")


def connect(server: Served) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def posted(model: str, body: bytes) -> bytes:
    return PREDICT % model.encode() + b"content-length: %d\r\n\r\n" % len(body) + body


def everything(client: socket.socket) -> bytes:
    """Until the server closes."""
    received = b""
    while piece := client.recv(65536):
        received += piece
    return received


@contextmanager
def shared_socket() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(2048)
        yield listener


def take_over(stack: ExitStack, folder: Path, listener: socket.socket, *, workers: int) -> Started:
    line = command("serve", folder, "--fd", listener.fileno(), "--workers", workers)
    server = stack.enter_context(started(line, pass_fds=[listener.fileno()]))
    for _ in range(workers):
        server.read_until("ready")
    return server


def relay(folder: Path, *, runs: int, workers: int) -> Tally:
    """Each server is told to stop when the next is ready, under 64 clients all the while."""
    path, body = "/v1/models/toy/predict", {"inputs": ["rain", "joke"]}
    with shared_socket() as listener, ExitStack() as stack:
        server = take_over(stack, folder, listener, workers=workers)
        with asking(listener.getsockname(), path=path, body=body) as tally:
            for _ in range(runs):
                following = take_over(stack, folder, listener, workers=workers)
                server.process.terminate()
                told_at = time.monotonic()
                assert server.process.wait(timeout=30) == 0
                assert time.monotonic() - told_at < 12
                server = following
    return tally


@pytest.mark.parametrize("workers", [1, 2])
def test_no_request_is_lost_when_another_server_takes_over(folder: Path, workers: int) -> None:
    tally = relay(folder, runs=1, workers=workers)

    assert tally.lost == []
    assert tally.answered > 1000
    # Those that were kept were told.
    assert tally.closed_by_answer >= 32


@pytest.mark.soak
@pytest.mark.parametrize("workers", [1, 2])
def test_no_request_is_lost_in_ten_runs(folder: Path, workers: int) -> None:
    tally = relay(folder, runs=10, workers=workers)

    print(f"{tally.answered} answered, {tally.closed_by_answer} closed, {len(tally.lost)} lost")
    assert tally.lost == []
    assert tally.closed_by_answer >= 320


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("held", [True, False])
def test_a_request_under_way_is_answered_and_closes_its_connection(tmp_path: Path, workers: int, held: bool) -> None:
    folder = write_model(tmp_path / "slow", slow(seconds=0.5), name="slow", routing="threshold = 0.7")
    request = posted("slow", b'{"inputs": [1, 2, 3, 4]}')
    if not held:
        # A query is none of the short way's business.
        request = request.replace(b"/predict ", b"/predict?x ")
    with served(folder, workers=workers) as server, connect(server) as client:
        client.sendall(request)
        time.sleep(0.2)
        server.process.terminate()
        answer = everything(client)
        code = server.process.wait(timeout=20)

    assert answer.startswith(b"HTTP/1.1 200")
    assert b"\r\nconnection: close\r\n" in answer
    assert code == 0


def test_a_leaving_server_is_not_ready_takes_nobody_new_and_closes_what_is_idle(folder: Path) -> None:
    with served(folder) as server, connect(server) as kept, connect(server) as idle, connect(server) as unused:
        for client in (kept, idle):
            client.sendall(posted("toy", b'{"inputs": "rain"}'))
            assert client.recv(100_000).startswith(b"HTTP/1.1 200")
        told_at = time.monotonic()
        server.process.terminate()
        time.sleep(LINGER_SECONDS / 2)
        kept.sendall(b"GET /readyz HTTP/1.1\r\nhost: here\r\n\r\n")
        answer = everything(kept)
        with pytest.raises(ConnectionRefusedError):
            connect(server)
        left = [everything(client) for client in (idle, unused)]
        code = server.process.wait(timeout=20)

        assert answer.startswith(b"HTTP/1.1 503")
        assert b"\r\nconnection: close\r\n" in answer
        assert left == [b"", b""]
        assert time.monotonic() - told_at >= LINGER_SECONDS
        assert code == 0


def test_requests_sent_without_waiting_for_answers_are_all_answered(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "slow", slow(seconds=0.5), name="slow", routing="threshold = 0.7")
    with served(folder) as server, connect(server) as client:
        client.sendall(posted("slow", b'{"inputs": [1, 2, 3, 4]}') * 2)
        time.sleep(0.2)
        server.process.terminate()
        answer = everything(client)

    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.count(b"connection: close") == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_a_second_signal_ends_the_server_at_once(folder: Path, workers: int) -> None:
    with served(folder, workers=workers) as server, connect(server) as client:
        # The rest of the body never comes.
        client.sendall(posted("toy", b'{"inputs": "rain"}')[:-1])
        time.sleep(0.2)
        left = children(server.process.pid)
        server.process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(timeout=2 * LINGER_SECONDS)
        told_at = time.monotonic()
        server.process.send_signal(signal.SIGINT)

        assert server.process.wait(timeout=20) == 128 + signal.SIGINT
        assert time.monotonic() - told_at < 5
        assert not any(running(child) for child in left)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_is_one_signal(tmp_path: Path, how: signal.Signals) -> None:
    """As a terminal's Ctrl-C and systemd's stop send it: to the workers and to the supervisor, who tells them again."""
    folder = write_model(tmp_path / "slow", slow(seconds=0.5), name="slow", routing="threshold = 0.7")
    port = free_port()
    with (
        served(folder, workers=2, variables={"SOFTGATE_OPS_PORT": str(port)}) as server,
        connect(server) as client,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}") as ops,
    ):
        client.sendall(posted("slow", b'{"inputs": [1, 2, 3, 4]}'))
        time.sleep(0.2)
        for process in children(server.process.pid):
            os.kill(process, how)
        until(lambda: ops.get("/readyz").status_code == 503, seconds=10)
        server.process.send_signal(how)
        answer = everything(client)
        code = server.process.wait(timeout=20)

    assert answer.startswith(b"HTTP/1.1 200")
    assert code == 0
