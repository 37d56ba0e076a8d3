"""What the dialects of other servers send and get, with an example of each; fields not named here are passed over."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from softgate.web.schema.answers import Decision
from softgate.web.schema.form import Exact, Probability
from softgate.web.schema.requests import INPUTS, Inputs

Texts = Annotated[list[str], Field(min_length=1, max_length=2)]

EXAMPLE_HUGGING_FACE_REQUESTS: Mapping[str, Any] = {
    "a sentence, its three most probable classes": {
        "inputs": "move 50 dollars to savings",
        "parameters": {"top_k": 3},
    },
    "several sentences": {"inputs": ["move 50 dollars to savings", "will it rain tomorrow"]},
    "a pair of sentences, for a model that judges one by the other": {
        "inputs": {"text": "move 50 dollars to savings", "text_pair": "will it rain tomorrow"}
    },
    "logits": {"inputs": "will it rain tomorrow", "parameters": {"function_to_apply": "none"}},
}
EXAMPLE_TEXT_EMBEDDINGS_REQUESTS: Mapping[str, Any] = {
    "a sentence": {"inputs": "move 50 dollars to savings"},
    "several sentences": {"inputs": [["move 50 dollars to savings"], ["will it rain tomorrow"]]},
    "logits": {"inputs": "will it rain tomorrow", "raw_scores": True},
}
EXAMPLE_RASA_REQUESTS: Mapping[str, Any] = {
    "a message": {"text": "move 50 dollars to savings", "message_id": "b2831e73"},
}
EXAMPLE_SCORES: list[dict[str, Any]] = [
    {"label": "transfer", "score": 0.93},
    {"label": "balance", "score": 0.02},
    {"label": "bill_balance", "score": 0.01},
]
EXAMPLE_RASA_ANSWER: dict[str, Any] = {
    "text": "move 50 dollars to savings",
    "intent": {"name": "nlu_fallback", "confidence": 0.43},
    "entities": [],
    "intent_ranking": [
        {"name": "nlu_fallback", "confidence": 0.43},
        {"name": "transfer", "confidence": 0.43},
        {"name": "balance", "confidence": 0.12},
    ],
    "softgate": {
        "model": "clinc150",
        "version": "1",
        "calibration": "9f2c61d0a1b4",
        "decision": {
            "action": "fallback",
            "target": "human",
            "confidence": 0.55,
            "threshold": 0.71,
            "reason": "below_threshold",
        },
    },
    "message_id": "b2831e73",
}


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class HuggingFaceRequest(_Open):
    """Rows may be texts, or pairs of them by name or as lists of two."""

    inputs: Annotated[Inputs, Field(description=INPUTS)]
    parameters: Annotated[
        dict[str, Any] | None,
        Field(
            description="`top_k`: show the k most probable classes. `function_to_apply`: `none` for logits, or the "
            "model's own activation, which is applied anyway."
        ),
    ] = None


class LabelScore(Exact):
    label: str
    score: Annotated[float, Field(description="Calibrated probability, or the logit where that was asked for.")]


class HuggingFaceError(Exact):
    error: str


class TextEmbeddingsRequest(_Open):
    """A list of texts is one row, a text or a pair; a list of such lists is a batch."""

    inputs: str | Texts | Annotated[list[Texts], Field(min_length=1)]
    raw_scores: Annotated[bool, Field(description="Show logits.")] = False


class TextEmbeddingsError(Exact):
    error: str
    error_type: Literal["validation", "overloaded", "unhealthy", "backend"]


class RasaRequest(_Open):
    text: str
    message_id: Annotated[str | None, Field(max_length=1024, description="Echoed in the answer.")] = None


class Intent(Exact):
    name: str
    confidence: Probability


class Decided(Exact):
    model: str
    version: str
    calibration: str | None
    decision: Decision


class RasaAnswer(Exact):
    text: str
    intent: Annotated[
        Intent, Field(description="`nlu_fallback` with the confidence of the most probable label, or it.")
    ]
    entities: list[Any]
    intent_ranking: Annotated[list[Intent], Field(description="The ten most probable, `nlu_fallback` before them.")]
    softgate: Annotated[Decided, Field(description="What Rasa has no word for.")]
    message_id: str | None = None


class RasaError(Exact):
    version: str
    status: Literal["failure"]
    message: str
    reason: Annotated[str, Field(description="The error's code, which never changes.")]
    details: dict[str, str]
    help: None = None
    code: Annotated[int, Field(description="The HTTP status.")]
