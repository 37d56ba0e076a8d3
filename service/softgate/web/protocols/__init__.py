"""The dialects softgate speaks, one module each."""

from collections.abc import Callable, Mapping, Sequence

from softgate.policy.catalogue import Catalogue
from softgate.web.protocols.hugging_face import HuggingFace
from softgate.web.protocols.native import Native
from softgate.web.protocols.open_inference.rest import OpenInference
from softgate.web.protocols.protocol import Answer, Call, Protocol, Request
from softgate.web.protocols.ranking import Rank
from softgate.web.protocols.rasa import Rasa
from softgate.web.protocols.text_embeddings import TextEmbeddings

__all__ = ["PROTOCOLS", "Answer", "Call", "Protocol", "Request", "owner"]

# To add one: write its module and name it here.
PROTOCOLS: Mapping[str, Callable[[Catalogue], Protocol]] = {
    "native": Native,
    "rank": Rank,
    "open_inference": OpenInference,
    "hugging_face": HuggingFace,
    "text_embeddings": TextEmbeddings,
    "rasa": Rasa,
}


def owner(protocols: Sequence[Protocol], path: str) -> Protocol:
    """Who tells what goes wrong at this path: the protocol that owns it, or else the first."""
    return next((protocol for protocol in protocols if protocol.owns(path)), protocols[0])
