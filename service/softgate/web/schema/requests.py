"""What a client sends, and the examples that the docs page offers to try."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from softgate.numerics.temperature import TEMPERATURE_RANGE
from softgate.web.schema.form import Exact

Inputs = str | dict[str, Any] | list[Any]
INPUTS = (
    "One row or a list of rows: texts, pairs of texts, lists of numbers as deep as the model takes them, objects by "
    "column name, images as base64."
)
LINES = (
    "A row in each line, as JSON: a text, a pair of texts, a list of numbers, an object by column name, an image as "
    "base64. Of any length; everything else stands in the query string."
)
EXAMPLE_LINES = '"move 50 dollars to savings"\n"will it rain tomorrow"\n'
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
EXAMPLE_RANK_REQUEST: dict[str, Any] = {
    "inputs": ["what is my balance", "move 50 dollars to savings", "will it rain tomorrow"],
    "label": "transfer",
}


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
