"""The listener of a worker for gRPC, on a port that all workers share."""

import asyncio
from collections.abc import Sequence

import grpc

from softgate.errors import StartupFailed
from softgate.settings import Settings
from softgate.web.app import Parts
from softgate.web.grpc.departure import Departure
from softgate.web.grpc.methods import Methods
from softgate.web.grpc.service import Limits, Service
from softgate.web.metrics.layout import WebCounts
from softgate.web.middleware import Edge
from softgate.web.orders import Orders
from softgate.web.protocols.open_inference.repository import Control

# Of calls under way in a worker, of which each may have a message of the largest size half received.
MOST_CALLS = 1024
# A connection without a call for so long is told to go.
IDLE_SECONDS = 300
# A client that says nothing for so long is asked whether it is there, and has a third of that to say so.
SILENT_SECONDS = 60
# A worker that leaves answers for so long: those that were admitted in the same moment listen by then.
OVERLAP_SECONDS = 0.2
# For clients to be told to go elsewhere.
PARTING_SECONDS = 0.05


class Listener:
    def __init__(self, address: str, edge: Edge, parts: Parts, *, beside: Sequence[WebCounts]) -> None:
        """`edge`: whose tokens and journal are those of this, too; `beside`: of those that leave when this does."""
        self._address = address
        self._settings = settings = parts.settings
        self._counts = parts.counts
        self._departure = Departure(beside)
        orders = Orders(parts.reloads, clock=parts.clock, limit=settings.probe_seconds)
        control = Control(parts.catalogue, orders) if settings.admin else None
        self._service = Service(
            Methods(parts.catalogue, control, self._departure, clock=parts.clock),
            self._departure,
            journal=edge.journal,
            guard=edge.guard,
            limits=Limits(settings.max_headers, settings.body_seconds, settings.request_timeout_ms / 1000),
            clock=parts.clock,
        )
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Raises StartupFailed."""
        server = grpc.aio.server(options=_options(self._settings), maximum_concurrent_rpcs=MOST_CALLS)
        server.add_generic_rpc_handlers((self._service,))
        try:
            server.add_insecure_port(self._address)
        except RuntimeError as exc:
            raise StartupFailed(f"Cannot listen on {self._address} for gRPC.") from exc
        await server.start()
        self._server = server
        self._counts.take_calls(takes=True)

    async def stop(self) -> None:
        """Take no more calls, and wait for the end of those under way as long as they have."""
        if self._server is None:
            return
        await asyncio.sleep(OVERLAP_SECONDS)
        await self._departure.hold()
        stopping = asyncio.create_task(self._server.stop(self._settings.grace_seconds - OVERLAP_SECONDS))
        await asyncio.sleep(PARTING_SECONDS)
        self._counts.take_calls(takes=False)
        self._departure.release()
        await stopping


def _options(settings: Settings) -> list[tuple[str, int]]:
    milliseconds = 1000
    return [
        ("grpc.so_reuseport", 1),
        ("grpc.max_receive_message_length", settings.max_body_bytes),
        # Between the two, gRPC refuses some by chance.
        ("grpc.max_metadata_size", settings.max_header_bytes),
        ("grpc.absolute_max_metadata_size", settings.max_header_bytes),
        ("grpc.server_handshake_timeout_ms", round(settings.header_seconds * milliseconds)),
        ("grpc.max_connection_idle_ms", IDLE_SECONDS * milliseconds),
        ("grpc.keepalive_time_ms", SILENT_SECONDS * milliseconds),
        ("grpc.keepalive_timeout_ms", SILENT_SECONDS * milliseconds // 3),
    ]
