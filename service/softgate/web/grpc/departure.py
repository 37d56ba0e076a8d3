"""How a listener leaves without cutting off a call."""

import asyncio
from collections.abc import Sequence

from softgate.policy.catalogue import Catalogue
from softgate.web.metrics.layout import WebCounts

LOOK_SECONDS = 0.02
# Nothing came for so long: those that wait for answers are all there is.
QUIET_SECONDS = 0.05
# Where something always comes.
MOST_WAITS = 10


class Departure:
    """
    What answers wait for.

    gRPC cancels calls that it has not handed on when it is told to stop. So answers are held for that moment, and
    whoever waits for one asks nothing new meanwhile; when it is there, the client knows that it has to go elsewhere.
    """

    def __init__(self, beside: Sequence[WebCounts] = ()) -> None:
        """`beside`: the counts of those that leave when this worker does."""
        self._beside = beside
        self._answering = asyncio.Event()
        self._answering.set()
        self._parted = asyncio.Event()
        self._n_calls = 0

    def came(self) -> None:
        """Notes a call."""
        self._n_calls += 1

    async def hold(self) -> None:
        """Hold answers; returns when there are no new calls any more, as far as that can be had."""
        self._answering.clear()
        for _ in range(MOST_WAITS):
            before = self._n_calls
            await asyncio.sleep(QUIET_SECONDS)
            if self._n_calls == before:
                return

    def release(self) -> None:
        """Clients are told to go."""
        self._parted.set()
        self._answering.set()

    async def answer(self) -> None:
        """Returns when an answer may be sent."""
        if not self._answering.is_set():
            await self._answering.wait()

    async def exchanged(self, catalogue: Catalogue) -> None:
        """Returns when a client that ordered an exchange of models finds none but the new ones when it asks next."""
        if catalogue.leaving:
            await self._parted.wait()
            while any(other.takes_calls for other in self._beside):
                await asyncio.sleep(LOOK_SECONDS)
