"""What each method of the service answers. Who may ask, how an error is told and what is counted is the service's."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from softgate.policy.catalogue import Catalogue
from softgate.web import calls
from softgate.web.grpc import inference
from softgate.web.grpc.messages import MESSAGES
from softgate.web.protocols.open_inference.inference import find
from softgate.web.protocols.protocol import Answer


class Asked(NamedTuple):
    """A message that is there."""

    message: Any
    started: float
    """The clock's value when the request arrived."""
    expires_at: float
    """The clock's value when it must have got to the graph."""


class Methods:
    def __init__(self, catalogue: Catalogue, *, clock: Callable[[], float]) -> None:
        self._catalogue = catalogue
        self._clock = clock

    async def server_live(self, asked: Asked) -> Answer:
        return _answer("ServerLiveResponse", live=True)

    async def server_ready(self, asked: Asked) -> Answer:
        return _answer("ServerReadyResponse", ready=self._catalogue.ready)

    async def model_ready(self, asked: Asked) -> Answer:
        """Raises UnknownModel."""
        name = asked.message.name
        classifier = find(self._catalogue, name, asked.message.version or None)
        return _answer("ModelReadyResponse", ready=classifier is not None)

    async def model_infer(self, asked: Asked) -> Answer:
        """Raises SoftgateError."""
        started, expires_at = asked.started, asked.expires_at
        call = inference.call(asked.message, self._catalogue, started=started, expires_at=expires_at)
        return await calls.answered(call, started=started, expires_at=expires_at, clock=self._clock)


class Method(NamedTuple):
    request: str
    """The name of its message."""
    answer: Callable[[Methods, Asked], Awaitable[Answer]]
    scope: str | None
    """Of the token that it takes; None: it takes none."""
    model: Callable[[Any], str] = lambda _: ""
    """The one that a message names; empty where it names none."""


def _answer(name: str, **fields: object) -> Answer:
    return Answer(MESSAGES[name](**fields).SerializeToString())


def _named(message: Any) -> str:
    return str(message.name)


def _model_named(message: Any) -> str:
    return str(message.model_name)


# To add one: write it above and name it here, and its messages in `messages.py`.
METHODS: Mapping[str, Method] = {
    "ServerLive": Method("ServerLiveRequest", Methods.server_live, scope=None),
    "ServerReady": Method("ServerReadyRequest", Methods.server_ready, scope=None),
    "ModelReady": Method("ModelReadyRequest", Methods.model_ready, scope="read", model=_named),
    "ModelInfer": Method("ModelInferRequest", Methods.model_infer, scope="predict", model=_model_named),
}
