"""The application: the edge, the protocols behind it, and FastAPI for everything that need not be fast."""

import asyncio
import gc
import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from starlette.exceptions import HTTPException

from softgate import __version__
from softgate.errors import InvalidInput, SoftgateError
from softgate.policy.catalogue import Catalogue
from softgate.policy.monitor.board import Board
from softgate.settings import Settings
from softgate.web import admin, calls, docs, drift, errors, health, models
from softgate.web.asgi import ClientGone, read_request
from softgate.web.aside import Aside
from softgate.web.auth import Guard
from softgate.web.bulk import Bulk
from softgate.web.errors import HTTP_CODES, HTTP_DETAILS, Problem
from softgate.web.head import Limits
from softgate.web.journal import CLIENT_GONE, Journal
from softgate.web.metrics.exposition import CONTENT_TYPE, Exposition
from softgate.web.metrics.layout import WebCounts
from softgate.web.middleware import REQUEST_ID_KEY, Edge
from softgate.web.orders import Orders
from softgate.web.protocols import PROTOCOLS, Protocol, owner
from softgate.web.protocols.open_inference import control, repository
from softgate.web.reloads import Reloads
from softgate.web.room import Room
from softgate.web.schema.published import PUBLISHED, Published
from softgate.web.tokens import TokensFile
from softgate.web.whole import Route

logger = logging.getLogger("softgate.web")

DESCRIPTION = """
Calibrated probabilities, a routing decision with its reason, and drift metrics for ONNX classifiers.

Try it: open **predict**, name a model of `GET /v1/models`, and send a sentence.
"""


# Requests under way are no garbage; with the default of 700 objects, a burst of them is looked through again and again.
YOUNG_OBJECTS = 10_000
# How often a worker that is ready looks whether it may begin.
ADMISSION_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Parts:
    """What a worker's application is made of."""

    catalogue: Catalogue
    board: Board
    exposition: Exposition
    counts: WebCounts
    settings: Settings
    threads: int
    clock: Callable[[], float]
    reloads: Reloads
    alone: bool
    """Nobody else listens on the socket."""
    admitted: Callable[[], bool]
    """Of one that is not alone: whether it may take connections once it is ready."""
    failed: Callable[[Exception], None]
    """Called where a model does not load: a server that can never be ready must not linger."""
    tokens: TokensFile | None = None
    """None where nobody is asked for one."""


def create_app(parts: Parts) -> Edge:
    """What the server runs: the edge, and behind it the protocols and the API."""
    protocols = {name: build(parts.catalogue) for name, build in PROTOCOLS.items()}
    settings = parts.settings
    return Edge(
        create_api(parts, protocols),
        list(protocols.values()),
        parts.counts,
        bulk=Bulk(
            parts.catalogue,
            parts.counts,
            clock=parts.clock,
            max_line_bytes=settings.max_body_bytes,
        ),
        clock=parts.clock,
        max_body_bytes=settings.max_body_bytes,
        request_timeout_ms=settings.request_timeout_ms,
        journal=Journal(
            parts.counts,
            clock=parts.clock,
            overload_status=int(settings.overload_status),
            access_log=settings.access_log,
        ),
        guard=None if parts.tokens is None else Guard(parts.tokens, parts.counts.tokens_failures),
        limits=Limits(
            max_header_bytes=settings.max_header_bytes,
            max_headers=settings.max_headers,
            header_seconds=settings.header_seconds,
            body_seconds=settings.body_seconds,
        ),
    )


