"""
Run by the interpreter of open-inference-openapi: what its strict forms make of inference, as JSON.

    python open_inference_infer.py URL
"""

import asyncio
import json
import sys
from typing import Any

from open_inference.openapi import BadRequestError, InferenceRequest, RequestInput, RequestOutput
from open_inference.openapi.client import AsyncOpenInferenceClient, OpenInferenceClient
from open_inference.openapi.core import ApiError


def request(name: str = "texts", **more: Any) -> Any:
    return InferenceRequest(
        id="abc", inputs=[RequestInput(name=name, shape=[2], datatype="BYTES", data=["weather", "joke"])], **more
    )


def refused(client: OpenInferenceClient, model: str, asked: Any, error: type[Exception]) -> Any:
    try:
        client.model_infer(model, request=asked)
    except error as exc:
        body: Any = getattr(exc, "body", None)
        return body if isinstance(body, dict) else body.dict()
    raise AssertionError("Expected a refusal.")


def synchronous(url: str) -> dict[str, Any]:
    client = OpenInferenceClient(base_url=url)
    nested = RequestInput(name="INPUT0", shape=[1, 16], datatype="INT32", data=[list(range(16))])
    flat = RequestInput(name="INPUT1", shape=[1, 16], datatype="INT32", data=[1] * 16)
    return {
        "texts": client.model_infer("texts", request=request()).dict(),
        "version": client.model_version_infer("texts", "1", request=request()).dict(),
        "subset": client.model_infer("texts", request=request(outputs=[RequestOutput(name="label")])).dict(),
        "added": client.model_infer("added", request=InferenceRequest(inputs=[nested, flat])).dict(),
        "nobody": refused(client, "nobody", request(), ApiError),
        "name": refused(client, "texts", request(name="wrong"), BadRequestError),
    }


async def asynchronous(url: str) -> dict[str, Any]:
    client = AsyncOpenInferenceClient(base_url=url)
    return {"texts": (await client.model_infer("texts", request=request())).dict()}


def main() -> None:
    (url,) = sys.argv[1:]
    print(json.dumps({"synchronous": synchronous(url), "asynchronous": asyncio.run(asynchronous(url))}))


if __name__ == "__main__":
    main()
