"""
Predictions line by line: `POST /v1/models/{model}/predict` with a body of NDJSON, of any length.

A line is a row, and a line of the answer is that row's prediction, or says why there is none. Neither the body nor the
answer is ever whole in memory: a stream has a batch in the graph, one behind it and one being cut, and reads on when
the client has taken what was answered.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

from starlette.types import Send

from softgate.policy.catalogue import Catalogue
from softgate.policy.classifier import Classifier
from softgate.runtime.lines import Line, Lines, grouped
from softgate.web.metrics.layout import WebCounts
from softgate.web.protocols.native import Native
from softgate.web.protocols.protocol import Protocol, Request
from softgate.web.room import Room
from softgate.web.stream import Noted, Stream, asked

NDJSON = b"application/x-ndjson"
# Batches that are ready, or wait for the graph, while one is written.
N_AHEAD = 1


class Bulk:
    """Cut, decode, predict, encode: a batch at a time."""

    def __init__(
        self,
        catalogue: Catalogue,
        counts: WebCounts,
        *,
        clock: Callable[[], float],
        max_line_bytes: int,
    ) -> None:
        """`max_line_bytes`: of a line, and of the lines of one batch together."""
        self._catalogue = catalogue
        self._counts = counts
        self._clock = clock
        self._max_line_bytes = max_line_bytes
        # One batch of all streams of a model is in the graph or its queue: other requests wait for no more than that.
        self._turns: dict[Classifier, asyncio.Lock] = {}

    def takes(self, protocol: Protocol, content_type: bytes) -> bool:
        """Whether a request of this protocol is a stream of lines."""
        return is_lines(content_type) and isinstance(protocol, Native)

    async def answer(
        self, request: Request, pieces: AsyncIterator[bytes], send: Send, noted: Noted, *, room: Room
    ) -> None:
        """
        Reads `pieces`, the body as it arrives, and sends line after line.

        Raises SoftgateError before anything is sent, and at any time Overloaded and what `pieces` and `send` raise.
        """
        classifier = self._catalogue.find(request.model, request.version)
        turn = self._turns.setdefault(classifier, asyncio.Lock())
        stream = Stream(
            classifier,
            asked(request.query, classifier),
            turn,
            self._counts,
            clock=self._clock,
            seconds=request.seconds_left,
            max_line_bytes=self._max_line_bytes,
            noted=noted,
        )
        answers: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue(N_AHEAD)
        max_rows = min(classifier.max_rows, classifier.model.bundle.card.serving.max_batch)
        try:
            async with (
                aclosing(batches(pieces, max_rows=max_rows, max_bytes=self._max_line_bytes, room=room)) as found,
                asyncio.TaskGroup() as group,
            ):
                group.create_task(_write(answers, send))
                async for batch in found:
                    await answers.put(group.create_task(stream.answer(batch)))
                await answers.put(None)
        except BaseExceptionGroup as exc:
            # The first ended the others.
            raise exc.exceptions[0] from None


def is_lines(content_type: bytes) -> bool:
    return content_type.partition(b";")[0].strip().lower() == NDJSON


async def batches(
    pieces: AsyncIterator[bytes], *, max_rows: int, max_bytes: int, room: Room
) -> AsyncGenerator[list[Line], None]:
    """The lines of a body in batches, none of which waits for more of the body to come. Raises Overloaded."""
    lines, n_taken = Lines(limit=max_bytes), 0
    try:
        async for piece in pieces:
            for batch in grouped(lines.feed(piece), max_lines=max_rows, max_bytes=max_bytes):
                yield batch
            room.give_back(n_taken)
            n_taken = lines.n_held
            room.take(n_taken)
    finally:
        room.give_back(n_taken)
    for batch in grouped(lines.rest(), max_lines=max_rows, max_bytes=max_bytes):
        yield batch


async def _write(answers: "asyncio.Queue[asyncio.Task[bytes] | None]", send: Send) -> None:
    started = False
    while True:
        task = await answers.get()
        body = b"" if task is None else await task
        if not started:
            started = True
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", NDJSON)]})
        await send({"type": "http.response.body", "body": body, "more_body": task is not None})
        if task is None:
            return
