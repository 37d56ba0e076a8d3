"""How a listener leaves without cutting off a call."""

import asyncio

from softgate.policy.catalogue import Catalogue


class Departure:
    """
    What answers wait for.

    gRPC throws away calls that it has not handed on when it is told to stop. So answers are held for that moment, and
    whoever waits for one asks nothing new meanwhile; when it is there, the client knows that it has to go elsewhere.
    """

    def __init__(self) -> None:
        self._answering = asyncio.Event()
        self._answering.set()
        self._parted = asyncio.Event()

    def hold(self) -> None:
        self._answering.clear()

    def release(self) -> None:
        """Clients are told to go."""
        self._parted.set()
        self._answering.set()

    async def answer(self) -> None:
        """Returns when an answer may be sent."""
        if not self._answering.is_set():
            await self._answering.wait()

    async def exchanged(self, catalogue: Catalogue) -> None:
        """Returns when a client that ordered an exchange of models asks the new ones next, and not this worker."""
        if catalogue.leaving:
            await self._parted.wait()
