"""What every protocol is to the layers around it."""

from dataclasses import dataclass
from typing import Protocol as Interface

from softgate.web.errors import Problem


@dataclass(frozen=True, slots=True)
class Request:
    """A whole request, as the edge read it."""

    path: str
    query: bytes
    """What stands behind the question mark, still encoded."""
    content_type: bytes
    body: bytes
    started: float
    """The clock's value when the request arrived."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: protocols never stream one piece by piece."""

    body: bytes
    content_type: bytes = b"application/json"
    status: int = 200


class Protocol(Interface):
    """A thin dialect over the one use case: decode, call the classifier, encode."""

    def matches(self, method: str, path: str) -> bool:
        """Whether a request is this protocol's; asked for every request, so it must be cheap."""

    async def handle(self, request: Request) -> Answer:
        """The answer to a request that matched. Raises SoftgateError."""

    def refuse(self, problem: Problem, *, request_id: str) -> Answer:
        """An error in this protocol's own form."""
