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
