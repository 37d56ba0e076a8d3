"""What every published form is made of."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0, le=1)]


class Exact(BaseModel):
    """A form without room for anything unnamed."""

    model_config = ConfigDict(extra="forbid")


def alone(form: type[BaseModel]) -> dict[str, Any]:
    """Its JSON Schema with the forms inside it in their places: an OpenAPI document knows of no `$defs`."""
    schema = form.model_json_schema()
    inner = schema.pop("$defs", {})

    def placed(part: Any) -> Any:
        if isinstance(part, list):
            return [placed(each) for each in part]
        if not isinstance(part, dict):
            return part
        rest = {name: placed(value) for name, value in part.items() if name != "$ref"}
        return placed(inner[part["$ref"].rpartition("/")[2]]) | rest if "$ref" in part else rest

    found: dict[str, Any] = placed(schema)
    return found
