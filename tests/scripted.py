"""Both clients against a server of a few lines, by clocks that a sleep moves."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2

from softgate.client import AsyncClient, Client, Retries

URL = "http://server.test"
FLAVOURS = ("sync", "async")
Handler = Callable[[httpx2.Request], httpx2.Response]
Step = httpx2.Response | Exception | Handler


@dataclass
class World:
    """Time, chance, and what was done with them."""

    draw: float = 1.0
    now: float = 1000.0
    pauses: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)


class Script:
    """Answers request n by step n, the last one again and again; remembers what was asked."""

    def __init__(self, *steps: Step) -> None:
        self._steps = steps
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        step = self._steps[min(len(self.requests), len(self._steps) - 1)]
        self.requests.append(request)
        if isinstance(step, Exception):
            raise step
        if isinstance(step, httpx2.Response):
            # A response can be read once.
            return httpx2.Response(step.status_code, headers=step.headers, content=step.content)
        return step(request)

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.requests]


def asked(
    flavour: str,
    handler: Callable[[httpx2.Request], Any],
    question: Callable[[Any], Any],
    *,
    world: World | None = None,
    **terms: Any,
) -> Any:
    """What a client makes of a question, such as `lambda client: client.predict("rain")`; of many rows, all of them."""
    world = world or World()
    terms = {
        "model": "toy",
        "retries": Retries(draw=lambda: world.draw, now=lambda: world.now),
        "clock": world.clock,
        "transport": httpx2.MockTransport(handler),
        **terms,
    }
    if flavour == "sync":
        with Client(URL, sleep=world.sleep, **terms) as client:
            found = question(client)
            return list(found) if isinstance(found, Iterator) else found

    async def scene() -> Any:
        async with AsyncClient(URL, sleep=world.sleep_async, **terms) as client:
            found = question(client)
            if isinstance(found, AsyncIterator):
                return [one async for one in found]
            return await found if isinstance(found, Awaitable) else found

    return asyncio.run(scene())


def prediction(label: str = "transfer", **more: object) -> dict[str, Any]:
    """As the server writes one."""
    decision = {"action": "route", "target": label, "confidence": 0.9, "threshold": 0.7, "reason": "confident"}
    return {
        "label": label,
        "confidence": 0.9,
        "probabilities": {label: 0.9, "other": 0.1},
        "margin": 0.8,
        "entropy": 0.3,
        "energy": 4.0,
        "prediction_set": [label],
        "decision": decision,
        **more,
    }


def answer(predictions: Sequence[object], **more: object) -> httpx2.Response:
    whole = {"id": None, "model": "toy", "version": "1", "calibration": None, "predictions": predictions, **more}
    return httpx2.Response(200, json=whole)


def echo(request: httpx2.Request) -> httpx2.Response:
    """Each row, a text, is its own label."""
    return answer([prediction(row) for row in json.loads(request.content)["inputs"]])


def problem(status: int, code: str, detail: str = "Expected less.", **headers: str) -> httpx2.Response:
    body = {"type": "urn", "title": code, "status": status, "detail": detail, "code": code, "request_id": "abc"}
    headers = {"content-type": "application/problem+json", **headers}
    return httpx2.Response(status, headers=headers, content=json.dumps(body))


def overloaded(retry_after: str | None = None, *, status: int = 429) -> httpx2.Response:
    headers = {} if retry_after is None else {"retry-after": retry_after}
    return problem(status, "overloaded", **headers)
