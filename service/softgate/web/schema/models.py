"""What is told of the models served, and whether they are ready."""

from typing import Annotated, Any, Literal

from pydantic import Field

from softgate.web.schema.form import Exact, Probability


class ModelSummary(Exact):
    name: str
    version: str
    ready: bool
    input: Annotated[str, Field(description="Kind of the rows: text, tensor or image.")]
    activation: str
    n_labels: int
    runs_on: Annotated[str | None, Field(description="loop, thread or mixed; null until it is ready.")]
    threads: Annotated[int | None, Field(description="That share one run of the graph; null until it is ready.")]
    parallel_runs: Annotated[int | None, Field(description="Of the graph at a time; null until it is ready.")]
    microseconds_per_row: Annotated[
        dict[str, float] | None,
        Field(description="Of made-up rows, by their number in a run, measured at the start; null until it is ready."),
    ]
    calibration: str | None


class ModelList(Exact):
    models: list[ModelSummary]


class Calibration(Exact):
    id: str
    temperature: Annotated[
        float | list[float], Field(description="What logits are divided by; a list has one for each label, in order.")
    ]
    bias: Annotated[
        list[float] | None, Field(description="Added to the divided logits, one for each label; null: nothing is.")
    ]
    noise: Annotated[float | None, Field(description="Share of labels the fit took for wrong.")]
    gate: float | None
    set_quantile: Annotated[
        Probability | list[Probability] | None,
        Field(description="Score up to which a label is in the prediction set; a list has one for each label."),
    ]
    set_score: Annotated[
        str, Field(description="What the quantile is of: `topp`, the mass before a label, or `lac`, 1 less its own.")
    ]
    thresholds: Annotated[dict[str, Probability], Field(description="Fitted, by profile.")]
    route_thresholds: Annotated[
        dict[str, dict[str, Probability]],
        Field(description="Fitted, by profile and route, or label where several may hold; these come first."),
    ]
    reference: Annotated[dict[str, Any], Field(description="What traffic is compared with.")]
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
    reload: Annotated[
        str | None, Field(description="Only for ?verbose: how the latest reload ended, and why where it failed.")
    ] = None


class Reloaded(Exact):
    outcome: Literal["ok", "rolled_back"]
