"""
One row over gRPC beside one row over HTTP, both of the Open Inference Protocol: a Python client's time for an answer.

    python tests/bench/bench_grpc.py

One connection each, the same server, the same bytes of numbers; all clients take turns, call by call. Of each kind the
first is what the others are compared with.
"""

import argparse
import asyncio
import http.client
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

import grpc
import httpx2
import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests")]

from graphs import linear, write_model  # noqa: E402
from rpc import SERVICE, Spoken, asking, spoken  # noqa: E402

N_FEATURES = 64
PATH = "/v2/models/toy/infer"
ROW = np.random.default_rng(0).normal(size=(1, N_FEATURES)).astype(np.float32)
Calls = Mapping[str, Callable[[], Awaitable[object]]]


def json_body() -> bytes:
    tensor = {"name": "features", "datatype": "FP32", "shape": [1, N_FEATURES], "data": ROW[0].tolist()}
    return json.dumps({"inputs": [tensor]}).encode()


def blocking(running: Spoken) -> Mapping[str, Callable[[], object]]:
    host, port = running.server.url.removeprefix("http://").split(":")
    plain = http.client.HTTPConnection(host, int(port))
    body, content = json_body(), asking("toy", ROW).SerializeToString()
    call = running.channel.unary_unary(f"{SERVICE}/ModelInfer")

    def of_plain() -> bytes:
        plain.request("POST", PATH, body)
        return plain.getresponse().read()

    return {
        "httpx2": lambda: running.server.client.post(PATH, content=body).content,
        "http.client": of_plain,
        "grpc": lambda: call(content),
    }


async def asynchronous(running: Spoken, stack: AsyncExitStack) -> Calls:
    client = await stack.enter_async_context(httpx2.AsyncClient(base_url=running.server.url))
    channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{running.port}"))
    body, content = json_body(), asking("toy", ROW).SerializeToString()
    call = channel.unary_unary(f"{SERVICE}/ModelInfer")

    async def of_grpc() -> bytes:
        answer: bytes = await call(content)
        return answer

    return {"httpx2": lambda: client.post(PATH, content=body), "grpc": of_grpc}


def in_turns(calls: Mapping[str, Callable[[], object]], rounds: int) -> Mapping[str, Sequence[float]]:
    """Microseconds of each call."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds):
        for name in reversed([*calls]) if turn % 2 else calls:
            started = time.perf_counter()
            calls[name]()
            taken[name].append(1e6 * (time.perf_counter() - started))
    return taken


async def in_turns_waiting(running: Spoken, rounds: int) -> Mapping[str, Sequence[float]]:
    """The same of clients on an event loop."""
    async with AsyncExitStack() as stack:
        calls = await asynchronous(running, stack)
        taken: dict[str, list[float]] = {name: [] for name in calls}
        for turn in range(rounds):
            for name in reversed([*calls]) if turn % 2 else calls:
                started = time.perf_counter()
                await calls[name]()
                taken[name].append(1e6 * (time.perf_counter() - started))
    return taken


def tell(kind: str, taken: Mapping[str, Sequence[float]]) -> None:
    first = median(next(iter(taken.values())))
    for name, each in taken.items():
        p50, p99 = np.quantile(each, (0.5, 0.99))
        print(f"{kind:10} {name:12} p50 {p50:7.0f} µs   p99 {p99:7.0f} µs   {p50 / first:5.2f} times")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder / "toy", linear(np.eye(N_FEATURES, 4, dtype=np.float32)), name="toy")
        with spoken(folder) as running:
            calls = blocking(running)
            for warming in (200, arguments.rounds):
                taken = in_turns(calls, warming)
            tell("blocking", taken)
            for warming in (200, arguments.rounds):
                taken = asyncio.run(in_turns_waiting(running, warming))
            tell("asyncio", taken)


if __name__ == "__main__":
    main()
