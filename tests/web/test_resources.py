"""What a machine runs short of leaves predictions unharmed: file descriptors; memory stays where it is."""

import resource
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from graphs import write_text_model
from raw_http import post
from servers import Served, command, started

N_DESCRIPTORS = 64
REQUEST = post(b'{"inputs": "rain"}')


def few_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (N_DESCRIPTORS, N_DESCRIPTORS))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_out_of_descriptors_serves_who_is_there_and_recovers(tmp_path: Path, workers: int) -> None:
    folder = write_text_model(tmp_path / "words", name="words")
    line = command("serve", folder, "--port", 0, "--workers", workers)
    variables = {"SOFTGATE_HEADER_SECONDS": "60", "SOFTGATE_ACCESS_LOG": "none"}
    with started(line, variables=variables, preexec_fn=few_descriptors) as running:
        url = running.read_until("listening")["url"]
        for _ in range(workers):
            running.read_until("ready")
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        with httpx2.Client(base_url=url, timeout=20) as client, ExitStack() as crowd:
            body = {"inputs": "rain"}
            assert client.post("/v1/models/words/predict", json=body).status_code == 200
            for _ in range(3 * N_DESCRIPTORS):
                crowd.enter_context(socket.create_connection(address, timeout=20))
            until = time.monotonic() + 2
            while time.monotonic() < until:
                # On a connection that is there already.
                assert client.post("/v1/models/words/predict", json=body).status_code == 200
            crowd.close()
            with httpx2.Client(base_url=url, transport=httpx2.HTTPTransport(retries=20), timeout=20) as late:
                assert late.post("/v1/models/words/predict", json=body).status_code == 200
        running.process.terminate()
        log = running.log.read()
        assert running.process.wait(30) == 0

    # Said, but not a thousand times.
    assert len(log.splitlines()) < 20


def resident_kib(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0])


def ask(client: socket.socket, n_requests: int, *, at_once: int = 50) -> None:
    """Answered 200, each of them, behind each other on one connection."""
    with client.makefile("rb") as file:
        for _ in range(n_requests // at_once):
            client.sendall(REQUEST * at_once)
            for _ in range(at_once):
                assert file.readline().split()[1] == b"200"
                headers = dict(line.split(b": ", 1) for line in iter(file.readline, b"\r\n"))
                file.read(int(headers[b"content-length"]))


@pytest.mark.soak
def test_memory_after_200_000_requests_is_that_after_50_000(server: Served, capsys: pytest.CaptureFixture[str]) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as client:
        ask(client, 50_000)
        before = resident_kib(server.process.pid)
        ask(client, 150_000)
        after = resident_kib(server.process.pid)

    with capsys.disabled():
        print(f"\nresident after 50 000 requests {before / 1024:.1f} MiB, after 200 000 {after / 1024:.1f} MiB")
    assert after - before <= 3 * 1024
