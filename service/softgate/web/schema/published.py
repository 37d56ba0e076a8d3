"""The paths that the protocols answer, as the docs page shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from softgate.web.protocols.hugging_face import HuggingFace
from softgate.web.protocols.rasa import Rasa
from softgate.web.protocols.text_embeddings import TextEmbeddings
from softgate.web.schema.answers import (
    EXAMPLE_ANSWER,
    EXAMPLE_LINES_ANSWER,
    EXAMPLE_RANK_ANSWER,
    PredictAnswer,
    RankAnswer,
    Refused,
)
from softgate.web.schema.dialects import (
    EXAMPLE_HUGGING_FACE_REQUESTS,
    EXAMPLE_RASA_ANSWER,
    EXAMPLE_RASA_REQUESTS,
    EXAMPLE_SCORES,
    EXAMPLE_TEXT_EMBEDDINGS_REQUESTS,
    HuggingFaceError,
    HuggingFaceRequest,
    LabelScore,
    RasaAnswer,
    RasaError,
    RasaRequest,
    TextEmbeddingsError,
    TextEmbeddingsRequest,
)
from softgate.web.schema.form import alone
from softgate.web.schema.inference import (
    EXAMPLE_INFER_ANSWER,
    EXAMPLE_INFER_REQUEST,
    OCTETS,
    InferAnswer,
    InferRequest,
    refusals,
)
from softgate.web.schema.problems import PROBLEMS, problems, refusals_of
from softgate.web.schema.requests import (
    EXAMPLE_LINES,
    EXAMPLE_RANK_REQUEST,
    EXAMPLE_REQUESTS,
    LINES,
    PredictRequest,
    RankRequest,
)

# The body may be one row itself where the model takes images.
IMAGE_BODIES: Mapping[str, Any] = {
    kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("image/png", "image/jpeg")
}
NDJSON = "application/x-ndjson"
LINES_BODY: Mapping[str, Any] = {
    NDJSON: {"schema": {"type": "string", "description": LINES}, "examples": {"lines": {"value": EXAMPLE_LINES}}}
}
# The form of one line; a prediction's is among the document's components, for the answer in JSON is made of them.
LINES_ANSWER: Mapping[str, Any] = {
    NDJSON: {
        "schema": {
            "description": "Of each line, in the order of those sent.",
            "anyOf": [{"$ref": "#/components/schemas/Prediction"}, alone(Refused)],
        },
        "examples": {"lines": {"value": EXAMPLE_LINES_ANSWER}},
    }
}


@dataclass(frozen=True, slots=True)
class Published:
    """A path that a protocol answers, as the docs page shows it."""

    protocol: str
    paths: Mapping[str, str]
    """Path → what it does in a few words."""
    description: str
    bodies: Mapping[str, Any]
    answer: Any
    """Its form: a model, or lists of one."""
    example: Any
    query: Sequence[Mapping[str, Any]] = ()
    streams: Mapping[str, Any] = field(default_factory=dict)
    """Media type → what the answer to a body of it is, where it is of that type too."""
    refused: Mapping[int | str, Any] = field(default_factory=lambda: problems(*PROBLEMS))
    """Status → what is answered instead."""


def query_parameters() -> list[dict[str, Any]]:
    """What a body that is an image or NDJSON leaves to the query string."""
    properties = alone(PredictRequest)["properties"]
    return [
        {
            "name": name,
            "in": "query",
            "description": f"{_beside(name)}: {field.get('description', name)}",
            "schema": {key: value for key, value in field.items() if key not in ("title", "description")},
        }
        for name, field in properties.items()
        if name != "inputs"
    ]


def _beside(name: str) -> str:
    return "With a body that is an image" + ("" if name == "id" else " or NDJSON")


def _json(form: type[BaseModel], examples: Mapping[str, Any]) -> Mapping[str, Any]:
    named = {name: {"value": value} for name, value in examples.items()}
    return {"application/json": {"schema": alone(form), "examples": named}}


PUBLISHED = (
    Published(
        protocol="native",
        paths={
            "/v1/models/{model}/predict": "Classify rows",
            "/v1/models/{model}/versions/{version}/predict": "Classify rows with a version named",
        },
        description="Classify rows: calibrated probabilities and a decision with its reason for each.",
        bodies={**_json(PredictRequest, EXAMPLE_REQUESTS), **IMAGE_BODIES, **LINES_BODY},
        answer=PredictAnswer,
        example=EXAMPLE_ANSWER,
        query=query_parameters(),
        streams=LINES_ANSWER,
    ),
    Published(
        protocol="rank",
        paths={
            "/v1/models/{model}/rank": "Rank candidates",
            "/v1/models/{model}/versions/{version}/rank": "Rank candidates with a version named",
        },
        description="Rank candidates, the best first. They are no traffic: no decision of theirs is counted.",
        bodies=_json(RankRequest, {"the sentence likeliest to be a transfer": EXAMPLE_RANK_REQUEST}),
        answer=RankAnswer,
        example=EXAMPLE_RANK_ANSWER,
    ),
    Published(
        protocol="open_inference",
        paths={
            "/v2/models/{model}/infer": "Classify tensors",
            "/v2/models/{model}/versions/{version}/infer": "Classify tensors with a version named",
        },
        description="The Open Inference Protocol, version 2: calibrated probabilities and decisions as tensors.",
        bodies={
            "application/json": {
                "schema": alone(InferRequest),
                "examples": {"a sentence, its label and two best classes": {"value": EXAMPLE_INFER_REQUEST}},
            },
            **OCTETS,
        },
        answer=InferAnswer,
        example=EXAMPLE_INFER_ANSWER,
        streams=OCTETS,
        refused=refusals(),
    ),
    Published(
        protocol="hugging_face",
        paths={
            "/models/{model}": "Classify texts, as the Hugging Face Inference API",
            "/": "Classify texts with the default model, as the Hugging Face Inference API",
        },
        description="Labels with their calibrated probabilities. Decisions are made and counted, and not shown.",
        bodies=_json(HuggingFaceRequest, EXAMPLE_HUGGING_FACE_REQUESTS),
        answer=list[list[LabelScore]],
        example=[EXAMPLE_SCORES],
        refused=refusals_of(*PROBLEMS, form=HuggingFaceError, refuse=HuggingFace.refuse),
    ),
    Published(
        protocol="text_embeddings",
        paths={"/predict": "Classify texts, as Text Embeddings Inference"},
        description="Labels with their calibrated probabilities. Decisions are made and counted, and not shown.",
        bodies=_json(TextEmbeddingsRequest, EXAMPLE_TEXT_EMBEDDINGS_REQUESTS),
        answer=list[LabelScore] | list[list[LabelScore]],
        example=EXAMPLE_SCORES,
        refused=refusals_of(*PROBLEMS, form=TextEmbeddingsError, refuse=TextEmbeddings.refuse),
    ),
    Published(
        protocol="rasa",
        paths={"/model/parse": "Parse a message, as Rasa"},
        description="The intent of a message; `nlu_fallback` where the decision is not to route.",
        bodies=_json(RasaRequest, EXAMPLE_RASA_REQUESTS),
        answer=RasaAnswer,
        example=EXAMPLE_RASA_ANSWER,
        refused=refusals_of(*PROBLEMS, form=RasaError, refuse=Rasa.refuse),
    ),
)
