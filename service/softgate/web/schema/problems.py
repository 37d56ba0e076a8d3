"""What a client gets instead of an answer, as the paths document it."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from softgate.web import errors
from softgate.web.protocols import Answer
from softgate.web.schema.form import Exact

# Status → what it means, and a code and detail that come with it.
PROBLEMS: Mapping[int, tuple[str, str, str]] = {
    400: ("The body is not what the model takes", "shape_mismatch", "Expected 4 features per row; row 2 has 3."),
    401: (
        "No token, or none that the server knows",
        "unauthenticated",
        "Expected a token that this server knows, in the header Authorization: Bearer TOKEN.",
    ),
    403: ("The token is not good for this", "forbidden", "Expected a token with the scope predict."),
    404: ("No such model, or not this version", "unknown_model", "Expected the name of a served model: clinc150."),
    408: ("The request did not come in time", "request_timeout", "Expected the end of the body in time."),
    413: ("The body is too large", "body_too_large", "Expected a body of at most 4194304 bytes; got 9000000."),
    415: (
        "The body is compressed in another way than gzip or deflate, or lines are compressed",
        "unsupported_encoding",
        "Expected a body without Content-Encoding, or one of gzip or deflate.",
    ),
    431: (
        "The request line and headers are too large",
        "headers_too_large",
        "Expected a request line and headers of at most 16384 bytes, and at most 100 headers.",
    ),
    429: (
        "The queue is full",
        "overloaded",
        "Expected at most 1024 rows in the queue; it holds 1020, and 32 more came.",
    ),
    504: (
        "The request waited too long",
        "deadline_exceeded",
        "Expected to reach the graph before the request's deadline; 30000 ms in the queue were too long.",
    ),
    500: ("The graph failed", "engine_failed", errors.UNTOLD),
    503: ("The model is still loading", "not_ready", "clinc150 is not ready yet."),
    505: ("Another version of HTTP", "http_version_unsupported", "Expected HTTP/1.1 or HTTP/1.0."),
}
OF_ADMIN: Mapping[int, tuple[str, str, str]] = {
    409: ("Nothing was exchanged", "reload_failed", "Nothing was served before."),
}
EXAMPLE_REQUEST_ID = "5f0c8a1f6f0e4b7a"


class Problem(Exact):
    """An RFC 9457 problem. `code` never changes; `detail` says what was got and what was wanted."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of a path, each with an example, as FastAPI's `responses` takes them."""

    def refuse(problem: errors.Problem, *, request_id: str) -> Answer:
        return Answer(errors.encode(problem, request_id=request_id), errors.PROBLEM_JSON.encode(), problem.status)

    return refusals_of(*statuses, form=Problem, refuse=refuse)


def refusals_of(*statuses: int, form: type[Exact], refuse: Callable[..., Answer]) -> dict[int | str, dict[str, Any]]:
    """The same in a protocol's own form."""
    schema = form.model_json_schema()
    found: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        description, code, detail = {**PROBLEMS, **OF_ADMIN}[status]
        answer = refuse(errors.Problem(status, code, detail), request_id=EXAMPLE_REQUEST_ID)
        content = {"schema": schema, "example": msgspec.json.decode(answer.body)}
        found[status] = {"description": description, "content": {answer.content_type.decode(): content}}
    return found


def without_input() -> dict[int | str, dict[str, Any]]:
    """For a path that takes nothing a client could get wrong; keeps FastAPI from documenting its own 422."""
    return {
        "4XX": {"description": "Refused", "content": {errors.PROBLEM_JSON: {"schema": Problem.model_json_schema()}}}
    }
