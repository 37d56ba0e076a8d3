"""
Run by tritonclient's own interpreter: what its clients make of inference, as JSON.

    python tritonclient_infer.py FLAVOUR HOST:PORT

FLAVOUR is gevent or aiohttp. The server has the models `added`, of INPUT0 and INPUT1, and `texts`. What Triton's
examples of its client for inference, at once, later and of strings do is done here against our outputs.
"""

import asyncio
import json
import sys
from typing import Any

import numpy as np
import tritonclient.http
import tritonclient.http.aio
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

CLIENTS = {
    "gevent": tritonclient.http.InferenceServerClient,
    "aiohttp": tritonclient.http.aio.InferenceServerClient,
}
FIRST = np.arange(16, dtype=np.int32)[None]
SECOND = np.ones((1, 16), dtype=np.int32)


def inputs(*named: tuple[str, NDArray[Any]], binary: bool) -> list[Any]:
    found = []
    for name, values in named:
        datatype = {"i": "INT32", "O": "BYTES"}[values.dtype.kind]
        tensor = tritonclient.http.InferInput(name, list(values.shape), datatype)
        tensor.set_data_from_numpy(values, binary_data=binary)
        found.append(tensor)
    return found


def numbers(*, binary: bool, n_rows: int = 1, second: NDArray[Any] = SECOND) -> list[Any]:
    pairs = ("INPUT0", np.repeat(FIRST, n_rows, axis=0)), ("INPUT1", np.repeat(second, n_rows, axis=0))
    return inputs(*pairs, binary=binary)


def texts(values: list[list[bytes]], *, binary: bool) -> list[Any]:
    return inputs(("texts", np.array(values, dtype=object)), binary=binary)


def outputs(*names: str, binary: bool, n_classes: int = 0) -> list[Any]:
    return [tritonclient.http.InferRequestedOutput(name, binary, n_classes) for name in names]


def told(result: Any) -> dict[str, Any]:
    """Every output as lists, by name; beside them what the answer says of itself."""
    answer = result.get_response()
    found = {each["name"]: listed(result.as_numpy(each["name"])) for each in answer["outputs"]}
    return {**found, "answer": {name: value for name, value in answer.items() if name != "outputs"}}


def listed(values: NDArray[Any]) -> Any:
    return values.astype(str).tolist() if values.dtype.kind in "OS" else values.tolist()


class Client:
    """Either flavour: `infer` is awaited, whether it is a coroutine or not."""

    def __init__(self, flavour: str, address: str) -> None:
        self._is_async = flavour == "aiohttp"
        self._client = CLIENTS[flavour](url=address)

    async def infer(self, model: str, sent: list[Any], **more: Any) -> dict[str, Any]:
        found = self._client.infer(model, sent, **more)
        return told(await found if self._is_async else found)

    async def several(self, requests: list[tuple[str, list[Any]]]) -> list[dict[str, Any]]:
        """All under way at once."""
        if self._is_async:
            return await asyncio.gather(*(self.infer(model, sent) for model, sent in requests))
        waiting = [self._client.async_infer(model, sent) for model, sent in requests]
        return [told(each.get_result()) for each in waiting]

    async def refused(self, model: str, sent: list[Any], **more: Any) -> dict[str, str]:
        try:
            await self.infer(model, sent, **more)
        except InferenceServerException as exc:
            return {"status": exc.status(), "said": exc.message()}
        raise AssertionError("Expected a refusal.")

    async def close(self) -> None:
        closing = self._client.close()
        if self._is_async:
            await closing


async def everything(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for binary in (True, False):
        way = "binary" if binary else "json"
        named = outputs("logits", "label", "decision", binary=binary)
        found[way] = await client.infer("added", numbers(binary=binary), outputs=named, request_id="abc")
        found[f"{way}_classes"] = await client.infer(
            "added", numbers(binary=binary), outputs=outputs("probabilities", "logits", binary=binary, n_classes=3)
        )
        found[f"{way}_texts"] = await client.infer(
            "texts", texts([[b"weather"], [b"joke"]], binary=binary), outputs=outputs("label", binary=binary)
        )
    found["everything"] = await client.infer("added", numbers(binary=True))
    found["parameters"] = await client.infer(
        "added",
        numbers(binary=False),
        model_version="1",
        parameters={"top_k": 1, "somebody": "else's"},
        sequence_id=7,
        sequence_start=True,
        priority=1,
        timeout=20_000_000,
    )
    for algorithm in ("gzip", "deflate"):
        found[algorithm] = await client.infer(
            "added",
            numbers(binary=True, n_rows=20),
            request_compression_algorithm=algorithm,
            response_compression_algorithm=algorithm,
        )
    found["several"] = await client.several(
        [("added", numbers(binary=True, second=SECOND * n)) for n in range(8)]
        + [("texts", texts([[b"balance"]], binary=True))]
    )
    found["nobody"] = await client.refused("wrong_model_name", numbers(binary=True))
    found["version"] = await client.refused("added", numbers(binary=True), model_version="9")
    found["shape"] = await client.refused("added", numbers(binary=True)[:1])
    found["classes_of_text"] = await client.refused(
        "added", numbers(binary=True), outputs=outputs("label", binary=True, n_classes=2)
    )
    return found


async def main() -> None:
    client = Client(*sys.argv[1:])
    print(json.dumps(await everything(client)))
    await client.close()


if __name__ == "__main__":
    asyncio.run(main())
