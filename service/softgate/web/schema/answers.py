"""What a client gets for its rows, with an example of each."""

import json
from typing import Annotated, Any, Literal

from pydantic import Field

from softgate.web.schema.form import Exact, Probability

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
EXAMPLE_LINES_ANSWER = "".join(
    json.dumps(line, separators=(",", ":")) + "\n"
    for line in (
        EXAMPLE_ANSWER["predictions"][0],
        {"line": 2, "code": "malformed_body", "detail": "In the line: Expected `str | array`, got `int`."},
    )
)
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
        "confident",
        "ambiguous",
        "below_threshold",
        "out_of_scope",
        "non_finite",
        "uncalibrated",
        "no_label",
        "overloaded",
        "model_unavailable",
    ]
    candidates: Annotated[list[Candidate], Field(description="Only for `clarify`: the routes to offer.")] = []  # noqa: RUF012 - pydantic copies it
    targets: Annotated[
        list[str] | None, Field(description="Only where several labels may hold: the routes of all that do.")
    ] = None


class Prediction(Exact):
    """Scores are null, and `probabilities` empty, where the graph gave a NaN or an infinity, or no answer at all."""

    label: str | None
    confidence: Annotated[Probability | None, Field(description="Probability of `label`.")]
    probabilities: Annotated[dict[str, Probability], Field(description="Most probable first; cut, not renormalised.")]
    margin: Annotated[Probability | None, Field(description="Lead of the first over the second.")]
    entropy: Annotated[float | None, Field(description="In nats.")]
    energy: Annotated[
        float | None, Field(description="T·logsumexp(z/T): high means familiar. Null where the graph gives no logits.")
    ]
    prediction_set: Annotated[
        list[str] | None,
        Field(description="Null where the calibration holds no set quantile; of the score `lac` it may be empty."),
    ]
    decision: Decision
    labels: Annotated[
        list[str] | None,
        Field(description="Only where several may hold: those at their threshold; `label` is the first, null if none."),
    ] = None
    logits: Annotated[list[float | None] | None, Field(description="Only where asked for.")] = None


class Refused(Exact):
    """What stands for a prediction in a stream, where a line holds no row or the graph failed on it."""

    line: Annotated[int, Field(ge=1, description="Of the body.")]
    code: str
    detail: str


class PredictAnswer(Exact):
    id: str | None
    model: str
    version: str
    calibration: Annotated[str | None, Field(description="First 12 hex digits of the calibration's digest.")]
    predictions: list[Prediction]


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
