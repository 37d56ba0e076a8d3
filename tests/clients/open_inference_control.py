"""
Run by the interpreter of open-inference-openapi: what its strict forms make of health and metadata, as JSON.

    python open_inference_control.py URL
"""

import asyncio
import json
import sys
from typing import Any

from open_inference.openapi import NotFoundError
from open_inference.openapi.client import AsyncOpenInferenceClient, OpenInferenceClient


def synchronous(url: str) -> dict[str, Any]:
    client = OpenInferenceClient(base_url=url)
    client.check_server_liveness()
    client.check_server_readiness()
    client.check_model_readiness("toy")
    client.check_model_version_readiness("toy", "1")
    return {
        "server": client.read_server_metadata().dict(),
        "model": client.read_model_metadata("toy").dict(),
        "version": client.read_model_version_metadata("toy", "1").dict(),
        "nobody": _refused(client, "nobody"),
    }


def _refused(client: OpenInferenceClient, model: str) -> Any:
    try:
        client.check_model_readiness(model)
    except NotFoundError as exc:
        return exc.body
    raise AssertionError("Expected a refusal.")


async def asynchronous(url: str) -> dict[str, Any]:
    client = AsyncOpenInferenceClient(base_url=url)
    await client.check_server_liveness()
    await client.check_server_readiness()
    await client.check_model_readiness("toy")
    await client.check_model_version_readiness("toy", "1")
    return {
        "server": (await client.read_server_metadata()).dict(),
        "model": (await client.read_model_metadata("toy")).dict(),
        "version": (await client.read_model_version_metadata("toy", "1")).dict(),
    }


def main() -> None:
    (url,) = sys.argv[1:]
    print(json.dumps({"synchronous": synchronous(url), "asynchronous": asyncio.run(asynchronous(url))}))


if __name__ == "__main__":
    main()
