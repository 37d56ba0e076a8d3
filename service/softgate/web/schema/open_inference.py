"""What the Open Inference Protocol tells beside inference: the server, its models, counts and repository."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from softgate.web.schema.form import Exact

Sizes = Annotated[list[int], Field(description="-1: a size that may vary.")]


class Server(Exact):
    name: str
    version: str
    extensions: list[str]


class ServerHealth(Exact):
    live: bool
    ready: bool


class ModelReady(Exact):
    name: str
    ready: bool


class MetadataTensor(Exact):
    name: str
    datatype: str
    shape: Sizes


class ModelMetadata(Exact):
    name: str
    versions: list[str]
    platform: str
    inputs: list[MetadataTensor]
    outputs: list[MetadataTensor]
    properties: Annotated[dict[str, str], Field(description="A list in it is JSON.")]


class ModelNames(Exact):
    models: list[str]


class ConfigurationTensor(Exact):
    name: str
    data_type: str
    dims: Annotated[
        list[int], Field(description="Of one row, empty where that is one value; -1: a size that may vary.")
    ]


class DynamicBatching(Exact):
    preferred_batch_size: list[int]
    max_queue_delay_microseconds: int


class Configuration(Exact):
    name: str
    platform: str
    backend: str
    max_batch_size: Annotated[int, Field(description="Most rows in one run of the graph; a request may have more.")]
    input: list[ConfigurationTensor]
    output: list[ConfigurationTensor]
    dynamic_batching: DynamicBatching


class Duration(Exact):
    count: int
    ns: int


class InferenceStatistics(Exact):
    success: Annotated[Duration, Field(description="Requests answered, from their arrival to their answer.")]
    fail: Annotated[Duration, Field(description="Requests that got no predictions, though they were well written.")]
    queue: Annotated[Duration, Field(description="Requests, until their run began.")]
    compute_input: Annotated[Duration, Field(description="0: inputs are prepared within compute_infer.")]
    compute_infer: Annotated[Duration, Field(description="Runs of the graph.")]
    compute_output: Annotated[Duration, Field(description="0: it is not told apart.")]


class ModelStatistics(Exact):
    name: str
    version: str
    last_inference: Annotated[int, Field(description="When a run last ended, in ms since 1970; 0: there was none.")]
    inference_count: Annotated[int, Field(description="Rows answered.")]
    execution_count: Annotated[int, Field(description="Runs of the graph.")]
    inference_stats: InferenceStatistics
    batch_stats: list[dict[str, Any]]


class Statistics(Exact):
    model_stats: list[ModelStatistics]


class IndexEntry(Exact):
    name: str
    version: str
    state: Literal["READY", "LOADING", "UNAVAILABLE"]
    reason: str


class Done(Exact):
    """Nothing is left to say."""


class Refusal(Exact):
    error: str


def refusals() -> dict[int | str, dict[str, Any]]:
    """The error answers of a path of this protocol, as FastAPI's `responses` takes them."""
    content = {"application/json": {"schema": Refusal.model_json_schema()}}
    return {status: {"description": said, "content": content} for status, said in _REFUSED.items()}


def body(properties: Mapping[str, Any]) -> dict[str, Any]:
    """What a path takes that reads its body itself, as FastAPI's `openapi_extra` takes it: an object, or nothing."""
    form = {"type": "object", "properties": dict(properties)}
    return {"requestBody": {"required": False, "content": {"application/json": {"schema": form}}}}


_REFUSED: Mapping[str, str] = {"4XX": "Refused", "5XX": "Not ready, or not to be had here"}
