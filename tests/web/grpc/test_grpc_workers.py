"""The listener's life: which workers listen, from when, until when; and what a server without it does not pay."""

import asyncio
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import grpc
import numpy as np
import pytest

from graphs import linear, slow, write_calibration, write_model
from processes import children, free_port, until
from rpc import SERVICE, Spoken, asking, connected, refused, spoken, tensors
from servers import command, served, started

# What a call meets that comes while the library stops listening, or later.
CUT = {"StatusCode.UNAVAILABLE", "StatusCode.CANCELLED"}
EYE = np.eye(4, dtype=np.float32)
ROW = np.array([[1.0, 2.0, 3.0, 4.0]])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path / "toy", linear(EYE), name="toy")
    return tmp_path


@dataclass
class Tally:
    answered: int = 0
    lost: Counter[str] = field(default_factory=Counter)


@contextmanager
def calling(port: int, *, n_kept: int = 8, n_fresh: int = 8) -> Iterator[Tally]:
    """Calls without a pause while the block runs, on kept and on fresh connections, as clients wait for a server."""
    tally, stop = Tally(), Event()
    content = asking("toy", ROW).SerializeToString()
    options = [("grpc.use_local_subchannel_pool", 1)]

    async def client(*, kept: bool) -> None:
        channel = None
        while not stop.is_set():
            channel = channel or grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options)
            try:
                await channel.unary_unary(f"{SERVICE}/ModelInfer")(content, timeout=20)
                tally.answered += 1
            except grpc.aio.AioRpcError as exc:
                tally.lost[f"{exc.code()} {exc.details()}"] += 1
            if not kept:
                await channel.close()
                channel = None
        if channel is not None:
            await channel.close()

    async def all_clients() -> None:
        async with asyncio.TaskGroup() as group:
            for place in range(n_kept + n_fresh):
                group.create_task(client(kept=place < n_kept))

    thread = Thread(target=lambda: asyncio.run(all_clients()), daemon=True)
    thread.start()
    try:
        yield tally
    finally:
        stop.set()
        thread.join(timeout=60)


def test_workers_share_the_port_and_their_counts(folder: Path) -> None:
    with spoken(folder, workers=2) as running:
        for _ in range(20):
            with connected(running.port) as channel:
                channel.unary_unary(f"{SERVICE}/ModelInfer")(asking("toy", ROW).SerializeToString(), timeout=30)
        counted = running.server.metrics()['softgate_http_responses_total{status="200"}']

        assert counted == 20
        assert running.server.stop() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_call_under_way_is_answered_when_the_server_is_told_to_stop(tmp_path: Path, workers: int) -> None:
    folder = write_model(tmp_path / "slow", slow(seconds=1.2), name="slow")
    with spoken(folder, workers=workers) as running:
        call = running.future(asking("slow", ROW))
        until(lambda: running.server.metrics().get(QUEUE_EMPTY) == 0.0, seconds=10)
        time.sleep(0.2)
        running.server.process.terminate()

        assert call.result()
        with connected(running.port) as channel, refused() as refusal:
            channel.unary_unary(f"{SERVICE}/ServerLive")(b"", timeout=5)
        assert refusal.status == grpc.StatusCode.UNAVAILABLE
        assert running.server.process.wait(timeout=20) == 0


QUEUE_EMPTY = 'softgate_queue_rows{calibration="",model="slow",version="1"}'


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_that_stops_under_load_ends_well_and_loses_nothing_it_took(folder: Path, workers: int) -> None:
    with spoken(folder, workers=workers) as running, calling(running.port) as tally:
        until(lambda: tally.answered > 100, seconds=20)
        told_at = time.monotonic()
        code = running.server.stop()

        assert code == 0
        assert time.monotonic() - told_at < 12
    # Whoever comes later finds nobody.
    assert {reason.split()[0] for reason in tally.lost} <= CUT


def test_models_exchanged_under_load_cost_hardly_a_call(folder: Path) -> None:
    write_calibration(folder / "toy", temperature=1.0)
    own = spoken(folder, workers=2, variables={"SOFTGATE_ADMIN": "true"})
    with own as running, calling(running.port, n_kept=16, n_fresh=0) as tally:
        until(lambda: tally.answered > 100, seconds=20)
        for temperature in (2.0, 3.0):
            write_calibration(folder / "toy", temperature=temperature)
            answer = running.call("RepositoryModelLoad", name="a repository", model_name="toy", timeout=120)
            assert (answer.model_name, answer.is_loaded) == ("toy", True)
        found = tensors(running.send("ModelInfer", asking("toy", ROW)))["confidence"][0]

    assert found == pytest.approx(float(np.exp(4 / 3) / np.exp(np.arange(1, 5) / 3).sum()))
    assert sum(tally.lost.values()) <= tally.answered / 100, tally
    assert {reason.split()[0] for reason in tally.lost} <= CUT


