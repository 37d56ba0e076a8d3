"""
Run by tritonclient's own interpreter: what its clients make of everything but inference, as JSON.

    python tritonclient_control.py FLAVOUR HOST:PORT

FLAVOUR is gevent or aiohttp. The server has the models toy and other, and lets them be loaded and unloaded. After the
calls come those that Triton's examples of health, metadata and model control make, with their checks.
"""

import asyncio
import inspect
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import tritonclient.http
import tritonclient.http.aio
from tritonclient.utils import InferenceServerException

CLIENTS = {
    "gevent": tritonclient.http.InferenceServerClient,
    "aiohttp": tritonclient.http.aio.InferenceServerClient,
}
Call = Callable[..., Awaitable[Any]]


async def refused(call: Call, *arguments: Any, **more: Any) -> dict[str, str]:
    try:
        await call(*arguments, **more)
    except InferenceServerException as exc:
        return {"status": exc.status(), "said": exc.message()}
    raise AssertionError("Expected a refusal.")


class Client:
    """Its methods by name, each to be awaited, whether it is a coroutine or not."""

    def __init__(self, flavour: str, address: str) -> None:
        self._flavour = flavour
        self._address = address
        self._client = CLIENTS[flavour](url=address)

    def __call__(self, name: str) -> Call:
        async def call(*arguments: Any, **more: Any) -> Any:
            found = getattr(self._client, name)(*arguments, **more)
            return await found if inspect.isawaitable(found) else found

        return call

    async def change(self, verb: str, model: str) -> None:
        """
        Load or unload.

        The server closes the connection of this call; where a client has a pool of them, another may lead to a worker
        that leaves, for a second. The other flavour has one connection.
        """
        await self(verb)(model)
        if self._flavour == "aiohttp":
            await self("close")()
            self._client = CLIENTS[self._flavour](url=self._address)


async def everything(call: Client) -> dict[str, Any]:
    found = {
        "live": await call("is_server_live")(),
        "ready": await call("is_server_ready")(),
        "model_ready": await call("is_model_ready")("toy"),
        "version_ready": await call("is_model_ready")("toy", "1"),
        "other_version_ready": await call("is_model_ready")("toy", "2"),
        "server": await call("get_server_metadata")(),
        "model": await call("get_model_metadata")("toy"),
        "version": await call("get_model_metadata")("toy", "1"),
        "configuration": await call("get_model_config")("toy"),
        "index": await call("get_model_repository_index")(),
        "statistics": await call("get_inference_statistics")("toy"),
        "all_statistics": await call("get_inference_statistics")(),
        "no_such_model": await refused(call("get_model_metadata"), "nobody"),
        "no_such_extension": await refused(call("get_log_settings")),
    }
    await call.change("unload_model", "toy")
    found["index_without"] = await call("get_model_repository_index")()
    found["ready_without"] = await call("is_model_ready")("toy")
    found["config_without"] = await refused(call("get_model_config"), "toy")
    await call.change("load_model", "toy")
    found["ready_again"] = await call("is_model_ready")("toy")
    found["statistics_again"] = await call("get_inference_statistics")("toy", "1")
    return found


async def health_and_metadata(call: Client) -> None:
    assert await call("is_server_live")(query_params={"test_1": 1, "test_2": 2})
    assert await call("is_server_ready")()
    assert await call("is_model_ready")("toy")
    assert (await call("get_server_metadata")())["name"] == "softgate"
    told = await call("get_model_metadata")("toy", query_params={"test_1": 1, "test_2": 2})
    assert told["name"] == "toy"
    said = (await refused(call("get_model_metadata"), "wrong_model_name"))["said"]
    assert "Request for unknown model" in said, said


async def model_control(call: Client) -> dict[str, Any]:
    """Where Triton takes a configuration, we refuse it: with what it says."""
    assert len(await call("get_model_repository_index")()) == 2
    await call.change("load_model", "toy")
    assert await call("is_model_ready")("toy")
    before = await call("get_model_config")("toy")
    override = await refused(call("load_model"), "toy", config='{"max_batch_size":"16"}')
    brought = await refused(call("load_model"), "toy", config="{}", files={"file:1/model.onnx": b"no model"})
    assert await call("get_model_config")("toy") == before
    await call.change("unload_model", "toy")
    assert not await call("is_model_ready")("toy")
    wrong = await refused(call("load_model"), "wrong_model_name")
    assert "failed to load" in wrong["said"], wrong
    await call.change("load_model", "toy")
    return {"override": override, "brought": brought, "wrong": wrong}


async def main() -> None:
    call = Client(*sys.argv[1:])
    found = await everything(call)
    await health_and_metadata(call)
    found["control"] = await model_control(call)
    await call("close")()
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main())
