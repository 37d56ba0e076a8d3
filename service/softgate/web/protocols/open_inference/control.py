"""The paths of the Open Inference Protocol beside inference: health, metadata, configuration and counts."""

import time
from collections.abc import Callable

from fastapi import APIRouter, Response

from softgate.errors import NotReady, UnknownModel
from softgate.policy.catalogue import Catalogue
from softgate.policy.monitor.board import Board, Watched
from softgate.runtime.repository import Bundle
from softgate.web.protocols.open_inference import metadata
from softgate.web.protocols.open_inference.inference import find, unknown
from softgate.web.protocols.open_inference.statistics import statistics
from softgate.web.schema.open_inference import (
    Configuration,
    ModelMetadata,
    ModelNames,
    ModelReady,
    Server,
    ServerHealth,
    Statistics,
    refusals,
)

MODEL, VERSION = "/models/{model}", "/models/{model}/versions/{version}"


def routes(catalogue: Catalogue, board: Board, *, clock: Callable[[], float], admin: bool) -> APIRouter:
    """`admin`: whether models may be loaded and unloaded."""
    router = APIRouter(prefix="/v2", tags=["open inference"], responses=refusals())

    # Both spellings are in use.
    @router.get("/", include_in_schema=False)
    @router.get("", summary="The server")
    async def get_server() -> Server:
        """Its name, its version and the extensions of the protocol that it has."""
        return metadata.server(metadata.OVER_HTTP, admin=admin)

    @router.get("/health/live", summary="Is the process alive?")
    async def live() -> ServerHealth:
        """As `/livez`."""
        return ServerHealth(live=True, ready=catalogue.ready)

    @router.get("/health/ready", summary="May it be sent traffic?", responses={503: {"model": ServerHealth}})
    async def ready(response: Response) -> ServerHealth:
        """As `/readyz`."""
        response.status_code = 200 if catalogue.ready else 503
        return ServerHealth(live=True, ready=catalogue.ready)

    @router.get("/models", summary="The names of the models served")
    async def list_models() -> ModelNames:
        """Those that are still being loaded are among them."""
        return ModelNames(models=list(catalogue.bundles))

    _add_counts(router, catalogue, board, clock)
    _add_models(router, catalogue)
    return router


def _add_models(router: APIRouter, catalogue: Catalogue) -> None:
    @router.get(MODEL, summary="One model")
    @router.get(VERSION, summary="One model with its version named")
    async def get_model(model: str, version: str | None = None) -> ModelMetadata:
        """Its inputs and outputs, its labels and its calibration."""
        return metadata.model(find(catalogue, model, version))

    @router.get(f"{MODEL}/ready", summary="Does it answer?", responses={503: {"model": ModelReady}})
    @router.get(
        f"{VERSION}/ready", summary="Does it answer, with its version named?", responses={503: {"model": ModelReady}}
    )
    async def model_ready(response: Response, model: str, version: str | None = None) -> ModelReady:
        """Not while it is loaded, nor while the server is being stopped."""
        try:
            find(catalogue, model, version)
            is_ready = not catalogue.leaving
        except NotReady:
            is_ready = False
        response.status_code = 200 if is_ready else 503
        return ModelReady(name=model, ready=is_ready)

    @router.get(f"{MODEL}/config", summary="One model's configuration")
    @router.get(f"{VERSION}/config", summary="One model's configuration with its version named")
    async def get_configuration(model: str, version: str | None = None) -> Configuration:
        """In the form that Triton gives it: what stands in the card, as far as there is a word for it."""
        return metadata.configuration(find(catalogue, model, version))


def _add_counts(router: APIRouter, catalogue: Catalogue, board: Board, clock: Callable[[], float]) -> None:
    def told(*models: Watched) -> Statistics:
        total, now, unix_time = board.counts.total(), clock(), time.time()
        return Statistics(model_stats=[statistics(board, each, total, now=now, unix_time=unix_time) for each in models])

    # Before the paths of a model: one of this name has to be asked for with its version.
    @router.get("/models/stats", summary="Counts of all models")
    async def all_statistics() -> Statistics:
        """Of all workers since the server started; they go on over reloads."""
        return told(*board.watched.values())

    @router.get(f"{MODEL}/stats", summary="Counts of one model")
    @router.get(f"{VERSION}/stats", summary="Counts of one model with its version named")
    async def model_statistics(model: str, version: str | None = None) -> Statistics:
        """Of all workers since the server started; they go on over reloads."""
        return told(board.watched[_bundle(catalogue, model, version).name])


def _bundle(catalogue: Catalogue, name: str, version: str | None) -> Bundle:
    """Raises UnknownModel."""
    try:
        return catalogue.bundle(name, version)
    except UnknownModel as exc:
        raise unknown(exc, name) from exc
