"""`/admin`: models exchanged while the server runs. There only where SOFTGATE_ADMIN is true."""

import asyncio
from collections.abc import Callable

from fastapi import APIRouter, Response

from softgate.errors import ReloadFailed
from softgate.policy.catalogue import Catalogue
from softgate.web.metrics.layout import OUTCOMES
from softgate.web.reloads import RELOAD, ROLLBACK, Reloads
from softgate.web.schema.models import Reloaded
from softgate.web.schema.problems import problems, without_input

LOOK_SECONDS = 0.05
READING_SECONDS = 30.0
FAILED = OUTCOMES[1]


def routes(catalogue: Catalogue, reloads: Reloads, *, clock: Callable[[], float], limit: float) -> APIRouter:
    """`limit`: the seconds that the trial of a graph may take, and the start of the workers."""
    patience = 2 * limit + READING_SECONDS
    router = APIRouter(prefix="/admin", tags=["admin"])

    async def carried_out(order: str, response: Response) -> Reloaded:
        if reloads.begun != reloads.ended:
            raise ReloadFailed("Another reload is under way; wait for its end.")
        before, until = reloads.ended, clock() + patience
        reloads.order(order)
        while reloads.ended == before:
            if clock() > until:
                raise ReloadFailed(f"No outcome within {patience:.0f} s; /readyz?verbose tells it when there is one.")
            await asyncio.sleep(LOOK_SECONDS)
        news = reloads.news
        if news.outcome == FAILED:
            raise ReloadFailed(news.reason)
        # This worker leaves; whoever asks next shall ask one of the new.
        response.headers["connection"] = "close"
        return Reloaded.model_validate({"outcome": news.outcome})

    @router.post("/models/{model}/reload", summary="Read a model anew", responses=problems(404, 409) | without_input())
    async def reload(model: str, response: Response) -> Reloaded:
        """Answers when the new one is served, or with 409 and the reason when it is not: then nothing has changed."""
        return await carried_out(f"{RELOAD} {catalogue.bundle(model).name}", response)

    @router.post("/reload", summary="Read the model folder anew", responses=problems(409) | without_input())
    async def reload_all(response: Response) -> Reloaded:
        """The same of all models; those that are new in the folder are served, those that are gone are not."""
        return await carried_out(RELOAD, response)

    @router.post("/rollback", summary="Back to what was served before", responses=problems(409) | without_input())
    async def rollback(response: Response) -> Reloaded:
        """To the models before the latest exchange, which are kept in memory; once more, and forward again."""
        return await carried_out(ROLLBACK, response)

    return router
