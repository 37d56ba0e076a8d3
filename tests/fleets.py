"""
Fleets of one, two and eight real servers, each under a real Prometheus, after traffic and a restart.

There are eight servers, and a Prometheus of the first, of the first two and of all.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from scraped import Prometheus, scraping, wait_for
from servers import Served, served
from softgate.types import Floats

SIZES = (1, 2, 8)
ROWS = 600
"""Of each server, half of them before the restart."""
# Less sure than the rows of the calibration, whose logits are twice as large.
LIVE = np.random.default_rng(5).normal(scale=3, size=(max(SIZES), ROWS, 4)).round(3)
"""What each server answers, shape (n_servers, n_rows, 4): inputs of the model toy, whose logits they are."""


@contextmanager
def watched(models: Path, new_folder: Callable[[], Path]) -> Iterator[Mapping[int, Prometheus]]:
    """By size. The first server is restarted after its first half of the rows has been scraped."""
    with ExitStack() as rest, ExitStack() as first:
        servers = [first.enter_context(served(models))]
        servers += [rest.enter_context(served(models)) for _ in range(max(SIZES) - 1)]
        urls = [server.url for server in servers]
        running = {size: rest.enter_context(scraping(urls[:size], new_folder())) for size in SIZES}
        _wait_for_rows(running, 0)
        _send(servers, LIVE[:, : ROWS // 2])
        _wait_for_rows(running, ROWS // 2)
        first.close()
        servers[0] = rest.enter_context(served(models, "--port", urls[0].rsplit(":", 1)[1]))
        _wait_for_rows(running, 0, ROWS // 2)
        _send(servers, LIVE[:, ROWS // 2 :])
        _wait_for_rows(running, ROWS // 2, ROWS)
        yield running


def _send(servers: Sequence[Served], rows: Floats) -> None:
    """To each its own rows, a few to the other model, and a request that is refused."""
    for server, own in zip(servers, rows, strict=True):
        for part in np.array_split(own, 6):
            assert server.predict("toy", inputs=part.tolist()).status_code == 200
        assert server.predict("plain", inputs=["send money", "not a word of it"]).status_code == 200
        assert server.client.post("/v1/models/toy/predict", content=b"not JSON").status_code == 400


def _wait_for_rows(running: Mapping[int, Prometheus], first: int, others: int | None = None) -> None:
    """
    Until each Prometheus has scraped so many rows of the first server, and of each of the others.

    All must be there: without the first, which has not been scraped since its restart, the sum is as wanted too.
    """
    rows = 'softgate_confidence_ratio_count{model="toy"}'
    for size, prometheus in running.items():
        wanted = first + (size - 1) * (first if others is None else others)
        scraped = partial(prometheus.query, f"sum({rows}) == {wanted} and count({rows}) == {size}")
        assert wait_for(scraped), f"{wanted} rows were never scraped from {size} servers."
