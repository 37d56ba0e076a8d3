"""The client that blocks."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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


class Client:
    """
    Asks one server; may be shared by threads.

    `model`: the one that is asked where a call names none. `timeout_seconds`: of a call, its retries included.
    `transport`: in place of straight connections, say httpx2.HTTPTransport(proxy=...) or one with certificates.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        token: str | None = None,
        timeout_seconds: float | None = 30.0,
        retries: Retries = RETRIES,
        transport: httpx2.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Raises InvalidInput."""
        self._plan = Plan(url, model=model, token=token, timeout_seconds=timeout_seconds, retries=retries, clock=clock)
        self._http = httpx2.Client(headers=self._plan.headers, limits=LIMITS, trust_env=False, transport=transport)
        self._sleep = sleep

    def predict(self, row: Row, **options: Unpack[Options]) -> Prediction:
        """Raises SoftgateError."""
        return self._ask(self._plan.predict(row, options))

    def predict_many(
        self,
        rows: Iterable[Row],
        *,
        batch_size: int = 64,
        concurrency: int = 4,
        progress: bool = False,
        **options: Unpack[Options],
    ) -> Generator[Prediction, None, None]:
        """
        Of each row, in their order, as they come; `concurrency` requests of `batch_size` rows are under way at once.

        Ends at the first request that fails, when the predictions of all rows before it have been given: the error's
        `rows` says which were asked about. Raises SoftgateError.
        """
        batches = batches_of(rows, options, batch_size=batch_size, concurrency=concurrency)
        return self._predictions(batches, shown(rows, progress=progress), concurrency, options)

    def models(self) -> Sequence[Model]:
        """Those that are served. Raises SoftgateError."""
        return self._ask(self._plan.models())

    def ready(self) -> bool:
        """Whether the server may be sent traffic. Raises NoAnswer where there is none, SoftgateError."""
        return self._ask(self._plan.ready())

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _predictions(
        self,
        batches: Iterable[Batch],
        bar: AbstractContextManager[Callable[[int], None]],
        concurrency: int,
        options: Options,
    ) -> Generator[Prediction, None, None]:
        with bar as advance, ThreadPoolExecutor(concurrency) as threads:

            def start(batch: Batch) -> Future[Sequence[Prediction]]:
                return threads.submit(self._predict_batch, batch, options)

            for future in in_order(batches, start, started=deque(), at_once=concurrency):
                found = future.result()
                advance(len(found))
                yield from found

    def _predict_batch(self, batch: Batch, options: Options) -> Sequence[Prediction]:
        with placed(batch):
            return self._ask(self._plan.predict_batch(batch, options))

    def _ask(self, call: Call[T]) -> T:
        while True:
            outcome = self._attempt(call)
            pause = call.pause(outcome)
            if pause is None:
                return call.result(outcome)
            self._sleep(pause)

    def _attempt(self, call: Call[Any]) -> Outcome:
        """Raises DeadlineExceeded."""
        left = call.seconds_left()
        pieces = []
        try:
            with self._http.stream(
                call.method, call.url, content=call.body, headers=call.headers(left), timeout=timeout(left)
            ) as response:
                for piece in response.iter_bytes():
                    # The library's timeout is of each piece.
                    call.seconds_left()
                    pieces.append(piece)
        except httpx2.HTTPError as exc:
            return call.failed(exc)
        return call.answered(response, b"".join(pieces))
