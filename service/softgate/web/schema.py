"""The published form of every request and answer: what OpenAPI documents and a test holds the real answers to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from softgate.numerics.temperature import TEMPERATURE_RANGE
from softgate.web import errors

Probability = Annotated[float, Field(ge=0, le=1)]
# What the docs page offers to try, by the name it shows.
EXAMPLE_REQUESTS: dict[str, dict[str, Any]] = {
    "a sentence, its three most probable classes": {"inputs": ["move 50 dollars to savings"], "top_k": 3},
    "several sentences, everything about them": {
        "inputs": ["move 50 dollars to savings", "will it rain tomorrow", "who won the cup in 1998"],
        "id": "batch-7",
        "logits": True,
    },
    "the classes that hold 95 % of the probability": {"inputs": "what is my balance", "top_p": 0.95},
    "shown at another temperature, the decision unchanged": {
        "inputs": "what is my balance",
        "temperature": 3.0,
        "top_k": 5,
    },
    "a label drawn instead of the best, repeatably": {
        "inputs": "what is my balance",
        "select": "sample",
        "seed": 7,
        "top_k": 5,
    },
    "rows of numbers, for a model that takes them": {"inputs": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]},
    "an image in base64, for a model that takes them": {
        "inputs": "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAARElEQVR4nDXGMRGAMBAAsBzHzkuolJeCBHBQB0jAAg"
        "4qoRbqoEhgIlNwzB5Q+z4TSvSOxYgyAojW/t3VQs3Mzcp7eU4fVhgPr7VP6z8AAAAASUVORK5CYII="
    },
}
# The body may be one row itself where the model takes images.
IMAGE_BODIES: Mapping[str, Any] = {
    kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("image/png", "image/jpeg")
}
EXAMPLE_ANSWER: dict[str, Any] = {
    "id": "abc",
    "model": "clinc150",
    "version": "1",
    "calibration": "9f2c61d0a1b4",
    "predictions": [
        {
            "label": "transfer",
            "confidence": 0.93,
            "probabilities": {"transfer": 0.93, "balance": 0.02, "bill_balance": 0.01},
            "margin": 0.91,
            "entropy": 0.41,
            "energy": 12.3,
            "prediction_set": None,
            "decision": {
                "action": "route",
                "target": "banking",
                "confidence": 0.96,
                "threshold": 0.71,
                "reason": "confident",
            },
        }
    ],
}
EXAMPLE_RANK_REQUEST: dict[str, Any] = {
    "inputs": ["what is my balance", "move 50 dollars to savings", "will it rain tomorrow"],
    "label": "transfer",
}
EXAMPLE_RANK_ANSWER: dict[str, Any] = {
    "id": None,
    "model": "clinc150",
    "version": "1",
    "calibration": "9f2c61d0a1b4",
    "label": "transfer",
    "ranking": [
        {"index": 1, "probability": 0.9993},
        {"index": 0, "probability": 0.0021},
        {"index": 2, "probability": 0.0001},
    ],
}
# Status → what it means, and a code and detail that come with it.
PROBLEMS: Mapping[int, tuple[str, str, str]] = {
    400: ("The body is not what the model takes", "shape_mismatch", "Expected 4 features per row; row 2 has 3."),
    404: ("No such model, or not this version", "unknown_model", "Expected the name of a served model: clinc150."),
    413: ("The body is too large", "body_too_large", "Expected a body of at most 4194304 bytes; got 9000000."),
    415: (
        "The body is compressed",
        "unsupported_encoding",
        "Expected a body without Content-Encoding; got a compressed one.",
    ),
    429: (
        "The queue is full",
        "overloaded",
        "Expected at most 1024 rows in the queue; it holds 1020, and 32 more came.",
    ),
    500: ("The graph failed", "engine_failed", errors.UNTOLD),
    503: ("The model is still loading", "not_ready", "clinc150 is not ready yet."),
}
EXAMPLE_REQUEST_ID = "5f0c8a1f6f0e4b7a"


class Exact(BaseModel):
    """A form without room for anything unnamed."""

    model_config = ConfigDict(extra="forbid")


Inputs = str | dict[str, Any] | list[Any]
INPUTS = (
    "One row or a list of rows: texts, pairs of texts, lists of numbers as deep as the model takes them, objects by "
    "column name, images as base64."
)


class PredictRequest(Exact):
    """Rows to classify, and what to show of the answer. Nothing here changes a decision but `profile`."""

    model_config = ConfigDict(json_schema_extra={"examples": list(EXAMPLE_REQUESTS.values())})

    inputs: Annotated[Inputs, Field(description=INPUTS)]
    id: Annotated[str | None, Field(max_length=128, description="Echoed in the answer.")] = None
    top_k: Annotated[int | None, Field(ge=1, description="Show the k most probable classes.")] = None
    top_p: Annotated[
        float | None, Field(gt=0, le=1, description="Show the most probable classes up to this mass; after top_k.")
    ] = None
    logits: Annotated[bool, Field(description="Show the logits too, in the order of the labels.")] = False
    temperature: Annotated[
        float | None,
        Field(
            ge=TEMPERATURE_RANGE[0],
            le=TEMPERATURE_RANGE[1],
            description="Show scores at this temperature, not the fitted one.",
        ),
    ] = None
    select: Annotated[
        Literal["argmax", "sample"], Field(description="The label: the most probable, or drawn from the classes shown.")
    ] = "argmax"
    seed: Annotated[int | None, Field(ge=0, le=2**63 - 1, description="Makes `sample` repeatable.")] = None
    profile: Annotated[
        str | None, Field(max_length=128, description="One of the card's [routing.profiles], with its own threshold.")
    ] = None


def query_parameters() -> list[dict[str, Any]]:
    """What a body that is an image leaves to the query string."""
    properties = PredictRequest.model_json_schema()["properties"]
    return [
        {
            "name": name,
            "in": "query",
            "description": f"With a body that is an image: {field.get('description', name)}",
            "schema": {key: value for key, value in field.items() if key not in ("title", "description")},
        }
        for name, field in properties.items()
        if name != "inputs"
    ]


class Candidate(Exact):
    target: str
    confidence: Probability
    labels: dict[str, Probability]


class Decision(Exact):
    """Where to send the row, and why. `target` is null where a clarifying question should be asked."""

    action: Literal["route", "clarify", "fallback", "abstain"]
    target: str | None
    confidence: Annotated[Probability | None, Field(description="Probability of the most probable route.")]
    threshold: Annotated[Probability | None, Field(description="The least confidence at which the action is `route`.")]
    reason: Literal[
        "confident", "ambiguous", "below_threshold", "out_of_scope", "non_finite", "uncalibrated", "no_label"
    ]
    candidates: Annotated[list[Candidate], Field(description="Only for `clarify`: the routes to offer.")] = []
    targets: Annotated[
        list[str] | None, Field(description="Only where several labels may hold: the routes of all that do.")
    ] = None


class Prediction(Exact):
    """Scores are null, and `probabilities` empty, where the graph gave a NaN or an infinity."""

    label: str | None
    confidence: Annotated[Probability | None, Field(description="Probability of `label`.")]
    probabilities: Annotated[dict[str, Probability], Field(description="Most probable first; cut, not renormalised.")]
    margin: Annotated[Probability | None, Field(description="Lead of the first over the second.")]
    entropy: Annotated[float | None, Field(description="In nats.")]
    energy: Annotated[
        float | None, Field(description="T·logsumexp(z/T): high means familiar. Null where the graph gives no logits.")
    ]
    prediction_set: Annotated[list[str] | None, Field(description="Null where the calibration holds no set quantile.")]
    decision: Decision
    labels: Annotated[
        list[str] | None,
        Field(description="Only where several may hold: those at their threshold; `label` is the first, null if none."),
    ] = None
    logits: Annotated[list[float | None] | None, Field(description="Only where asked for.")] = None


class PredictAnswer(Exact):
    id: str | None
    model: str
    version: str
    calibration: Annotated[str | None, Field(description="First 12 hex digits of the calibration's digest.")]
    predictions: list[Prediction]


class Problem(Exact):
    """An RFC 9457 problem. `code` never changes; `detail` says what was got and what was wanted."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str


