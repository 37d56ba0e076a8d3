"""What a client of the native protocol sends."""

from typing import Annotated, Literal

import msgspec

from softgate.numerics.temperature import TEMPERATURE_RANGE


class PredictBody(msgspec.Struct, forbid_unknown_fields=True):
    """The wire's request."""

    inputs: msgspec.Raw
    id: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    top_k: Annotated[int, msgspec.Meta(ge=1)] | None = None
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    logits: bool = False
    temperature: Annotated[float, msgspec.Meta(ge=TEMPERATURE_RANGE[0], le=TEMPERATURE_RANGE[1])] | None = None
    select: Literal["argmax", "sample"] = "argmax"
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None = None
    profile: Annotated[str, msgspec.Meta(max_length=128)] | None = None


class RowBody(PredictBody, forbid_unknown_fields=True):
    """The same for one row of numbers."""

    inputs: list[float]  # type: ignore[assignment]  # read at once, not left for later


class RowsBody(PredictBody, forbid_unknown_fields=True):
    """The same for several."""

    inputs: list[list[float]]  # type: ignore[assignment]
