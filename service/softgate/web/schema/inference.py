"""What a client of the Open Inference Protocol sends for an inference, and gets, with an example of each."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from softgate.numerics.temperature import TEMPERATURE_RANGE
from softgate.web.schema.form import Exact
from softgate.web.schema.problems import PROBLEMS

Datatype = Literal[
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "FP32",
    "FP64",
    "BYTES",
]
OUTPUT = "logits, probabilities, label, confidence, decision (JSON) or prediction_set (JSON)."
EXAMPLE_INFER_REQUEST: dict[str, Any] = {
    "inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["move 50 dollars to savings"]}],
    "outputs": [{"name": "label"}, {"name": "probabilities", "parameters": {"classification": 2}}],
}
EXAMPLE_INFER_ANSWER: dict[str, Any] = {
    "model_name": "clinc150",
    "model_version": "1",
    "outputs": [
        {"name": "label", "datatype": "BYTES", "shape": [1], "data": ["transfer"]},
        {
            "name": "probabilities",
            "datatype": "BYTES",
            "shape": [1, 2],
            "data": ["0.930000:117:transfer", "0.020000:3:balance"],
        },
    ],
    "parameters": {"calibration": "9f2c61d0a1b4"},
}


class InferParameters(BaseModel):
    """Whatever else stands here is for other servers."""

    top_k: Annotated[
        int | None, Field(ge=1, description="`probabilities` of the k most probable classes; 0 for the others.")
    ] = None
    temperature: Annotated[
        float | None,
        Field(
            ge=TEMPERATURE_RANGE[0],
            le=TEMPERATURE_RANGE[1],
            description="Show numbers at this temperature, not the fitted one.",
        ),
    ] = None
    profile: Annotated[
        str | None, Field(max_length=128, description="One of the card's [routing.profiles], with its own threshold.")
    ] = None
    timeout: Annotated[
        int, Field(ge=0, description="Microseconds in which to reach the graph; 0: as the server says.")
    ] = 0
    binary_data_output: Annotated[bool, Field(description="All outputs as bytes behind the JSON.")] = False


class TensorParameters(BaseModel):
    binary_data_size: Annotated[
        int | None, Field(ge=0, description="So many bytes behind the JSON are this tensor's, instead of `data`.")
    ] = None


class InferTensor(BaseModel):
    name: Annotated[str, Field(description="An input of the model; of one that takes texts, mostly `text`.")]
    datatype: Datatype
    shape: Annotated[list[Annotated[int, Field(ge=0)]], Field(description="The rows first.")]
    data: Annotated[list[Any] | None, Field(description="Row-major, in one list or nested as `shape` says.")] = None
    parameters: TensorParameters | None = None


class OutputParameters(BaseModel):
    classification: Annotated[
        int, Field(ge=0, description="Of logits or probabilities the k best, as value:index:label.")
    ] = 0
    binary_data: Annotated[bool | None, Field(description="As bytes behind the JSON.")] = None


class InferOutput(BaseModel):
    name: Annotated[str, Field(description=OUTPUT)]
    parameters: OutputParameters | None = None


class InferRequest(BaseModel):
    """Tensors to classify, and the outputs wanted. What it says beside this is for other servers."""

    inputs: list[InferTensor]
    outputs: Annotated[list[InferOutput] | None, Field(description="Left out: all of them.")] = None
    parameters: InferParameters | None = None
    id: Annotated[str | None, Field(max_length=128, description="Echoed in the answer.")] = None


class BinarySize(Exact):
    binary_data_size: int


class OutputTensor(Exact):
    """Rows without finite logits have zeros, and the label "": `non_finite_rows` names them."""

    name: Annotated[str, Field(description=OUTPUT)]
    datatype: Datatype
    shape: list[int]
    data: Annotated[list[float] | list[str] | None, Field(description="Row-major, in one list.")] = None
    parameters: BinarySize | None = None


class AnswerParameters(Exact):
    calibration: Annotated[str | None, Field(description="First 12 hex digits of the calibration's digest.")] = None
    non_finite_rows: Annotated[
        str | None, Field(description="The rows without finite logits or without an answer, as a list in JSON.")
    ] = None


class InferAnswer(Exact):
    model_name: str
    model_version: str
    outputs: list[OutputTensor]
    id: str | None = None
    parameters: AnswerParameters | None = None


class Refusal(Exact):
    error: Annotated[str, Field(description="What was got and what was wanted.")]


# A body of it begins with as much JSON as the header Inference-Header-Content-Length says.
OCTETS: Mapping[str, Any] = {
    "application/octet-stream": {
        "schema": {
            "type": "string",
            "format": "binary",
            "description": "JSON of so many bytes as the header Inference-Header-Content-Length says, tensors behind.",
        }
    }
}


def refusals() -> dict[int | str, dict[str, Any]]:
    """The error answers of inference, each with an example, as FastAPI's `responses` takes them."""
    form = Refusal.model_json_schema()
    told = {status: (said, detail) for status, (said, _, detail) in PROBLEMS.items()}
    told[501] = ("Shared memory", "Expected tensors in the request and in its answer; there is no shared memory.")
    return {
        status: {"description": said, "content": {"application/json": {"schema": form, "example": {"error": detail}}}}
        for status, (said, detail) in told.items()
    }
