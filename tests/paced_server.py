"""
softgate, where a run of any graph takes so long: `python paced_server.py SECONDS serve FOLDER ...`.

It sleeps, so that a machine of two cores has its time for the client and the rest of the server.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

from graphs import linear, write_model
from servers import Served, started
from softgate.cli import main
from softgate.runtime.session import Session

RUN_SECONDS, ROWS_A_RUN = 0.2, 10
PACE = ROWS_A_RUN / RUN_SECONDS
PATH = "/v1/models/paced/predict"


@contextmanager
def paced(
    folder: Path,
    *,
    routing: str = "threshold = 0.7",
    max_queue_ms: int = 500,
    parallel_runs: int = 1,
    **variables: str,
) -> Iterator[Served]:
    """A server of one model of four numbers, on threads of its own, that takes RUN_SECONDS for ROWS_A_RUN rows."""
    write_model(folder, linear(np.eye(4, dtype=np.float32)), name="paced", routing=routing)
    with (folder / "classifier.toml").open("a") as card:
        keys = f'max_batch = {ROWS_A_RUN}\nmax_queue = 10000\nmax_queue_ms = {max_queue_ms}\nrun_on = "thread"\n'
        card.write(f"\n[serving]\n{keys}parallel_runs = {parallel_runs}\n")
    line = [sys.executable, __file__, str(RUN_SECONDS), "serve", str(folder), "--port", "0"]
    with started(line, variables=variables) as server:
        url = server.read_until("listening")["url"]
        server.read_until("ready")
        with httpx2.Client(base_url=url, timeout=30) as client:
            yield Served(url, server, client)


def slowed(run: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    def later(*arguments: Any, **named: Any) -> Any:
        time.sleep(seconds)
        return run(*arguments, **named)

    return later


if __name__ == "__main__":
    Session.run = slowed(Session.run, float(sys.argv.pop(1)))  # type: ignore[method-assign]  # in a process of its own
    main()