def test_a_model_is_unloaded_and_loaded_by_either_way_to_name_it(folder: Path) -> None:
    write_model(folder / "other", linear(EYE), name="other")
    with spoken(folder, variables={"SOFTGATE_ADMIN": "true"}) as running:
        assert running.call("RepositoryModelUnload", name="other", timeout=120).is_unloaded
        states = {each.name: each.state for each in running.call("RepositoryIndex").models}
        assert running.call("RepositoryModelLoad", model_name="other", timeout=120).is_loaded
        again = {each.name: each.state for each in running.call("RepositoryIndex").models}
        with refused() as refusal:
            running.call("RepositoryModelLoad", model_name="nobody", timeout=120)

    assert (states["other"], again["other"]) == ("UNAVAILABLE", "READY")
    assert refusal.status in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION)
    assert "failed to load 'nobody'" in refusal.detail


def test_nothing_of_grpc_is_loaded_where_it_is_not_spoken(folder: Path) -> None:
    with served(folder, workers=2) as server:
        for process in (server.process.pid, *children(server.process.pid)):
            assert "cygrpc" not in Path(f"/proc/{process}/maps").read_text()


def test_the_process_that_forks_loads_nothing_of_grpc(folder: Path) -> None:
    with spoken(folder, workers=2) as running:
        parent = running.server.process.pid

        assert "cygrpc" not in Path(f"/proc/{parent}/maps").read_text()
        assert all("cygrpc" in Path(f"/proc/{child}/maps").read_text() for child in children(parent))


def test_a_port_that_somebody_has_is_refused(folder: Path) -> None:
    with spoken(folder) as running:
        line = command("serve", folder, "--port", 0)
        with started(line, variables={"SOFTGATE_GRPC_PORT": str(running.port)}) as second:
            code = second.process.wait(timeout=60)
            said = second.log.read()

    assert code == 1
    assert f"Cannot listen on 127.0.0.1:{running.port} for gRPC: Address already in use." in said


def test_a_server_that_takes_over_the_socket_shares_the_port(folder: Path) -> None:
    port, ended = free_port(), []
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener, ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)

        def take_over() -> Any:
            line = command("serve", folder, "--fd", listener.fileno())
            variables = {"SOFTGATE_GRPC_PORT": str(port)}
            server = stack.enter_context(started(line, variables=variables, pass_fds=[listener.fileno()]))
            server.read_until("ready")
            return server

        first = take_over()
        with connected(port) as channel:
            grpc.channel_ready_future(channel).result(timeout=20)
        with calling(port) as tally:
            until(lambda: tally.answered > 100, seconds=20)
            second = take_over()
            until(lambda: listening(port) == 2, seconds=10)
            first.process.send_signal(signal.SIGTERM)
            ended.append(first.process.wait(timeout=30))
            so_far = tally.answered
            until(lambda: tally.answered > so_far + 100, seconds=20)
        second.process.send_signal(signal.SIGTERM)
        ended.append(second.process.wait(timeout=30))

    assert ended == [0, 0]
    assert sum(tally.lost.values()) <= tally.answered / 100, tally
    assert {reason.split()[0] for reason in tally.lost} <= CUT


def listening(port: int) -> int:
    """Sockets that listen there."""
    lines = [line.split() for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
    return sum(line[1].endswith(f":{port:04X}") and line[3] == "0A" for line in lines)


def test_an_address_that_others_reach_is_refused_without_tokens(folder: Path) -> None:
    line = command("serve", folder, "--port", 0, "--host", "0.0.0.0")
    with started(line, variables={"SOFTGATE_GRPC_PORT": str(free_port())}) as server:
        assert server.process.wait(timeout=60) == 1
        assert "Expected SOFTGATE_TOKENS_FILE for 0.0.0.0" in server.log.read()


def test_while_it_loads_a_lone_server_is_alive_and_not_ready(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "slow", slow(seconds=0.5), name="slow")
    port = free_port()
    line = command("serve", folder, "--port", 0)
    with started(line, variables={"SOFTGATE_GRPC_PORT": str(port)}) as server, connected(port) as channel:
        server.read_until("listening")
        grpc.channel_ready_future(channel).result(timeout=20)
        running = Spoken(None, port, channel)  # type: ignore[arg-type]  # nothing is asked over HTTP

        assert running.call("ServerLive").live
        assert not running.call("ServerReady").ready
        assert not running.call("ModelReady", name="slow").ready
        with refused() as refusal:
            running.send("ModelInfer", asking("slow", ROW))
        assert (refusal.status, refusal.code) == (grpc.StatusCode.UNAVAILABLE, "not_ready")
