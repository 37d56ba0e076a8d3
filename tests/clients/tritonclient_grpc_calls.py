"""
Run by the interpreter of tritonclient[grpc]: what its two clients make of a server, as JSON.

    python tritonclient_grpc_calls.py blocking|asyncio HOST:PORT
"""

import asyncio
import inspect
import json
import sys
from typing import Any

import numpy as np
import tritonclient.grpc as blocking
import tritonclient.grpc.aio as asynchronous
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

FLAVOURS = {"blocking": blocking, "asyncio": asynchronous}
ROW = np.array([[1, 2, 3, 4]], dtype=np.float32)


async def done(answer: Any) -> Any:
    """Of a call of either client."""
    return await answer if inspect.isawaitable(answer) else answer


def numbers(values: NDArray[Any] = ROW) -> list[Any]:
    tensor = blocking.InferInput("features", list(values.shape), "FP32")
    tensor.set_data_from_numpy(values)
    return [tensor]


def texts(*rows: str) -> list[Any]:
    tensor = blocking.InferInput("text", [len(rows)], "BYTES")
    tensor.set_data_from_numpy(np.array([row.encode() for row in rows], dtype=object))
    return [tensor]


def told(result: Any) -> dict[str, Any]:
    names = [output.name for output in result.get_response().outputs]
    return {name: listed(result.as_numpy(name)) for name in names}


def listed(values: NDArray[Any]) -> Any:
    if values.dtype.kind == "O":
        return np.vectorize(bytes.decode, otypes=[object])(values).tolist()
    return values.tolist()


async def refused(asking: Any) -> dict[str, str]:
    """`asking` makes the call, for one of the clients raises at once."""
    try:
        await done(asking())
    except InferenceServerException as exc:
        return {"status": exc.status(), "said": exc.message()}
    raise AssertionError("Expected a refusal.")


async def inference(client: Any) -> dict[str, Any]:
    best = blocking.InferRequestedOutput("probabilities", class_count=2)
    label = blocking.InferRequestedOutput("label")
    region = blocking.InferRequestedOutput("label")
    region.set_shared_memory("region", 4)
    result = await done(client.infer("toy", numbers(), request_id="abc"))
    return {
        "everything": told(result),
        "answer": {name: getattr(result.get_response(), name) for name in ("model_name", "model_version", "id")},
        "texts": told(await done(client.infer("words", texts("rain sun", "joke"), outputs=[label]))),
        "classes": told(await done(client.infer("toy", numbers(), outputs=[best]))),
        "compressed": [
            told(await done(client.infer("toy", numbers(np.repeat(ROW, 50, axis=0)), compression_algorithm=way)))
            for way in ("gzip", "deflate")
        ],
        "parameters": told(await done(client.infer("toy", numbers(), parameters={"top_k": 1}, timeout=10_000_000))),
        "shape": await refused(lambda: client.infer("toy", numbers(ROW[:, :3]))),
        "nobody": await refused(lambda: client.infer("wrong_model_name", numbers())),
        "region": await refused(lambda: client.infer("toy", numbers(), outputs=[region])),
    }


async def control(client: Any) -> dict[str, Any]:
    found = {
        "live": await done(client.is_server_live()),
        "ready": await done(client.is_server_ready()),
        "toy": await done(client.is_model_ready("toy", "1")),
        "server": await done(client.get_server_metadata(as_json=True)),
        "model": await done(client.get_model_metadata("toy", as_json=True)),
        "index": await done(client.get_model_repository_index(as_json=True)),
        "configuration": await refused(lambda: client.get_model_config("toy")),
        "override": await refused(lambda: client.load_model("toy", config="{}")),
        "wrong": await refused(lambda: client.load_model("nobody")),
    }
    await done(client.unload_model("other"))
    found["without"] = await done(client.is_model_ready("words"))
    found["index_without"] = await done(client.get_model_repository_index(as_json=True))
    await done(client.load_model("other"))
    return {**found, "again": await done(client.is_model_ready("other"))}


async def main() -> None:
    flavour, url = sys.argv[1:]
    client = FLAVOURS[flavour].InferenceServerClient(url)
    found = {"inference": await inference(client), "control": await control(client)}
    await done(client.close())
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main())
