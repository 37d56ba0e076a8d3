"""
Run by the interpreter of open-inference-grpc: what its stubs make of a server, as JSON.

    python open_inference_grpc_calls.py HOST:PORT
"""

import json
import sys
from typing import Any

import grpc
from open_inference.grpc import protocol
from open_inference.grpc.service import GRPCInferenceServiceStub


def request() -> Any:
    tensor = protocol.ModelInferRequest.InferInputTensor(name="features", datatype="FP32", shape=[1, 4])
    tensor.contents.fp32_contents.extend([1, 2, 3, 4])
    return protocol.ModelInferRequest(model_name="toy", inputs=[tensor], id="abc")


def main() -> None:
    (url,) = sys.argv[1:]
    with grpc.insecure_channel(url) as channel:
        stub = GRPCInferenceServiceStub(channel)
        model = stub.ModelMetadata(protocol.ModelMetadataRequest(name="toy"))
        answer = stub.ModelInfer(request())
        found = {
            "live": stub.ServerLive(protocol.ServerLiveRequest()).live,
            "ready": stub.ServerReady(protocol.ServerReadyRequest()).ready,
            "toy": stub.ModelReady(protocol.ModelReadyRequest(name="toy")).ready,
            "server": stub.ServerMetadata(protocol.ServerMetadataRequest()).name,
            "inputs": [[each.name, each.datatype, list(each.shape)] for each in model.inputs],
            "properties": sorted(model.properties),
            "id": answer.id,
            "label": [
                output.contents.bytes_contents[0].decode() for output in answer.outputs if output.name == "label"
            ],
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
