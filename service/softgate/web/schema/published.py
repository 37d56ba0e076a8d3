"""The paths that the protocols answer, as the docs page shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from softgate.web.schema.answers import EXAMPLE_ANSWER, EXAMPLE_RANK_ANSWER, PredictAnswer, RankAnswer
from softgate.web.schema.form import Exact
from softgate.web.schema.requests import EXAMPLE_RANK_REQUEST, EXAMPLE_REQUESTS, PredictRequest, RankRequest

# The body may be one row itself where the model takes images.
IMAGE_BODIES: Mapping[str, Any] = {
    kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("image/png", "image/jpeg")
}


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
