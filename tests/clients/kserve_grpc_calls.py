"""
Run by KServe's own interpreter: what its gRPC client makes of a server, as JSON.

    python kserve_grpc_calls.py HOST:PORT
"""

import asyncio
import json
import logging
import sys
from typing import Any

import grpc
import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest
from numpy.typing import NDArray


def request(*, raw: bool, n_columns: int = 4) -> Any:
    values = np.arange(1, n_columns + 1, dtype=np.float32)[None]
    tensor = InferInput("features", list(values.shape), "FP32")
    tensor.set_data_from_numpy(values, binary_data=raw)
    return InferRequest("toy", [tensor], "abc")


def told(response: Any) -> dict[str, Any]:
    outputs = {output.name: listed(output.as_numpy()) for output in response.outputs}
    return {**outputs, "id": response.id, "model": response.model_name}


def listed(values: NDArray[Any]) -> Any:
    return [each.decode() if isinstance(each, bytes) else each for each in values.tolist()]


async def main() -> None:
    (url,) = sys.argv[1:]
    logging.disable()
    async with InferenceGRPCClient(url) as client:
        found: dict[str, Any] = {
            "live": await client.is_server_live(),
            "ready": await client.is_server_ready(),
            "toy": await client.is_model_ready("toy"),
            "raw": told(await client.infer(request(raw=True))),
            "typed": told(await client.infer(request(raw=False))),
        }
        try:
            await client.infer(request(raw=True, n_columns=3))
        except grpc.RpcError as exc:
            found["refused"] = {"status": exc.code().name, "said": exc.details()}
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main())
