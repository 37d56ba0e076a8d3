"""What every published form is made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0, le=1)]


class Exact(BaseModel):
    """A form without room for anything unnamed."""

    model_config = ConfigDict(extra="forbid")
