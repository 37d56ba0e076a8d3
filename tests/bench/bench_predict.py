"""
Requests per second and latency of the predict path, next to a bare uvicorn answer of the same size in the same run.

    make bench

Client, server and bare server share this machine, so only the ratios of one run mean anything. Each figure is the
median of the rounds, in which the servers take turns.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import httptools
import msgspec
import numpy as np
import uvloop

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests")]

from graphs import linear, write_model  # noqa: E402
from servers import environment, served  # noqa: E402

BARE = """
import sys
body = b"x" * int(sys.argv[1])
headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
async def app(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
import uvicorn
from softgate.web.server import bind, url
listener = bind("127.0.0.1", 0)
print(url(listener), flush=True)
config = uvicorn.Config(app, loop="uvloop", http="httptools", ws="none", lifespan="off", log_config=None)
uvicorn.Server(config).run(sockets=[listener])
"""


@dataclass(frozen=True)
class Target:
    name: str
    port: int
    request: bytes


@dataclass(frozen=True)
class Figures:
    per_second: float
    p50_us: float
    p99_us: float


class Connection(asyncio.Protocol):
    """One keep-alive connection: the next request leaves when the answer to the last is complete."""

    def __init__(self, request: bytes, until: float, seconds: list[float]) -> None:
        self._request, self._until, self._seconds = request, until, seconds
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        assert self._parser.get_status_code() == 200, "Only answers count."
        now = time.perf_counter()
        self._seconds.append(now - self._sent)
        if now < self._until:
            self._send()
        else:
            self.done.set_result(None)
            self._transport.close()

    def _send(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._sent = time.perf_counter()
        self._transport.write(self._request)  # type: ignore[attr-defined]


async def load(target: Target, *, connections: int, seconds: float) -> Figures:
    """Closed loop: as many requests as the connections manage, one at a time each."""
    loop = asyncio.get_running_loop()
    taken: list[float] = []
    started = time.perf_counter()
    clients = [
        await loop.create_connection(lambda: Connection(target.request, started + seconds, taken), port=target.port)
        for _ in range(connections)
    ]
    for _, client in clients:
        await client.done
    elapsed = time.perf_counter() - started
    p50, p99 = np.percentile(taken, [50, 99]) * 1e6
    return Figures(len(taken) / elapsed, float(p50), float(p99))


def post(path: str, body: dict[str, object]) -> bytes:
    content = msgspec.json.encode(body)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(content)}"
    )
    return f"{head}\r\n\r\n".encode() + content


def start_bare(stack: ExitStack, size: int) -> int:
    process = subprocess.Popen(
        [sys.executable, "-c", BARE, str(size)], stdout=subprocess.PIPE, text=True, env=environment()
    )
    stack.callback(process.wait)
    stack.callback(process.terminate)
    assert process.stdout is not None
    return int(process.stdout.readline().rpartition(":")[2])


def start_targets(stack: ExitStack, folder: Path) -> list[Target]:
    """The shipped text classifier, a small model of numbers, and a bare answer as large as each of theirs."""
    weights = np.random.default_rng(0).normal(size=(64, 10)).astype(np.float32)
    labels = [f"class-{index}" for index in range(10)]
    small = write_model(folder / "small", linear(weights), name="small", labels=labels)
    bodies: dict[str, tuple[Path, dict[str, object]]] = {
        "clinc150, a sentence": (ROOT / "models" / "clinc150", {"inputs": ["move 50 dollars to savings"]}),
        "64 numbers, 10 classes": (small, {"inputs": np.round(weights[:, 0], 4).tolist()}),
    }
    targets = []
    for name, (model, body) in bodies.items():
        server = stack.enter_context(served(model))
        path = f"/v1/models/{model.name}/predict"
        size = len(server.client.post(path, json=body).content)
        port = int(server.url.rpartition(":")[2])
        targets.append(Target(name, port, post(path, body)))
        targets.append(Target(f"bare uvicorn, {size} bytes", start_bare(stack, size), post("/", body)))
    return targets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16])
    arguments = parser.parse_args()
    with ExitStack() as stack, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        targets = start_targets(stack, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        print(f"{'target':<28} {'connections':>11} {'requests/s':>11} {'p50 µs':>8} {'p99 µs':>8} {'of bare':>8}")
        for connections in arguments.connections:
            runs: dict[str, list[Figures]] = {target.name: [] for target in targets}
            for _ in range(arguments.rounds):
                for target in targets:
                    runs[target.name].append(
                        runner.run(load(target, connections=connections, seconds=arguments.seconds))
                    )
            for target, bare in zip(targets[::2], targets[1::2], strict=True):
                for name in (target.name, bare.name):
                    rate, p50, p99 = (
                        median(getattr(run, field) for run in runs[name])
                        for field in ("per_second", "p50_us", "p99_us")
                    )
                    of_bare = median(
                        ours.per_second / theirs.per_second
                        for ours, theirs in zip(runs[name], runs[bare.name], strict=True)
                    )
                    print(f"{name:<28} {connections:>11} {rate:>11,.0f} {p50:>8,.0f} {p99:>8,.0f} {of_bare:>7.2f}x")


if __name__ == "__main__":
    main()
