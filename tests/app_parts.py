"""An application without a server around it."""

import time
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from softgate.policy.catalogue import Catalogue
from softgate.policy.monitor.board import Board
from softgate.runtime.counts import Counts
from softgate.runtime.repository import find_bundles
from softgate.settings import Settings
from softgate.web.app import Parts
from softgate.web.metrics.exposition import Exposition
from softgate.web.metrics.layout import layout, web_counts
from softgate.web.middleware import REQUEST_ID_KEY
from softgate.web.reloads import Reloads


def parts_of(folder: Path) -> Parts:
    """Those of the folder's models, which are not loaded yet."""
    bundles = find_bundles(folder)
    counts = Counts(layout(bundles), n_rows=1)
    board = Board(bundles, counts, now=time.monotonic())
    return Parts(
        catalogue=Catalogue(bundles, lambda section: counts.layout.view(counts.row(0), section)),
        board=board,
        exposition=Exposition(board, time.monotonic),
        counts=web_counts(counts, worker=0),
        settings=Settings(),
        threads=1,
        clock=time.monotonic,
        reloads=Reloads(),
        alone=True,
        admitted=lambda: True,
        failed=failed,
    )


def failed(exc: Exception) -> None:
    raise exc


def with_request_id(app: ASGIApp) -> ASGIApp:
    """What the edge gives the API behind it."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        await app({REQUEST_ID_KEY: "id", **scope}, receive, send)

    return wrapped
