"""`/openapi.json`, and `/docs`: Swagger UI from files on this machine, so that the page works without a network."""

from collections.abc import Awaitable, Callable
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, FastAPI, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import JSONResponse, RedirectResponse

from softgate.web.aside import Aside

DOCUMENT = "/openapi.json"
# fastapi-offline carries the files; its application factory is not used.
_ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon.png": "image/png"}


def routes(api: FastAPI) -> APIRouter:
    """Of this application."""
    router, aside = APIRouter(include_in_schema=False), Aside()
    router.add_api_route("/", lambda: RedirectResponse("/docs"), response_class=RedirectResponse)

    @router.get(DOCUMENT)
    async def document() -> Response:
        # FastAPI makes it once, for a quarter of a second in which nobody else would be answered.
        return JSONResponse(await aside.run(api.openapi))

    @router.get("/docs")
    async def page() -> Response:
        return get_swagger_ui_html(
            openapi_url=DOCUMENT,
            title=api.title,
            swagger_js_url="/docs/swagger-ui-bundle.js",
            swagger_css_url="/docs/swagger-ui.css",
            swagger_favicon_url="/docs/favicon.png",
            swagger_ui_parameters={"tryItOutEnabled": True, "defaultModelsExpandDepth": 0, "deepLinking": True},
        )

    for name, media_type in _ASSETS.items():
        router.add_api_route(f"/docs/{name}", _asset(name, media_type))
    return router


def _asset(name: str, media_type: str) -> Callable[[], Awaitable[Response]]:
    async def asset() -> Response:
        return Response(_content(name), media_type=media_type, headers={"cache-control": "max-age=86400"})

    return asset


@cache
def _content(name: str) -> bytes:
    return (files("fastapi_offline") / "static" / name).read_bytes()
