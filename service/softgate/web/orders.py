"""Orders to the supervisor, waited for: models reloaded, loaded, unloaded, rolled back."""

import asyncio
from collections.abc import Callable

from softgate.errors import ReloadFailed
from softgate.web.metrics.layout import OUTCOMES
from softgate.web.reloads import News, Reloads

LOOK_SECONDS = 0.02
READING_SECONDS = 30.0
FAILED = OUTCOMES[1]


class Orders:
    def __init__(self, reloads: Reloads, *, clock: Callable[[], float], limit: float) -> None:
        """`limit`: the seconds that the trial of a graph may take, and the start of the workers."""
        self._reloads = reloads
        self._clock = clock
        self._patience = 2 * limit + READING_SECONDS

    async def ended(self, order: str) -> News:
        """How it ended. Raises ReloadFailed where it was not begun, or nobody knows."""
        reloads = self._reloads
        begun, before = reloads.begun, reloads.ended
        if begun != before:
            raise ReloadFailed("Another reload is under way; wait for its end.")
        until = self._clock() + self._patience
        reloads.order(order)
        if reloads.begun != begun:
            raise ReloadFailed("Another reload began at the same moment, perhaps with this one; ask again.")
        while reloads.ended == before:
            if self._clock() > until:
                raise ReloadFailed(
                    f"No outcome within {self._patience:.0f} s; /readyz?verbose tells it when there is one."
                )
            await asyncio.sleep(LOOK_SECONDS)
        return reloads.news
