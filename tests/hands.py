"""Doubles that move by hand: a loop's clock and an executor, so that a test of time needs none."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from functools import wraps
from typing import Any


class HandLoop(asyncio.SelectorEventLoop):
    """A loop whose clock is moved by hand."""

    now = 0.0

    def time(self) -> float:
        return self.now


class HandExecutor(Executor):
    """Runs what was submitted when it is told to."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def step() -> None:
            try:
                result = fn(*args, **kwargs)
            except Exception as exc:
                future.set_exception(exc)
            else:
                future.set_result(result)

        self.waiting.append(step)
        return future


async def turns() -> None:
    """Let everything that is ready run."""
    for _ in range(10):
        await asyncio.sleep(0)


def played(scene: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A coroutine as a test, on a loop of its own whose clock stands still."""

    @wraps(scene)
    def test() -> None:
        with asyncio.Runner(loop_factory=HandLoop) as runner:
            runner.run(scene())

    return test


async def advance(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, HandLoop)
    loop.now += seconds
    await turns()