class RankRequest(Exact):
    """Candidates to rank: by the probability of a label, or, of a one-logit graph, against each other."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_RANK_REQUEST]})

    inputs: Annotated[Inputs, Field(description=f"The candidates. {INPUTS}")]
    query: Annotated[
        str | None, Field(description="Makes a pair of texts with each candidate, for a model that takes pairs.")
    ] = None
    label: Annotated[
        str | None, Field(max_length=128, description="Ranked by its probability; left out only for one-logit graphs.")
    ] = None
    id: Annotated[str | None, Field(max_length=128, description="Echoed in the answer.")] = None
    top_k: Annotated[int | None, Field(ge=1, description="Answer the best k alone.")] = None


class Ranked(Exact):
    index: Annotated[int, Field(ge=0, description="Place among the candidates sent.")]
    probability: Annotated[
        Probability | None, Field(description="Null, and last, where the graph gave a NaN or an infinity.")
    ]


class RankAnswer(Exact):
    id: str | None
    model: str
    version: str
    calibration: str | None
    label: Annotated[str | None, Field(description="Null: a softmax over the candidates, which adds up to 1.")]
    ranking: Annotated[list[Ranked], Field(description="The best first.")]


class ModelSummary(Exact):
    name: str
    version: str
    ready: bool
    input: Annotated[str, Field(description="Kind of the rows: text, tensor or image.")]
    activation: str
    n_labels: int
    calibration: str | None


class ModelList(Exact):
    models: list[ModelSummary]


class Calibration(Exact):
    id: str
    temperature: float
    noise: Annotated[float | None, Field(description="Share of labels the fit took for wrong.")]
    gate: float | None
    set_quantile: float | None
    thresholds: dict[str, Probability]
    evidence: dict[str, Any]


class Model(ModelSummary):
    sha256: str
    labels: Annotated[list[str], Field(description="In the order of the graph's columns, and of `logits`.")]
    card: Annotated[dict[str, Any], Field(description="classifier.toml as it was written; defaults are not filled in.")]
    calibration_detail: Calibration | None


class Health(Exact):
    status: Literal["ok", "not ready"]
    models: Annotated[dict[str, str] | None, Field(description="Only for ?verbose: `ready`, or why not, by model.")] = (
        None
    )


@dataclass(frozen=True, slots=True)
class Published:
    """A path that a protocol answers, as the docs page shows it."""

    protocol: str
    paths: Mapping[str, str]
    """Path → what it does in a few words."""
    description: str
    bodies: Mapping[str, Any]
    answer: type[Exact]
    example: Mapping[str, Any]
    query: Sequence[Mapping[str, Any]] = ()


PUBLISHED = (
    Published(
        protocol="native",
        paths={
            "/v1/models/{model}/predict": "Classify rows",
            "/v1/models/{model}/versions/{version}/predict": "Classify rows with a version named",
        },
        description="Classify rows: calibrated probabilities and a decision with its reason for each.",
        bodies={
            "application/json": {
                "schema": PredictRequest.model_json_schema(),
                "examples": {name: {"value": value} for name, value in EXAMPLE_REQUESTS.items()},
            },
            **IMAGE_BODIES,
        },
        answer=PredictAnswer,
        example=EXAMPLE_ANSWER,
        query=query_parameters(),
    ),
    Published(
        protocol="rank",
        paths={
            "/v1/models/{model}/rank": "Rank candidates",
            "/v1/models/{model}/versions/{version}/rank": "Rank candidates with a version named",
        },
        description="Rank candidates, the best first. They are no traffic: no decision of theirs is counted.",
        bodies={
            "application/json": {
                "schema": RankRequest.model_json_schema(),
                "examples": {"the sentence likeliest to be a transfer": {"value": EXAMPLE_RANK_REQUEST}},
            }
        },
        answer=RankAnswer,
        example=EXAMPLE_RANK_ANSWER,
    ),
)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of a path, each with an example, as FastAPI's `responses` takes them."""
    form = Problem.model_json_schema()
    found: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        description, code, detail = PROBLEMS[status]
        example = msgspec.json.decode(
            errors.encode(errors.Problem(status, code, detail), request_id=EXAMPLE_REQUEST_ID)
        )
        found[status] = {
            "description": description,
            "content": {errors.PROBLEM_JSON: {"schema": form, "example": example}},
        }
    return found


def without_input() -> dict[int | str, dict[str, Any]]:
    """For a path that takes nothing a client could get wrong; keeps FastAPI from documenting its own 422."""
    return {
        "4XX": {"description": "Refused", "content": {errors.PROBLEM_JSON: {"schema": Problem.model_json_schema()}}}
    }
