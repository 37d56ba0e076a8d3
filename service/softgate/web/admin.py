"""`/admin`: models exchanged while the server runs. There only where SOFTGATE_ADMIN is true."""

from fastapi import APIRouter, Response

from softgate.errors import ReloadFailed
from softgate.policy.catalogue import Catalogue
from softgate.web.orders import FAILED, Orders
from softgate.web.reloads import RELOAD, ROLLBACK
from softgate.web.schema.models import Reloaded
from softgate.web.schema.problems import problems, without_input


def routes(catalogue: Catalogue, orders: Orders) -> APIRouter:
    router = APIRouter(prefix="/admin", tags=["admin"])

    async def carried_out(order: str, response: Response) -> Reloaded:
        news = await orders.ended(order)
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
