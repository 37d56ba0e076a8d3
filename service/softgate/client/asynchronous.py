"""The client for asyncio."""

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Self, TypeVar, Unpack

import httpx2

from softgate.client.answers import Model, Prediction
from softgate.client.calls import LIMITS, Call, Outcome, timeout
from softgate.client.plans import Options, Plan, batches_of
from softgate.client.progress import shown
from softgate.client.retries import RETRIES, Retries
from softgate.client.rows import Batch, Row, in_order, placed

T = TypeVar("T")


class AsyncClient:
    """The same as `Client`, for one event loop."""

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        token: str | None = None,
        timeout_seconds: float | None = 30.0,
        retries: Retries = RETRIES,
        transport: httpx2.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Raises InvalidInput."""
        self._plan = Plan(url, model=model, token=token, timeout_seconds=timeout_seconds, retries=retries, clock=clock)
        self._http = httpx2.AsyncClient(headers=self._plan.headers, limits=LIMITS, trust_env=False, transport=transport)
        self._sleep = sleep

    async def predict(self, row: Row, **options: Unpack[Options]) -> Prediction:
        """Raises SoftgateError."""
        return await self._ask(self._plan.predict(row, options))

    def predict_many(
        self,
        rows: Iterable[Row],
        *,
        batch_size: int = 64,
        concurrency: int = 4,
        progress: bool = False,
        **options: Unpack[Options],
    ) -> AsyncGenerator[Prediction, None]:
        """As `Client.predict_many`. Raises SoftgateError."""
        batches = batches_of(rows, options, batch_size=batch_size, concurrency=concurrency)
        return self._predictions(batches, shown(rows, progress=progress), concurrency, options)

    async def models(self) -> Sequence[Model]:
        """Those that are served. Raises SoftgateError."""
        return await self._ask(self._plan.models())

    async def ready(self) -> bool:
        """Whether the server may be sent traffic. Raises NoAnswer where there is none, SoftgateError."""
        return await self._ask(self._plan.ready())

    async def aclose(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _predictions(
        self,
        batches: Iterable[Batch],
        bar: AbstractContextManager[Callable[[int], None]],
        concurrency: int,
        options: Options,
    ) -> AsyncGenerator[Prediction, None]:
        started = deque[asyncio.Task[Sequence[Prediction]]]()

        def start(batch: Batch) -> asyncio.Task[Sequence[Prediction]]:
            return asyncio.create_task(self._predict_batch(batch, options))

        with bar as advance:
            try:
                for task in in_order(batches, start, started=started, at_once=concurrency):
                    found = await task
                    advance(len(found))
                    for prediction in found:
                        yield prediction
            finally:
                for task in started:
                    task.cancel()
                await asyncio.gather(*started, return_exceptions=True)

    async def _predict_batch(self, batch: Batch, options: Options) -> Sequence[Prediction]:
        with placed(batch):
            return await self._ask(self._plan.predict_batch(batch, options))

    async def _ask(self, call: Call[T]) -> T:
        while True:
            outcome = await self._attempt(call)
            pause = call.pause(outcome)
            if pause is None:
                return call.result(outcome)
            await self._sleep(pause)

    async def _attempt(self, call: Call[Any]) -> Outcome:
        """Raises DeadlineExceeded."""
        left = call.seconds_left()
        try:
            # The library's timeout is of each piece.
            async with asyncio.timeout(None if math.isinf(left) else left):
                response = await self._http.request(
                    call.method, call.url, content=call.body, headers=call.headers(left), timeout=timeout(left)
                )
        except (httpx2.HTTPError, TimeoutError) as exc:
            return call.failed(exc)
        return call.answered(response, response.content)
