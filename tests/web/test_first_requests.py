"""What the first request of a kind waits for."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import TypeAdapter

from app_parts import parts_of, with_request_id
from graphs import write_text_model
from softgate.web.app import Parts, create_api
from softgate.web.protocols import PROTOCOLS


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The adapters that FastAPI makes of annotations: of the work on a route, the part that takes long."""
    made: list[object] = []
    make = TypeAdapter.__init__

    def noted(self: TypeAdapter[Any], annotation: Any, **options: Any) -> None:
        made.append(annotation)
        make(self, annotation, **options)

    monkeypatch.setattr(TypeAdapter, "__init__", noted)
    return made


def made_of(folder: Path) -> tuple[Parts, FastAPI]:
    parts = parts_of(folder)
    return parts, create_api(parts, {name: build(parts.catalogue) for name, build in PROTOCOLS.items()})


def test_no_request_waits_while_a_route_is_worked_out(tmp_path: Path, made: list[object]) -> None:
    parts, api = made_of(write_text_model(tmp_path / "words", name="words"))
    paths = ("/livez", "/readyz", "/v1/models", "/v1/models/words/drift", "/v2", "/nothing")

    async def scene() -> list[int]:
        async with api.router.lifespan_context(api):
            while not parts.catalogue.classifiers:
                await asyncio.sleep(0.01)
            assert made
            made.clear()
            transport = httpx2.ASGITransport(app=with_request_id(api))
            async with httpx2.AsyncClient(transport=transport, base_url="http://toy") as client:
                return [(await client.get(path)).status_code for path in paths]

    assert asyncio.run(asyncio.wait_for(scene(), 60)) == [200, 200, 200, 200, 200, 404]
    assert not made


def test_the_document_is_made_beside_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, api = made_of(write_text_model(tmp_path / "words", name="words"))
    monkeypatch.setattr(api, "openapi", lambda: {"here": threading.current_thread() is threading.main_thread()})

    async def scene() -> object:
        transport = httpx2.ASGITransport(app=with_request_id(api))
        async with httpx2.AsyncClient(transport=transport, base_url="http://toy") as client:
            return (await client.get("/openapi.json")).json()

    assert asyncio.run(scene()) == {"here": False}
