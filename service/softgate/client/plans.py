"""What both clients know of the server they ask, and what they ask it."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypedDict, TypeVar
from urllib.parse import quote

import httpx2

from softgate import __version__
from softgate.client import answers
from softgate.client.answers import Answer, Model, Prediction
from softgate.client.calls import Asked, Call
from softgate.client.retries import Retries
from softgate.client.rows import Batch, Row, as_json, batches, encoded
from softgate.errors import InvalidInput, NonFiniteInput

T = TypeVar("T")
# Of RFC 6750. The library's own error for anything else would repeat it.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_SEEDS = 2**63


class Options(TypedDict, total=False):
    """What may stand beside rows. But for `timeout_seconds`, None is as good as nothing."""

    model: str | None
    version: str | int | None
    """In place of the one that the server prefers."""
    timeout_seconds: float | None
    """Of each request with its retries, in place of the client's; None: as long as it takes."""
    top_k: int | None
    top_p: float | None
    logits: bool | None
    temperature: float | None
    select: Literal["argmax", "sample"] | None
    seed: int | None
    profile: str | None
    id: str | None


_BESIDE = ("model", "version", "timeout_seconds")


class Plan:
    """Makes calls; a client sends them."""

    def __init__(
        self,
        url: str,
        *,
        model: str | None,
        token: str | None,
        timeout_seconds: float | None,
        retries: Retries,
        clock: Callable[[], float],
    ) -> None:
        """Raises InvalidInput."""
        self._base = _base(url)
        self.headers = {"User-Agent": f"softgate/{__version__}", **_credentials(token)}
        self._model, self._timeout_seconds, self._retries, self._clock = model, timeout_seconds, retries, clock

    def predict(self, row: Row, options: Mapping[str, Any]) -> Call[Prediction]:
        """Raises InvalidInput."""
        return self._predict([encoded(row)], options, lambda answer: answers.predictions(answer, n_rows=1)[0])

    def predict_batch(self, batch: Batch, options: Mapping[str, Any]) -> Call[Sequence[Prediction]]:
        """Raises InvalidInput."""
        if batch.failure is not None:
            raise batch.failure
        if options.get("seed") is not None:
            # Else rows in the same place of their batches would be drawn alike.
            options = {**options, "seed": (options["seed"] + batch.start) % _SEEDS}
        n_rows = len(batch.rows)
        return self._predict(batch.rows, options, lambda answer: answers.predictions(answer, n_rows=n_rows))

    def models(self) -> Call[Sequence[Model]]:
        return self._call(Asked("GET", "/v1/models", answers.models), self._timeout_seconds)

    def ready(self) -> Call[bool]:
        return self._call(Asked("GET", "/readyz", answers.is_ready, passing=frozenset()), self._timeout_seconds)

    def _predict(self, rows: Sequence[bytes], options: Mapping[str, Any], read: Callable[[Answer], T]) -> Call[T]:
        path = _path(options.get("model") or self._model, options.get("version"))
        seconds = options.get("timeout_seconds", self._timeout_seconds)
        return self._call(Asked("POST", path, read, _body(rows, options)), seconds)

    def _call(self, asked: Asked[T], timeout_seconds: float | None) -> Call[T]:
        return Call(asked, base=self._base, retries=self._retries, timeout_seconds=timeout_seconds, clock=self._clock)


def batches_of(
    rows: Iterable[Row], options: Mapping[str, Any], *, batch_size: int, concurrency: int
) -> Iterator[Batch]:
    """Raises InvalidInput at once; what is wrong with a row is told in its turn."""
    if isinstance(rows, str | bytes | Mapping):
        raise InvalidInput(f"Expected several rows; got one {type(rows).__name__}: predict takes a single row.")
    if batch_size < 1 or concurrency < 1:
        raise InvalidInput(f"Expected a batch_size and a concurrency of 1 or more; got {batch_size} and {concurrency}.")
    _check(options)
    return batches(rows, size=batch_size)


def _base(url: str) -> str:
    try:
        read = httpx2.URL(url)
    except (httpx2.InvalidURL, TypeError) as exc:
        raise InvalidInput("Expected the http or https URL of a server; got one that cannot be read.") from exc
    if read.scheme not in ("http", "https") or not read.host or read.userinfo or read.query or read.fragment:
        raise InvalidInput("Expected the http or https URL of a server, without a user, a query or a fragment.")
    return str(read).rstrip("/")


def _credentials(token: str | None) -> Mapping[str, str]:
    if token is None:
        return {}
    if not _TOKEN.fullmatch(token):
        raise InvalidInput("Expected a token as softgate token prints it, and nothing around it.")
    return {"Authorization": f"Bearer {token}"}


def _path(model: str | None, version: str | int | None) -> str:
    if model is None:
        raise InvalidInput("Expected the name of a model, of the client or of the call; got neither.")
    at = "" if version is None else f"/versions/{quote(str(version), safe='')}"
    return f"/v1/models/{quote(model, safe='')}{at}/predict"


def _body(rows: Sequence[bytes], options: Mapping[str, Any]) -> bytes:
    _check(options)
    more = {name: value for name, value in options.items() if value is not None and name not in _BESIDE}
    try:
        beside = as_json(more)
    except ValueError as exc:
        raise NonFiniteInput("Expected finite numbers as options; got NaN or an infinity.") from exc
    inputs = b'"inputs":[%b]' % b",".join(rows)
    return b"{%b,%b" % (inputs, beside[1:]) if more else b"{%b}" % inputs


def _check(options: Mapping[str, Any]) -> None:
    if unknown := options.keys() - Options.__annotations__:
        raise InvalidInput(f"Expected no option but {', '.join(Options.__annotations__)}; got {', '.join(unknown)}.")
