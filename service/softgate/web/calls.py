"""From a request that is there to its answer: read, predict, encode. To be called on the event loop."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from softgate.errors import DeadlineExceeded, EngineFailed, NotReady, Overloaded, SoftgateError
from softgate.policy.batch import Part
from softgate.runtime.batcher import tell
from softgate.runtime.jobs import Job
from softgate.types import Reason
from softgate.web.protocols import Answer, Call, Protocol, Request

# What a card may have answered with a decision: never what the client got wrong.
FALLBACKS: Mapping[type[SoftgateError], Reason] = {
    Overloaded: Reason.OVERLOADED,
    DeadlineExceeded: Reason.OVERLOADED,
    NotReady: Reason.MODEL_UNAVAILABLE,
    EngineFailed: Reason.MODEL_UNAVAILABLE,
}


class Answering:
    """Called with what came of a call's rows: has it encoded and counted, and hands it on."""

    __slots__ = ("_call", "_clock", "_done", "_started")

    def __init__(
        self,
        call: Call,
        *,
        started: float,
        clock: Callable[[], float],
        done: Callable[[Answer | BaseException], None],
    ) -> None:
        self._call = call
        self._started = started
        self._clock = clock
        self._done = done

    def __call__(self, found: Part | BaseException) -> None:
        call = self._call
        try:
            answer: Answer | BaseException
            if isinstance(found, BaseException):
                self.failed()
                answer = _instead(call, found)
            else:
                answer = call.encode(found)
                call.classifier.monitor.request(rows=len(call.rows), seconds=self._clock() - self._started)
        except BaseException as exc:
            # Whatever it is: nobody above would answer.
            self._done(exc)
        else:
            self._done(answer)

    def failed(self) -> None:
        self._call.classifier.monitor.failure(seconds=self._clock() - self._started)


def begin(
    protocol: Protocol, request: Request, *, clock: Callable[[], float], done: Callable[[Answer | BaseException], None]
) -> Job[Any, Part] | None:
    """
    Calls back with the answer or with what went wrong; the job under way, if there is one.

    Raises SoftgateError, for what can be told at once. `done` must not raise.
    """
    return put(protocol.read(request), started=request.started, expires_at=request.expires_at, clock=clock, done=done)


def put(
    call: Call,
    *,
    started: float,
    expires_at: float,
    clock: Callable[[], float],
    done: Callable[[Answer | BaseException], None],
) -> Job[Any, Part] | None:
    """The same for a request that is read; the times are those of the clock."""
    answering = Answering(call, started=started, clock=clock, done=done)
    try:
        return call.classifier.put(
            call.rows,
            answering,
            profile=call.profile,
            counted=call.counted,
            view=call.view,
            expires_at=min(expires_at, call.expires_at),
        )
    except SoftgateError as exc:
        answering.failed()
        answer = _instead(call, exc)
        if answer is exc:
            raise
        done(answer)
        return None


async def answer(protocol: Protocol, request: Request, *, clock: Callable[[], float]) -> Answer:
    """The same for a caller that waits. Raises what went wrong; whoever stops waiting frees the rows' place."""
    call = protocol.read(request)
    return await answered(call, started=request.started, expires_at=request.expires_at, clock=clock)


async def answered(call: Call, *, started: float, expires_at: float, clock: Callable[[], float]) -> Answer:
    """The same for a request that is read."""
    future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    job = put(call, started=started, expires_at=expires_at, clock=clock, done=partial(tell, future))
    try:
        return await future
    finally:
        if job is not None:
            job.left = True


def _instead(call: Call, cause: BaseException) -> Answer | BaseException:
    """What is told where there are no predictions: the cause, or to fall back."""
    reason = next((FALLBACKS[kind] for kind in type(cause).__mro__ if kind in FALLBACKS), None)
    if call.fall_back is None or reason is None:
        return cause
    return call.fall_back(call.classifier.fall_back(len(call.rows), reason))._replace(cause=cause)
