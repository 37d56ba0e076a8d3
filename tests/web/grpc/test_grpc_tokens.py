"""Tokens over gRPC: the scopes are those of the same request over HTTP."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from rpc import SERVICE, Spoken, asking, refused, spoken
from softgate.web.grpc.messages import MESSAGES
from web.test_auth import SECRETS, write_tokens

INFER = asking("identity", np.array([[1, 2, 3, 4]]))
CALLS: dict[str, tuple[str | None, Any]] = {
    "ServerLive": (None, MESSAGES["ServerLiveRequest"]()),
    "ServerReady": (None, MESSAGES["ServerReadyRequest"]()),
    "ServerMetadata": ("prometheus", MESSAGES["ServerMetadataRequest"]()),
    "ModelReady": ("prometheus", MESSAGES["ModelReadyRequest"](name="identity")),
    "ModelMetadata": ("prometheus", MESSAGES["ModelMetadataRequest"](name="identity")),
    "ModelInfer": ("chatbot", INFER),
    "RepositoryIndex": ("prometheus", MESSAGES["RepositoryIndexRequest"]()),
    "RepositoryModelLoad": ("operator", MESSAGES["RepositoryModelLoadRequest"](model_name="identity")),
    "RepositoryModelUnload": ("operator", MESSAGES["RepositoryModelUnloadRequest"](model_name="identity")),
}
# Loading is not offered here, which whoever may load learns.
OFFERED = {name for name in CALLS if "ModelLoad" not in name and "ModelUnload" not in name}
KNOWN = ("chatbot", "prometheus", "operator")


@pytest.fixture(scope="module")
def guarded(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spoken]:
    path = write_tokens(tmp_path_factory.mktemp("tokens") / "tokens.toml", *KNOWN, "everything", "narrow")
    with spoken(models, variables={"SOFTGATE_TOKENS_FILE": str(path)}) as running:
        yield running


def bearer(name: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {SECRETS[name]}")]


def status(guarded: Spoken, method: str, metadata: list[tuple[str, str]], message: Any = None) -> Any:
    try:
        guarded.send(method, CALLS[method][1] if message is None else message, metadata=metadata)
    except grpc.RpcError as exc:
        return exc.code()
    return grpc.StatusCode.OK


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize("name", [None, "late", *KNOWN, "everything"])
def test_every_method_by_every_scope(guarded: Spoken, method: str, name: str | None) -> None:
    wanted = CALLS[method][0]
    found = status(guarded, method, [] if name is None else bearer(name))

    if wanted is None or name in (wanted, "everything"):
        assert found == (grpc.StatusCode.OK if method in OFFERED else grpc.StatusCode.UNIMPLEMENTED)
    elif name in (None, "late"):
        assert found == grpc.StatusCode.UNAUTHENTICATED
    else:
        assert found == grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("shown", ["", "Bearer", "Bearer wrong", f"Basic {SECRETS['chatbot']}", SECRETS["chatbot"]])
def test_whoever_shows_no_token_learns_nothing(guarded: Spoken, shown: str) -> None:
    metadata = [("authorization", shown)]
    for message in (INFER, asking("nobody", np.zeros((1, 1))), b"\xff"):
        assert status(guarded, "ModelInfer", metadata, message) == grpc.StatusCode.UNAUTHENTICATED
    with refused() as refusal:
        guarded.channel.unary_unary(f"{SERVICE}/Nothing")(b"", timeout=30, metadata=metadata)
    assert refusal.status == grpc.StatusCode.UNAUTHENTICATED


def test_a_token_for_one_model_is_good_for_no_other_and_for_nothing_of_all(guarded: Spoken) -> None:
    words = MESSAGES["ModelMetadataRequest"](name="words")

    assert status(guarded, "ModelMetadata", bearer("narrow"), words) == grpc.StatusCode.OK
    for method in ("ModelMetadata", "ModelInfer", "ModelReady", "ServerMetadata", "RepositoryIndex"):
        assert status(guarded, method, bearer("narrow")) == grpc.StatusCode.PERMISSION_DENIED
