"""A call from its first attempt to its last, without the sending and the sleeping: those are the clients'."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

import httpx2

from softgate.client.answers import Answer
from softgate.client.retries import Retries, pause_seconds
from softgate.errors import DeadlineExceeded, ForeignAnswer, NoAnswer, SoftgateError

T = TypeVar("T")
Outcome: TypeAlias = Answer | SoftgateError
# Too many others, or not ready yet: both pass.
PASSING = frozenset({429, 503})
CONNECT_SECONDS = 5.0
LIMITS = httpx2.Limits(max_connections=32, max_keepalive_connections=32)
# Of X-Request-Timeout-Ms.
MOST_MILLISECONDS = 3_600_000


@dataclass(frozen=True, slots=True)
class Asked(Generic[T]):
    """What to ask, and how the answer is read."""

    method: str
    path: str
    read: Callable[[Answer], T]
    body: bytes | None = None
    passing: frozenset[int] = PASSING
    """Statuses after which the same may be asked again."""


class Call(Generic[T]):
    """
    Counts attempts and time.

    An attempt that broke is made again, too, though its rows may have been answered: then they are counted twice,
    which is all that a second attempt can do.
    """

    def __init__(
        self,
        asked: Asked[T],
        *,
        base: str,
        retries: Retries,
        timeout_seconds: float | None,
        clock: Callable[[], float],
    ) -> None:
        self.method, self.url, self.body = asked.method, base + asked.path, asked.body
        self._asked, self._retries, self._clock = asked, retries, clock
        self._timeout_seconds = math.inf if timeout_seconds is None else timeout_seconds
        self._expires_at = clock() + self._timeout_seconds
        self._attempt = 0

    def seconds_left(self) -> float:
        """More than a millisecond. Raises DeadlineExceeded."""
        seconds = self._expires_at - self._clock()
        if seconds < 0.001:
            raise self._expired()
        return seconds

    def headers(self, seconds_left: float) -> Mapping[str, str]:
        json = {} if self.body is None else {"Content-Type": "application/json"}
        if math.isinf(seconds_left):
            return json
        return {**json, "X-Request-Timeout-Ms": str(min(int(seconds_left * 1000), MOST_MILLISECONDS))}

    def pause(self, outcome: Outcome) -> float | None:
        """Seconds until the next attempt; None where this was the last one."""
        retry_after = None
        if isinstance(outcome, Answer):
            if outcome.status not in self._asked.passing:
                return None
            retry_after = outcome.retry_after
        elif not isinstance(outcome, NoAnswer):
            return None
        left = self._expires_at - self._clock()
        seconds = pause_seconds(self._retries, attempt=self._attempt, retry_after=retry_after, seconds_left=left)
        self._attempt += 1
        return seconds

    def result(self, outcome: Outcome) -> T:
        """What an outcome comes to. Raises SoftgateError."""
        if isinstance(outcome, SoftgateError):
            raise outcome
        return self._asked.read(outcome)

    def answered(self, response: httpx2.Response, body: bytes) -> Answer:
        headers = response.headers
        return Answer(self.url, response.status_code, headers.get("content-type", ""), headers.get("retry-after"), body)

    def failed(self, exc: httpx2.HTTPError | TimeoutError) -> SoftgateError:
        """Ours for one of the library's."""
        error: SoftgateError
        late = self._clock() >= self._expires_at
        if late or isinstance(exc, httpx2.ReadTimeout | httpx2.WriteTimeout | httpx2.PoolTimeout | TimeoutError):
            error = self._expired()
        elif isinstance(exc, httpx2.DecodingError):
            error = ForeignAnswer(f"{self.url}: expected an answer that can be decompressed; {exc}.")
        else:
            error = NoAnswer(f"No answer from {self.url}: {str(exc).rstrip('.') or type(exc).__name__}.")
        error.__cause__ = exc
        return error

    def _expired(self) -> DeadlineExceeded:
        return DeadlineExceeded(f"Expected an answer from {self.url} within {self._timeout_seconds:g} s; got none.")


def timeout(seconds_left: float) -> httpx2.Timeout:
    """Of one attempt. A connection that takes longer than CONNECT_SECONDS is tried anew."""
    whole = None if math.isinf(seconds_left) else seconds_left
    return httpx2.Timeout(whole, connect=min(CONNECT_SECONDS, seconds_left))
