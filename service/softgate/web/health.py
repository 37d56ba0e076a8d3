"""Is the process alive, and may it be sent traffic? Never behind a token, never slow."""

from fastapi import APIRouter, Response

from softgate.policy.catalogue import Catalogue
from softgate.web.reloads import Reloads
from softgate.web.schema.models import Health
from softgate.web.schema.problems import without_input


def routes(catalogue: Catalogue, reloads: Reloads) -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get("/livez", summary="Is the process alive?", response_model_exclude_none=True)
    async def livez() -> Health:
        """The event loop turns. Says nothing of models: a model that loads slowly is no reason for a restart."""
        return Health(status="ok")

    @router.get(
        "/readyz",
        summary="May it be sent traffic?",
        response_model_exclude_none=True,
        responses={503: {"model": Health, "description": "Not ready"}, **without_input()},
    )
    async def readyz(response: Response, verbose: str | None = None) -> Health:
        """Every model is loaded, warm, and has reproduced its golden rows. `?verbose` says what is missing."""
        response.status_code = 200 if catalogue.ready else 503
        states = {name: catalogue.waiting.get(name, "ready") for name in catalogue.bundles}
        told = Health(status="ok" if catalogue.ready else "not ready")
        return told if verbose is None else told.model_copy(update={"models": states, "reload": _latest(reloads)})

    return router


def _latest(reloads: Reloads) -> str | None:
    news = reloads.news
    return " ".join(filter(None, (news.outcome, news.reason))) or None
