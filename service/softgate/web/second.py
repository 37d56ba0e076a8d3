"""A worker's second listener, for gRPC: its library is imported only where there is one, and behind every fork."""

from collections.abc import Sequence
from typing import Protocol as Interface

from softgate.web.app import Parts
from softgate.web.metrics.layout import WebCounts
from softgate.web.middleware import Edge


class Second(Interface):
    async def start(self) -> None:
        """Raises StartupFailed."""

    async def stop(self) -> None:
        """Returns when what was under way has ended."""


class Absent:
    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass


def second(address: str | None, edge: Edge, parts: Parts, *, beside: Sequence[WebCounts]) -> Second:
    """`address`: None where there is none. `beside`: of the workers that serve the same."""
    if address is None:
        return Absent()
    from softgate.web.grpc.server import Listener  # noqa: PLC0415 - an extra, heavy, and lost in a fork

    return Listener(address, edge, parts, beside=beside)