def create_api(parts: Parts, protocols: Mapping[str, Protocol]) -> FastAPI:
    """Everything that need not be fast, and the documentation of all."""
    api = FastAPI(
        title="softgate",
        version=__version__,
        description=DESCRIPTION,
        lifespan=_lifespan(parts),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Else variables of the environment could make it send what it sees to others.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    for published in PUBLISHED:
        _publish(api, published, protocols[published.protocol], parts)
    bodies = repository.Bodies(parts.settings.max_body_bytes)
    routers = [
        models.routes(parts.catalogue),
        drift.routes(parts.catalogue, parts.board, parts.clock),
        health.routes(parts.catalogue, parts.reloads),
        control.routes(parts.catalogue, parts.board, clock=parts.clock, admin=parts.settings.admin),
        repository.index_routes(parts.catalogue, bodies),
    ]
    if parts.settings.admin:
        orders = Orders(parts.reloads, clock=parts.clock, limit=parts.settings.probe_seconds)
        routers += [
            admin.routes(parts.catalogue, orders),
            repository.control_routes(repository.Control(parts.catalogue, orders), bodies),
        ]
    for router in (*routers, docs.routes(api)):
        # FastAPI works out once more what is included, when a request first meets it: 30 ms in which all others wait.
        api.router.routes += router.routes
    _add_metrics(api, parts.exposition)
    _add_problems(api, parts.counts, list(protocols.values()))
    return api


def _lifespan(parts: Parts) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """
    Load, and meanwhile answer or not.

    A worker alone answers at once, if only to say what is still missing. One that shares its socket, with others or
    with the server that it takes over from, stays away from it until it is ready: what it would refuse, another can
    answer.
    """

    async def load() -> None:
        try:
            await asyncio.to_thread(
                parts.catalogue.load, threads=parts.threads, clock=parts.clock, max_rows=parts.settings.max_rows
            )
        except Exception as exc:
            # Whatever it is, nobody else would see it: a task keeps its exception to itself.
            parts.failed(exc)
        else:
            _keep_what_is_loaded()
            parts.counts.ready()
            for name, classifier in parts.catalogue.classifiers.items():
                for doubt in classifier.model.doubts:
                    logger.warning("doubt", extra={"model": name, "code": doubt.code, "reason": str(doubt)})
            logger.info("ready", extra={"models": ", ".join(parts.catalogue.bundles)})

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(load())
        if not parts.alone:
            await loading
            # Others load the same models, and where one of them fails none of them is to be seen.
            while not parts.admitted():
                await asyncio.sleep(ADMISSION_SECONDS)
        yield
        await loading
        parts.catalogue.close()

    return lifespan


def _keep_what_is_loaded() -> None:
    """Walked for garbage again and again, it would hold up a request for 70 ms now and then, measured."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


def _publish(app: FastAPI, published: Published, protocol: Protocol, parts: Parts) -> None:
    """
    Document a protocol's path, and answer its 405s.

    The edge answers a POST before it gets here; this adapter to the same handler keeps what is documented callable.
    """
    first = next(iter(parts.catalogue.bundles.values()), None)
    served = {"model": "NAME", "version": "1"} if first is None else {"model": first.name, "version": first.version}

    async def answer(request: Request) -> Response:
        named = protocol.match("POST", request.scope["path"])
        assert named is not None, "Only paths of the protocol are published."
        limit, route = parts.settings.max_body_bytes, Route(protocol, *named)
        scope, receive = request.scope, request.receive
        asked = await read_request(scope, receive, route, limit=limit, room=Room(limit), started=parts.clock())
        found = await calls.answer(protocol, asked, clock=parts.clock)
        more = {name.decode(): value.decode() for name, value in found.headers}
        return Response(found.body, found.status, more, media_type=found.content_type.decode())

    for path, summary in published.paths.items():
        parameters = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}, "example": served[name]}
            for name in re.findall(r"{(\w+)}", path)
        ]
        app.add_api_route(
            path,
            answer,
            methods=["POST"],
            name=published.protocol,
            summary=summary,
            description=published.description,
            tags=["predict"],
            response_model=published.answer,
            responses={
                200: {"content": {"application/json": {"example": published.example}, **published.streams}},
                **published.refused,
            },
            openapi_extra={
                "requestBody": {"required": True, "content": dict(published.bodies)},
                "parameters": [*parameters, *published.query],
            },
        )


def _add_metrics(app: FastAPI, exposition: Exposition) -> None:
    # Its own: a flood of drift reports does not keep a scrape waiting.
    aside = Aside()

    @app.get("/metrics", tags=["health"], summary="Counts for Prometheus", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Prometheus text format; the counts of all workers."""
        return Response(await aside.run(exposition.render), headers={"content-type": CONTENT_TYPE})


def _add_problems(app: FastAPI, counts: WebCounts, protocols: Sequence[Protocol]) -> None:
    """Answer whatever FastAPI would say of an error as a problem of ours, in the form of the path's protocol."""

    def answer(request: Request, problem: Problem) -> Response:
        refuse = owner(protocols, request.scope["path"]).refuse
        found = refuse(problem, request_id=request.scope[REQUEST_ID_KEY])
        return Response(found.body, found.status, media_type=found.content_type.decode())

    async def ours(request: Request, exc: Exception) -> Response:
        problem = errors.problem(exc)
        counts.error(problem.code)
        return answer(request, problem)

    async def of_http(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, HTTPException), "Registered for this class alone."
        code = HTTP_CODES.get(exc.status_code, SoftgateError.code)
        counts.error(code)
        problem = Problem(exc.status_code, code, HTTP_DETAILS.get(exc.status_code, exc.detail))
        response = answer(request, problem)
        response.headers.update(exc.headers or {})
        return response

    async def foreign(request: Request, exc: Exception) -> Response:
        # Starlette raises it again once this is sent, and the edge counts and logs it there.
        return answer(request, errors.problem(exc))

    async def gone(request: Request, exc: Exception) -> Response:
        # Nobody reads it; the edge counts and logs its status.
        return Response(status_code=CLIENT_GONE)

    async def of_form(request: Request, exc: Exception) -> Response:
        if request.method == "POST" and not request.headers.get("content-type", "").startswith("application/json"):
            return await ours(request, InvalidInput("Expected JSON, with the header Content-Type: application/json."))
        return await ours(request, InvalidInput("Expected parameters of the form that /docs lists."))

    app.add_exception_handler(SoftgateError, ours)
    # FastAPI's own answer to this one repeats the input.
    app.add_exception_handler(RequestValidationError, of_form)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(ClientGone, gone)
    app.add_exception_handler(Exception, foreign)
