"""From a request that is there to its answer: read, predict, encode. To be called on the event loop."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from softgate.policy.batch import Part
from softgate.runtime.batcher import tell
from softgate.runtime.jobs import Job
from softgate.web.protocols import Answer, Protocol, Request


def begin(
    protocol: Protocol, request: Request, *, clock: Callable[[], float], done: Callable[[bytes | BaseException], None]
) -> Job[Any, Part]:
    """
    Calls back, always later, with the answer's body or with what went wrong.

    Raises SoftgateError, for what can be told at once. `done` must not raise.
    """
    call = protocol.read(request)

    def settle(found: Part | BaseException) -> None:
        if isinstance(found, BaseException):
            done(found)
            return
        try:
            body = call.encode(found)
            call.classifier.monitor.request(rows=len(call.rows), seconds=clock() - request.started)
        except BaseException as exc:
            # Whatever it is: nobody above would answer.
            done(exc)
        else:
            done(body)

    return call.classifier.put(
        call.rows, settle, profile=call.profile, counted=call.counted, expires_at=request.expires_at
    )


async def answer(protocol: Protocol, request: Request, *, clock: Callable[[], float]) -> Answer:
    """The same for a caller that waits. Raises what went wrong; whoever stops waiting frees the rows' place."""
    future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    job = begin(protocol, request, clock=clock, done=partial(tell, future))
    try:
        return Answer(await future)
    finally:
        job.left = True
