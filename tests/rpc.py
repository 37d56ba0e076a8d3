"""Calls over gRPC by a plain channel of its library, with the messages of the service itself."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from processes import free_port
from servers import Served, served
from softgate.web.grpc.messages import MESSAGES

SERVICE = "/inference.GRPCInferenceService"
Metadata = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Spoken:
    """A server and a channel to it."""

    server: Served
    port: int
    channel: Any

    def call(self, method: str, *, timeout: float = 30, metadata: Metadata = (), **fields: Any) -> Any:
        """The method's answer; raises grpc.RpcError."""
        return self.send(method, MESSAGES[f"{method}Request"](**fields), timeout=timeout, metadata=metadata)

    def send(self, method: str, message: Any, *, timeout: float = 30, metadata: Metadata = ()) -> Any:
        content = message if isinstance(message, bytes) else message.SerializeToString()
        answer = self.channel.unary_unary(f"{SERVICE}/{method}")(content, timeout=timeout, metadata=metadata)
        return MESSAGES[f"{method}Response"].FromString(answer)

    def future(self, message: Any, *, timeout: float = 30) -> Any:
        """A ModelInfer under way."""
        return self.channel.unary_unary(f"{SERVICE}/ModelInfer").future(message.SerializeToString(), timeout=timeout)


@contextmanager
def connected(port: int) -> Iterator[Any]:
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        yield channel


@contextmanager
def spoken(
    folder: Path, *options: object, workers: int = 1, variables: Mapping[str, str] | None = None
) -> Iterator[Spoken]:
    """A ready server of `folder` that speaks gRPC, too."""
    port = free_port()
    settings = {"SOFTGATE_GRPC_PORT": str(port), **(variables or {})}
    with served(folder, *options, workers=workers, variables=settings) as server, connected(port) as channel:
        # A worker that is not alone listens when all of them are ready.
        grpc.channel_ready_future(channel).result(timeout=30)
        yield Spoken(server, port, channel)


@contextmanager
def refused() -> Iterator["Refusal"]:
    """A call that is to fail, and as what."""
    refusal = Refusal()
    try:
        yield refusal
    except grpc.RpcError as exc:
        refusal.status, refusal.detail = exc.code(), exc.details()
        refusal.trailing = dict(exc.trailing_metadata() or ())
    else:
        raise AssertionError("The call was answered.")


class Refusal:
    status: Any = None
    detail = ""
    trailing: Mapping[str, str] = {}

    @property
    def code(self) -> str:
        """Ours."""
        return self.trailing.get("softgate-code", "")


def raw(name: str, array: NDArray[Any], datatype: str) -> tuple[Any, bytes]:
    """An input and its raw contents."""
    tensor = MESSAGES["InferInputTensor"](name=name, datatype=datatype, shape=array.shape)
    return tensor, array.tobytes()


def asking(model: str, array: NDArray[Any], *, name: str = "features", datatype: str = "FP32", **fields: Any) -> Any:
    """A ModelInfer request for one tensor, raw."""
    tensor, content = raw(name, np.asarray(array, np.float32), datatype)
    return MESSAGES["ModelInferRequest"](model_name=model, inputs=[tensor], raw_input_contents=[content], **fields)


def texts(model: str, *rows: str, name: str = "text", **fields: Any) -> Any:
    """The same for texts, typed."""
    contents = MESSAGES["InferTensorContents"](bytes_contents=[row.encode() for row in rows])
    tensor = MESSAGES["InferInputTensor"](name=name, datatype="BYTES", shape=[len(rows)], contents=contents)
    return MESSAGES["ModelInferRequest"](model_name=model, inputs=[tensor], **fields)


def tensors(answer: Any) -> dict[str, NDArray[Any]]:
    """Of an answer, raw or typed."""
    found = {}
    for place, output in enumerate(answer.outputs):
        if answer.raw_output_contents:
            content = answer.raw_output_contents[place]
            values = strings(content) if output.datatype == "BYTES" else np.frombuffer(content, DTYPES[output.datatype])
        else:
            ((_, listed),) = output.contents.ListFields()
            values = np.array(list(listed), dtype=DTYPES[output.datatype])
        found[output.name] = values.reshape(tuple(output.shape))
    return found


DTYPES: Mapping[str, Any] = {"FP32": np.float32, "FP64": np.float64, "BYTES": object}


def strings(content: bytes) -> NDArray[np.object_]:
    found, start = [], 0
    while start < len(content):
        end = start + 4 + int.from_bytes(content[start : start + 4], "little")
        found.append(content[start + 4 : end])
        start = end
    return np.array(found, dtype=object)


def typed(model: str, datatype: str, shape: list[int], *, name: str = "features", **contents: Any) -> Any:
    """A ModelInfer request for one tensor, its elements typed."""
    tensor = MESSAGES["InferInputTensor"](
        name=name, datatype=datatype, shape=shape, contents=MESSAGES["InferTensorContents"](**contents)
    )
    return MESSAGES["ModelInferRequest"](model_name=model, inputs=[tensor])


def outputs(*names: str, **parameters: int) -> list[Any]:
    """Of a request, those asked for."""
    said = {name: MESSAGES["InferParameter"](int64_param=value) for name, value in parameters.items()}
    return [MESSAGES["InferRequestedOutputTensor"](name=name, parameters=said) for name in names]
