"""
Run by huggingface_hub's own interpreter: what its clients make of a server's answers, as JSON.

    python huggingface_hub_calls.py URL TOKEN
"""

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError

TEXT = "move 50 dollars to savings"


def told(elements: Any) -> list[dict[str, Any]]:
    return [asdict(element) for element in elements]


def refused(ask: Callable[[], object]) -> dict[str, Any]:
    try:
        ask()
    except HfHubHTTPError as exc:
        return {"status": exc.response.status_code, "said": str(exc)}
    raise AssertionError("Expected a refusal.")


async def asynchronous(model: str, token: str) -> list[dict[str, Any]]:
    async with AsyncInferenceClient(model=model, token=token) as client:
        return told(await client.text_classification(TEXT, top_k=3))


def main() -> None:
    url, token = sys.argv[1:]
    model = f"{url}/models/clinc150"
    client = InferenceClient(model=model, token=token)
    stranger = InferenceClient(model=model, token="hf_of_somebody_else")
    answers = {
        "model": told(client.text_classification(TEXT)),
        "base_url": told(InferenceClient(base_url=url, token=token).text_classification(TEXT)),
        "asked_of_another": told(InferenceClient(token=token).text_classification(TEXT, model=model)),
        "top_k": told(client.text_classification(TEXT, top_k=3)),
        "softmax": told(client.text_classification(TEXT, top_k=3, function_to_apply="softmax")),
        "none": told(client.text_classification(TEXT, top_k=3, function_to_apply="none")),
        "asynchronous": asyncio.run(asynchronous(model, token)),
        "sigmoid": refused(lambda: client.text_classification(TEXT, function_to_apply="sigmoid")),
        "nobody": refused(lambda: client.text_classification(TEXT, model=f"{url}/models/nobody")),
        "stranger": refused(lambda: stranger.text_classification(TEXT)),
    }
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
