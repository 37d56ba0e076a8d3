"""What is counted and logged of a request and its answer, whichever way they went."""

import logging
import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from random import getrandbits
from typing import Protocol as Interface

from softgate.errors import SoftgateError
from softgate.web import errors
from softgate.web.metrics.layout import WebCounts

logger = logging.getLogger("softgate.web")

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
# No answer was sent; the status under which such requests are counted and logged.
CLIENT_GONE = 499
LEAST_LOGGED_STATUS = {"all": 0, "errors": 400, "none": 1000}


class Told(Interface):
    """What the log tells of a request."""

    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    def client(self) -> str | None: ...


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    peer: tuple[str, int] | None

    def client(self) -> str | None:
        return None if self.peer is None else self.peer[0]


class Journal:
    def __init__(self, counts: WebCounts, *, clock: Callable[[], float], overload_status: int, access_log: str) -> None:
        self._counts = counts
        self._clock = clock
        self._overload_status = overload_status
        self._least_logged_status = LEAST_LOGGED_STATUS[access_log]

    def noted(self, exc: BaseException, request_id: str) -> errors.Problem:
        """The problem to tell the client of, counted and, where it is our fault, logged."""
        problem = errors.problem(exc, overload_status=self._overload_status)
        self._counts.error(problem.code)
        if problem.status == 500:
            logger.error(problem.code, extra={"request_id": request_id, **_cause(exc)})
        return problem

    def answered(self, status: int) -> None:
        """Before it is sent: whoever has the answer finds it counted."""
        self._counts.response(status)

    def ended(self, asked: Told, status: int, *, request_id: str, started: float) -> None:
        """Logs a request that has its answer, unless nobody wants to read of such."""
        if status < self._least_logged_status:
            return
        seconds = self._clock() - started
        logger.info(
            "request",
            extra={
                "method": asked.method,
                "path": asked.path,
                "status": status,
                "milliseconds": round(seconds * 1000, 3),
                "client": asked.client(),
                "request_id": request_id,
            },
        )


def request_id_of(asked: bytes) -> str:
    """The client's own id where it is harmless, else a new one."""
    if asked and REQUEST_ID.fullmatch(asked):
        return str(asked, "ascii")
    # It names a request and guards nothing; each worker has draws of its own, for Python seeds anew after a fork.
    return getrandbits(64).to_bytes(8, "big").hex()


def _cause(exc: BaseException) -> dict[str, str]:
    """For the log: our own sentence, or where a foreign exception came from, whose message may quote input."""
    if isinstance(exc, SoftgateError):
        return {"reason": str(exc)}
    return {"exception": type(exc).__name__, "traceback": "".join(traceback.format_tb(exc.__traceback__))}
