"""Time that passes only as runs take it, and graphs that take as much of it as they are told to."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softgate.runtime.session import Session

Feed = Mapping[str, NDArray[np.generic]]


class Watch:
    """A clock that stands still but for the runs that take time by it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def run(self, *seconds: float) -> Callable[[], None]:
        """Takes so long at each call in turn, and then no time."""
        left = list(seconds)

        def run() -> None:
            self.now += left.pop(0) if left else 0.0

        return run


class Paced(Session):
    """A graph whose runs take so long a call and so long a value fed; it keeps the shape of each feed."""

    def __init__(
        self, model: bytes, watch: Watch, *, per_call: float = 0.0, per_value: float = 0.0, threads: int = 1
    ) -> None:
        super().__init__(model, threads=threads)
        self.shapes: list[tuple[int, ...]] = []
        self.given_back: list[bool] = []
        self._watch, self._per_call, self._per_value = watch, per_call, per_value

    def run(self, outputs: Sequence[str], feed: Feed, *, keeps_memory: bool = True) -> Sequence[Any]:
        values = next(iter(feed.values()))
        self.shapes.append(values.shape)
        self.given_back.append(not keeps_memory)
        self._watch.now += self._per_call + values.size * self._per_value
        return super().run(outputs, feed, keeps_memory=keeps_memory)
