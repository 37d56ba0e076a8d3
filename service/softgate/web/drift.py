"""`/v1/models/{model}/drift`: traffic beside the reference, and the alarm."""

import asyncio
from collections.abc import Callable
from typing import Annotated

import msgspec
from fastapi import APIRouter, Response
from pydantic import Field

from softgate.errors import InvalidInput
from softgate.policy.catalogue import Catalogue
from softgate.policy.monitor.board import Board, Watched
from softgate.policy.monitor.counts import DETECTORS
from softgate.policy.monitor.report import report
from softgate.policy.monitor.told import Report
from softgate.types import Floats
from softgate.web.aside import Aside
from softgate.web.schema.form import Exact
from softgate.web.schema.problems import problems, without_input

# The watch steps once a second.
PATIENCE_SECONDS = 3.0
_LOOK_EVERY_SECONDS = 0.05


class Acknowledgement(Exact):
    detector: Annotated[str | None, Field(description="One of the report's detectors; null: all of them.")] = None


def routes(catalogue: Catalogue, board: Board, clock: Callable[[], float]) -> APIRouter:
    router = APIRouter(prefix="/v1/models/{model}/drift", tags=["drift"])
    aside = Aside()

    async def told(model: str) -> Response:
        # With thousands of labels it takes milliseconds: not for the event loop.
        found = await aside.run(lambda: report(board, model, now=clock()))
        return Response(msgspec.json.encode(found), media_type="application/json")

    @router.get(
        "", summary="Has its traffic drifted?", response_model=Report, responses=problems(404) | without_input()
    )
    async def get_drift(model: str) -> Response:
        """The last minute, ten minutes, hour and day beside the calibration's reference; the state of the alarm."""
        return await told(catalogue.bundle(model).name)

    @router.post(
        "/acknowledge",
        summary="Take note of an alarm",
        response_model=Report,
        responses=problems(400, 404, 503) | without_input(),
    )
    async def acknowledge(model: str, body: Acknowledgement) -> Response:
        """
        Switches the alarm off and lets the detector start again; without an alarm, nothing. The report says how things
        stand then.
        """
        monitor = catalogue.find(model).monitor
        watched = board.watched[model]
        known = [detector.name for detector in watched.detectors]
        if body.detector is not None and body.detector not in known:
            raise InvalidInput(f"Expected a detector of {model}: {', '.join(known) or 'it has none, uncalibrated'}.")
        for detector in known if body.detector is None else [body.detector]:
            monitor.acknowledge(detector)
        wanted = board.view(board.counts.total(), watched)["acknowledged"].copy()
        until = clock() + PATIENCE_SECONDS
        while _behind(watched, wanted) and clock() < until:
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
        return await told(model)

    return router


def _behind(watched: Watched, wanted: Floats) -> bool:
    """Whether the watch has yet to see an acknowledgement."""
    return any(
        state["acknowledged"] < wanted[DETECTORS.index(detector.name)]
        for detector, state in zip(watched.detectors, watched.states, strict=True)
    )
