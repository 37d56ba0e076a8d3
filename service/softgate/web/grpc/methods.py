"""What each method of the service answers. Who may ask, how an error is told and what is counted is the service's."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from softgate.errors import NotReady, UnsupportedExtension
from softgate.policy.catalogue import Catalogue
from softgate.web import calls
from softgate.web.grpc import inference
from softgate.web.grpc.departure import Departure
from softgate.web.grpc.messages import MESSAGES
from softgate.web.protocols.open_inference import metadata
from softgate.web.protocols.open_inference.inference import find
from softgate.web.protocols.open_inference.repository import Control
from softgate.web.protocols.protocol import Answer


class Asked(NamedTuple):
    """A message that is there."""

    message: Any
    started: float
    """The clock's value when the request arrived."""
    expires_at: float
    """The clock's value when it must have got to the graph."""


class Methods:
    def __init__(
        self, catalogue: Catalogue, control: Control | None, departure: Departure, *, clock: Callable[[], float]
    ) -> None:
        """`control`: None where models may not be loaded and unloaded."""
        self._catalogue = catalogue
        self._control = control
        self._departure = departure
        self._clock = clock

    async def server_live(self, asked: Asked) -> Answer:
        return _answer("ServerLiveResponse", live=True)

    async def server_ready(self, asked: Asked) -> Answer:
        return _answer("ServerReadyResponse", ready=self._catalogue.ready)

    async def model_ready(self, asked: Asked) -> Answer:
        """Not while it is loaded, nor while the server is being stopped. Raises UnknownModel."""
        try:
            find(self._catalogue, asked.message.name, asked.message.version or None)
            is_ready = not self._catalogue.leaving
        except NotReady:
            is_ready = False
        return _answer("ModelReadyResponse", ready=is_ready)

    async def server_metadata(self, asked: Asked) -> Answer:
        found = metadata.server(metadata.OVER_GRPC, admin=self._control is not None)
        return _answer("ServerMetadataResponse", **found.model_dump())

    async def model_metadata(self, asked: Asked) -> Answer:
        """Raises UnknownModel and NotReady."""
        classifier = find(self._catalogue, asked.message.name, asked.message.version or None)
        return _answer("ModelMetadataResponse", **metadata.model(classifier).model_dump())

    async def model_infer(self, asked: Asked) -> Answer:
        """Raises SoftgateError."""
        started, expires_at = asked.started, asked.expires_at
        call = inference.call(asked.message, self._catalogue, started=started, expires_at=expires_at)
        return await calls.answered(call, started=started, expires_at=expires_at, clock=self._clock)

    async def repository_index(self, asked: Asked) -> Answer:
        entries = metadata.index(self._catalogue, ready=asked.message.ready)
        return _answer("RepositoryIndexResponse", models=[entry.model_dump() for entry in entries])

    async def load(self, asked: Asked) -> Answer:
        """Raises UnsupportedExtension, UnknownModel and ReloadFailed."""
        model = _controlled(asked.message)
        await self._controls().load(model, asked.message.parameters)
        await self._departure.exchanged(self._catalogue)
        return _answer("RepositoryModelLoadResponse", model_name=model, is_loaded=True)

    async def unload(self, asked: Asked) -> Answer:
        """Raises UnsupportedExtension, UnknownModel and ReloadFailed."""
        model = _controlled(asked.message)
        await self._controls().unload(model)
        await self._departure.exchanged(self._catalogue)
        return _answer("RepositoryModelUnloadResponse", model_name=model, is_unloaded=True)

    def _controls(self) -> Control:
        if self._control is None:
            raise UnsupportedExtension("Expected a server with SOFTGATE_ADMIN=true to load or unload a model.")
        return self._control


class Method(NamedTuple):
    request: str
    """The name of its message."""
    answer: Callable[[Methods, Asked], Awaitable[Answer]]
    scope: str | None
    """Of the token that it takes; None: it takes none."""
    model: Callable[[Any], str] = lambda _: ""
    """The one that a message names; empty where it names none."""


def _answer(message: str, /, **fields: object) -> Answer:
    return Answer(MESSAGES[message](**fields).SerializeToString())


def _named(message: Any) -> str:
    return str(message.name)


def _model_named(message: Any) -> str:
    return str(message.model_name)


def _controlled(message: Any) -> str:
    """KServe's clients name it in another field than Triton's."""
    return str(message.model_name or message.name)


# To add one: write it above and name it here, and its messages in `messages.py`.
METHODS: Mapping[str, Method] = {
    "ServerLive": Method("ServerLiveRequest", Methods.server_live, scope=None),
    "ServerReady": Method("ServerReadyRequest", Methods.server_ready, scope=None),
    "ModelReady": Method("ModelReadyRequest", Methods.model_ready, scope="read", model=_named),
    "ServerMetadata": Method("ServerMetadataRequest", Methods.server_metadata, scope="read"),
    "ModelMetadata": Method("ModelMetadataRequest", Methods.model_metadata, scope="read", model=_named),
    "ModelInfer": Method("ModelInferRequest", Methods.model_infer, scope="predict", model=_model_named),
    "RepositoryIndex": Method("RepositoryIndexRequest", Methods.repository_index, scope="read"),
    "RepositoryModelLoad": Method("RepositoryModelLoadRequest", Methods.load, scope="admin", model=_controlled),
    "RepositoryModelUnload": Method("RepositoryModelUnloadRequest", Methods.unload, scope="admin", model=_controlled),
}
