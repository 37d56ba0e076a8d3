"""Errors as RFC 9457 problems. The only table from our errors to status codes."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import getrandbits

import msgspec

from softgate import errors
from softgate.errors import SoftgateError

PROBLEM_JSON = "application/problem+json"
# What an operator must mend is logged for the operator; the client learns that it was not the client's fault.
UNTOLD = "The server failed to answer; its log holds the reason under this request_id."

STATUS: Mapping[type[SoftgateError], int] = {
    errors.SoftgateError: 500,
    errors.InvalidInput: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.BodyTooLarge: 413,
    errors.RequestTimeout: 408,
    errors.HeadersTooLarge: 431,
    errors.HttpVersionUnsupported: 505,
    errors.UnsupportedEncoding: 415,
    errors.UnsupportedExtension: 501,
    errors.UnknownModel: 404,
    errors.ReloadFailed: 409,
    errors.Overloaded: 429,
    errors.DeadlineExceeded: 504,
    errors.NotReady: 503,
}
# Paths, methods and bodies that are no text are not softgate's errors but HTTP's; they have codes all the same.
HTTP_CODES: Mapping[int, str] = {400: errors.InvalidInput.code, 404: "not_found", 405: "method_not_allowed"}
HTTP_DETAILS: Mapping[int, str] = {
    400: "Expected a body of the form that /docs lists.",
    404: "Expected a path of the API; /docs lists them.",
    405: "Expected another method for this path; the Allow header names it.",
}


@dataclass(frozen=True, slots=True)
class Problem:
    status: int
    code: str
    detail: str

    @property
    def title(self) -> str:
        return self.code.replace("_", " ").capitalize()


def problem(exc: BaseException, *, overload_status: int = STATUS[errors.Overloaded]) -> Problem:
    """The problem to tell a client of. Foreign exceptions and our own 500s say nothing but their code."""
    if isinstance(exc, errors.Overloaded):
        return Problem(overload_status, exc.code, str(exc))
    if not isinstance(exc, SoftgateError):
        return Problem(500, SoftgateError.code, UNTOLD)
    status = next(STATUS[kind] for kind in type(exc).__mro__ if kind in STATUS)
    return Problem(status, exc.code, UNTOLD if status == 500 else str(exc))


def encode(problem: Problem, *, request_id: str) -> bytes:
    """The body of an application/problem+json answer."""
    return msgspec.json.encode(
        {
            "type": f"urn:softgate:error:{problem.code}",
            "title": problem.title,
            "status": problem.status,
            "detail": problem.detail,
            "code": problem.code,
            "request_id": request_id,
        }
    )


def more_headers(status: int) -> list[tuple[bytes, bytes]]:
    """What an answer of this status says beside its body; to retry in 1 to 4 seconds, not all in the same."""
    if status == 401:
        return [(b"www-authenticate", b'Bearer realm="softgate"')]
    return [(b"retry-after", b"%d" % (1 + getrandbits(2)))] if status in (429, 503) else []


def codes() -> list[str]:
    """Every code that an answer may carry, sorted."""
    found, kinds = set(HTTP_CODES.values()), [SoftgateError]
    while kinds:
        kind = kinds.pop()
        found.add(kind.code)
        kinds.extend(kind.__subclasses__())
    return sorted(found)
