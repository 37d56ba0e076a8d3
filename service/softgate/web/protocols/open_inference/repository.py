"""The model repository of the Open Inference Protocol: which models there are, loaded and unloaded by their names."""

from collections.abc import Collection
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from softgate.errors import ReloadFailed, UnknownModel, UnsupportedExtension
from softgate.policy.catalogue import Catalogue
from softgate.runtime.card import MODEL_NAME
from softgate.web.asgi import read_body
from softgate.web.metrics.layout import OUTCOMES
from softgate.web.orders import FAILED, Orders
from softgate.web.protocols.native import decode
from softgate.web.protocols.open_inference import metadata
from softgate.web.protocols.open_inference.inference import unknown
from softgate.web.reloads import RELOAD, UNLOAD
from softgate.web.room import Room
from softgate.web.schema.open_inference import Done, IndexEntry, body, refusals

OK = OUTCOMES[0]
# Bodies of the largest size that may be under way to these paths at once: they are small.
MOST_BODIES = 2
PARAMETERS = {"parameters": {"type": "object", "description": "None of them may bring a model or its configuration."}}


class IndexBody(msgspec.Struct):
    ready: bool = False


class ControlBody(msgspec.Struct):
    """Of load and unload; what else a client says is for other servers."""

    parameters: dict[str, Any] = {}


_INDEX, _CONTROL = msgspec.json.Decoder(IndexBody), msgspec.json.Decoder(ControlBody)


class Bodies:
    """Read whole, whatever their Content-Type says: clients send what they like, or none."""

    def __init__(self, limit: int) -> None:
        """`limit`: the most bytes of one."""
        self._limit = limit
        self._room = Room(MOST_BODIES * limit)

    async def read(self, request: Request, decoder: msgspec.json.Decoder[Any]) -> Any:
        """What is said; that of an empty object where there is no body. Raises SoftgateError and ClientGone."""
        content = await read_body(request.scope, request.receive, limit=self._limit, room=self._room)
        return decode(decoder, content.strip() or b"{}", at="the body")


def index_routes(catalogue: Catalogue, bodies: Bodies) -> APIRouter:
    router = APIRouter(prefix="/v2/repository", tags=["open inference"], responses=refusals())
    ready = {"ready": {"type": "boolean", "default": False, "description": "Only those that answer."}}

    @router.post("/index", summary="The models there are", openapi_extra=body(ready))
    async def get_index(request: Request) -> list[IndexEntry]:
        """Those that are served, and those that were until somebody unloaded them."""
        asked: IndexBody = await bodies.read(request, _INDEX)
        return list(metadata.index(catalogue, ready=asked.ready))

    return router


class Control:
    """What is ordered by a client, whatever the wire; each returns when it is done. Whether it had to be is told."""

    def __init__(self, catalogue: Catalogue, orders: Orders) -> None:
        self._catalogue = catalogue
        self._orders = orders

    async def load(self, model: str, parameters: Collection[str]) -> bool:
        """`parameters`: their names. Raises UnsupportedExtension, UnknownModel and ReloadFailed."""
        if any(name == "config" or name.startswith("file:") for name in parameters):
            raise UnsupportedExtension(
                "Expected no config and no file in the parameters: models are those of the folder."
            )
        if not MODEL_NAME.fullmatch(model):
            raise unknown(UnknownModel("Expected the name of a model of the folder."), model)
        return await self._carried_out(RELOAD, model)

    async def unload(self, model: str) -> bool:
        """Raises UnknownModel and ReloadFailed."""
        if model in self._catalogue.unloaded:
            return False
        try:
            return await self._carried_out(UNLOAD, self._catalogue.bundle(model).name)
        except UnknownModel as exc:
            raise unknown(exc, model) from exc

    async def _carried_out(self, verb: str, model: str) -> bool:
        said = f"failed to {'load' if verb == RELOAD else verb} '{model}'"
        try:
            news = await self._orders.ended(f"{verb} {model}")
        except ReloadFailed as exc:
            raise ReloadFailed(f"{said}: {exc}") from exc
        if news.outcome != OK:
            why = UnknownModel if news.code == UnknownModel.code else ReloadFailed
            raise why(f"{said}: {news.reason if news.outcome == FAILED else 'A rollback came first; ask again.'}")
        return True


def control_routes(control: Control, bodies: Bodies) -> APIRouter:
    router = APIRouter(prefix="/v2/repository/models/{model}", tags=["admin"], responses=refusals())

    def done(response: Response, *, was_carried_out: bool) -> Done:
        if was_carried_out:
            # This worker leaves; whoever asks next shall ask one of the new.
            response.headers["connection"] = "close"
        return Done()

    @router.post("/load", summary="Load a model, or read it anew", openapi_extra=body(PARAMETERS))
    async def load(request: Request, response: Response, model: str) -> Done:
        """
        From the model folder, as `/admin/models/{model}/reload` does; also one that is new there, or was unloaded.

        Answers when it is served, or with 409 and the reason: then nothing has changed. Nothing that a client sends
        becomes a model: a configuration or files in the parameters are refused with 501.
        """
        asked: ControlBody = await bodies.read(request, _CONTROL)
        return done(response, was_carried_out=await control.load(model, asked.parameters))

    @router.post("/unload", summary="Serve a model no longer", openapi_extra=body(PARAMETERS))
    async def unload(request: Request, response: Response, model: str) -> Done:
        """
        Until it is loaded by its name, or the server starts anew: a reload of all models leaves it out.

        Answers when it is served no longer. Its counts are kept, and go on when it is back.
        """
        await bodies.read(request, _CONTROL)
        return done(response, was_carried_out=await control.unload(model))

    return router
