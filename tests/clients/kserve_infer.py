"""
Run by KServe's own interpreter: what its REST client makes of inference, as JSON.

    python kserve_infer.py URL
"""

import asyncio
import json
import sys
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput
from numpy.typing import NDArray


def request(*, binary: bool, n_columns: int = 16, **more: Any) -> Any:
    named = (("INPUT0", np.arange(n_columns, dtype=np.int32)[None]), ("INPUT1", np.ones((1, n_columns), np.int32)))
    inputs = []
    for name, values in named:
        tensor = InferInput(name, list(values.shape), "INT32")
        tensor.set_data_from_numpy(values, binary_data=binary)
        inputs.append(tensor)
    return InferRequest("added", inputs, "abc", **more)


def told(response: Any) -> dict[str, Any]:
    outputs = {each.name: listed(each.as_numpy()) for each in response.outputs}
    return {**outputs, "id": response.id, "model": response.model_name}


def listed(values: NDArray[Any]) -> Any:
    return [each.decode() if isinstance(each, bytes) else each for each in values.tolist()]


async def main() -> None:
    (url,) = sys.argv[1:]
    found: dict[str, Any] = {}
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        for way, binary in (("binary", True), ("json", False)):
            everything = request(binary=binary, parameters={"binary_data_output": binary})
            found[way] = told(await client.infer(url, everything, model_name="added"))
        one = request(binary=True, request_outputs=[RequestedOutput("label", {"binary_data": True})])
        found["one"] = told(await client.infer(url, one, model_name="added"))
        try:
            await client.infer(url, request(binary=True, n_columns=3), model_name="added")
        except httpx.HTTPStatusError as exc:
            found["refused"] = {"status": exc.response.status_code, "said": str(exc)}
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main())
