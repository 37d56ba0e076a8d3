"""What every protocol is to the layers around it."""

import math
from collections.abc import Callable
from typing import NamedTuple
from typing import Protocol as Interface

from softgate.policy.batch import Part
from softgate.policy.classifier import Classifier
from softgate.policy.readout import Readout
from softgate.types import Rows, View
from softgate.web.errors import Problem
from softgate.web.head import Headers


# Written out, for each request makes one of each: a frozen dataclass takes three times as long to make.
class Request:
    """A whole request, as the edge read it."""

    __slots__ = ("body", "content_type", "expires_at", "headers", "model", "query", "started", "version")

    def __init__(
        self,
        model: str,
        version: str | None,
        *,
        content_type: bytes,
        headers: Headers,
        body: bytes,
        started: float,
        query: bytes = b"",
        expires_at: float = math.inf,
    ) -> None:
        """`started` and `expires_at` by the clock: when it arrived, and when it must have got to the graph."""
        self.model = model
        self.version = version
        """As its path names them."""
        self.query = query
        """What stands behind the question mark, still encoded."""
        self.content_type = content_type
        self.headers = headers
        """Names in lower case, values as they were sent."""
        self.body = body
        """As it was before it was compressed, where it was."""
        self.started = started
        self.expires_at = expires_at

    @property
    def seconds_left(self) -> float:
        """From its arrival."""
        return self.expires_at - self.started


class Call:
    """What a request comes to: rows for a classifier, and how its predictions are written."""

    __slots__ = ("classifier", "counted", "encode", "expires_at", "fall_back", "profile", "rows", "view")

    def __init__(
        self,
        classifier: Classifier,
        rows: Rows,
        encode: "Callable[[Part], Answer]",
        *,
        profile: str | None = None,
        counted: bool = True,
        fall_back: "Callable[[Readout], Answer] | None" = None,
        expires_at: float = math.inf,
        view: View | None = None,
    ) -> None:
        self.classifier = classifier
        self.rows = rows
        self.encode = encode
        self.profile = profile
        self.counted = counted
        self.fall_back = fall_back
        """The answer that says for each row to fall back, where the model's card wants one."""
        self.expires_at = expires_at
        """As a request's, where its body says so too: the earlier counts."""
        self.view = view
        """What its answer shows; None where that is not all that the answer tells."""


class Answer(NamedTuple):
    """A whole answer: protocols never stream one piece by piece."""

    body: bytes
    content_type: bytes = b"application/json"
    status: int = 200
    headers: Headers = ()
    """What it says beside its length and the type of its content."""
    cause: BaseException | None = None
    """What went wrong, where the answer tells the client to fall back instead."""


class Protocol(Interface):
    """A thin dialect over the one use case: decode and encode. The edge calls the classifier in between."""

    def match(self, method: str, path: str) -> tuple[str, str | None] | None:
        """The model and the version that a path of this protocol predicts with; None for all other paths."""

    def owns(self, path: str) -> bool:
        """Whether what goes wrong at this path, whatever the method, is told in this protocol's own form."""

    def read(self, request: Request) -> Call:
        """What a request that matched asks for. Raises SoftgateError."""

    def refuse(self, problem: Problem, *, request_id: str) -> Answer:
        """An error in this protocol's own form."""
