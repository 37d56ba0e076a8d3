"""Listening sockets that somebody else bound, and what every accepted connection has set."""

import ctypes
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from graphs import write_text_model
from processes import children
from servers import command, environment, started
from softgate.errors import StartupFailed
from softgate.web.sockets import adopt, bind

PIDFD_GETFD = 438
# Only the process itself knows its id before it becomes the server.
AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.argv[2], sys.argv[2:])
"""
REQUEST = b"GET /livez HTTP/1.1\r\nhost: here\r\n\r\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_text_model(tmp_path / "toy")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    # As most programs make it: without the protocol.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as made:
        made.bind(("127.0.0.1", 0))
        made.listen(100)
        made.set_inheritable(True)
        yield made


def sends_without_delay(process: int, client: socket.socket) -> bool | None:
    """Of the server's end of this connection; None: the process does not hold it."""
    pidfd = os.pidfd_open(process)
    try:
        for name in os.listdir(f"/proc/{process}/fd"):
            copied = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, pidfd, int(name), 0)
            if copied < 0:
                continue
            try:
                end = socket.socket(fileno=copied)
            except OSError:
                os.close(copied)
                continue
            with end:
                try:
                    found = end.getpeername() == client.getsockname()
                except OSError:
                    continue
                if found:
                    return bool(end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
    finally:
        os.close(pidfd)
    return None


@contextmanager
def serving(folder: Path, listener: socket.socket, mode: str, workers: int) -> Iterator[tuple[int, tuple[str, int]]]:
    """Process and address of a server that is ready."""
    line = command("serve", folder, "--workers", workers)
    if mode == "bound":
        line += ["--port", "0"]
    elif mode == "fd":
        line += ["--fd", str(listener.fileno())]
    else:
        line = [sys.executable, "-c", AS_SYSTEMD, str(listener.fileno()), *line]
    with started(line, pass_fds=[listener.fileno()]) as server:
        host, port = server.read_until("listening")["url"].removeprefix("http://").split(":")
        for _ in range(workers):
            server.read_until("ready")
        yield server.process.pid, (host, int(port))
        server.process.terminate()
        assert server.process.wait(timeout=20) == 0


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("mode", ["bound", "fd", "systemd"])
def test_every_accepted_connection_sends_without_delay(
    folder: Path, listener: socket.socket, mode: str, workers: int
) -> None:
    with (
        serving(folder, listener, mode, workers) as (process, address),
        socket.create_connection(address, timeout=20) as client,
    ):
        client.sendall(REQUEST)
        answer = client.recv(1000)
        found = [sends_without_delay(one, client) for one in (process, *children(process))]

    assert answer.startswith(b"HTTP/1.1 200")
    assert [one for one in found if one is not None] == [True]
    assert (address == listener.getsockname()) == (mode != "bound")


def test_a_descriptor_that_is_no_listening_tcp_socket_is_refused() -> None:
    left, right = socket.socketpair()
    with left, right, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, socket.socket() as unbound:
        for other in (left, datagrams, unbound):
            with pytest.raises(StartupFailed, match=r"expected a TCP socket that listens; got"):
                adopt(other.fileno())
            # It stays whose it was.
            assert os.fstat(other.fileno())


def test_a_descriptor_that_is_not_open_is_one_clear_sentence(folder: Path) -> None:
    ended = subprocess.run(
        command("serve", folder, "--fd", 77), capture_output=True, text=True, env=environment(), timeout=60, check=False
    )

    assert ended.returncode == 1
    assert "File descriptor 77: cannot listen on it: Bad file descriptor." in ended.stderr


def test_sockets_meant_for_another_process_are_left_alone(folder: Path) -> None:
    with started(
        command("serve", folder, "--port", 0), variables={"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
    ) as server:
        assert server.read_until("listening")


def test_an_adopted_socket_names_its_protocol_and_is_not_inherited(listener: socket.socket) -> None:
    with adopt(os.dup(listener.fileno())) as adopted:
        assert adopted.proto == socket.IPPROTO_TCP
        assert adopted.getsockname() == listener.getsockname()
        assert not adopted.get_inheritable()
        assert adopted.getblocking() is False
    with bind("127.0.0.1", 0) as bound:
        assert bound.proto == socket.IPPROTO_TCP
