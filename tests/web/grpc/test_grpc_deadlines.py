"""Calls that wait for longer than they may, whose client has gone, or that are too many."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
import pytest

from paced_server import ROWS_A_RUN, RUN_SECONDS, paced
from processes import free_port, until
from rpc import Spoken, asking, connected, refused
from softgate.web.grpc.messages import MESSAGES

QUEUED = 'softgate_queue_rows{calibration="",model="paced",version="1"}'
ROWS_RUN = 'softgate_batch_rows_sum{calibration="",model="paced",version="1"}'
ANSWERS = 'softgate_http_responses_total{status="%d"}'
ERRORS = 'softgate_errors_total{code="%s"}'


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spoken]:
    port = free_port()
    folder = tmp_path_factory.mktemp("models") / "paced"
    own = paced(folder, SOFTGATE_GRPC_PORT=str(port), SOFTGATE_REQUEST_TIMEOUT_MS="1500")
    with own as server, connected(port) as channel:
        yield Spoken(server, port, channel)


def rows(n_rows: int, **fields: Any) -> Any:
    return asking("paced", np.tile(np.arange(4), (n_rows, 1)), **fields)


@contextmanager
def holding(running: Spoken, *, seconds: float) -> Iterator[None]:
    """While one call has the graph for so long, and until its answer."""
    before = running.server.metrics()[ROWS_RUN]
    held = running.future(rows(round(seconds / RUN_SECONDS) * ROWS_A_RUN))
    until(lambda: running.server.metrics()[QUEUED] == 0.0, seconds=20)
    time.sleep(RUN_SECONDS / 2)
    assert running.server.metrics()[ROWS_RUN] == before
    yield
    assert len(held.result().outputs if hasattr(held.result(), "outputs") else held.result()) > 0


def microseconds(value: int) -> dict[str, Any]:
    return {"timeout": MESSAGES["InferParameter"](int64_param=value)}


def changes(running: Spoken, before: dict[str, float], *names: str) -> list[float]:
    after = running.server.metrics()
    return [after[name] - before[name] for name in names]


def test_a_timeout_among_the_parameters_is_a_deadline(running: Spoken) -> None:
    before = running.server.metrics()
    with holding(running, seconds=1.0), refused() as refusal:
        running.send("ModelInfer", rows(1, parameters=microseconds(100_000)))

    assert (refusal.status, refusal.code) == (grpc.StatusCode.DEADLINE_EXCEEDED, "deadline_exceeded")
    assert refusal.detail.startswith("Expected to reach the graph before the request's deadline; ")
    assert changes(running, before, ERRORS % "deadline_exceeded", ANSWERS % 504) == [1, 1]


def test_the_deadline_of_the_call_frees_its_place_and_the_graph_never_sees_it(running: Spoken) -> None:
    before = running.server.metrics()
    with holding(running, seconds=1.0):
        with refused() as refusal:
            running.send("ModelInfer", rows(3), timeout=0.1)
        until(lambda: running.server.metrics()[QUEUED] == 0.0, seconds=0.5)

    assert refusal.status == grpc.StatusCode.DEADLINE_EXCEEDED
    assert changes(running, before, ROWS_RUN, ERRORS % "deadline_exceeded", ANSWERS % 504) == [50, 1, 1]


def test_the_servers_own_deadline_holds_where_the_call_has_none(running: Spoken) -> None:
    with holding(running, seconds=2.4), refused() as refusal:
        running.send("ModelInfer", rows(1))

    assert (refusal.status, refusal.code) == (grpc.StatusCode.DEADLINE_EXCEEDED, "deadline_exceeded")


def test_a_client_that_cancels_frees_its_place(running: Spoken) -> None:
    before = running.server.metrics()
    with holding(running, seconds=1.0):
        call = running.future(rows(3))
        until(lambda: running.server.metrics()[QUEUED] == 3.0, seconds=5)
        call.cancel()
        until(lambda: changes(running, before, ANSWERS % 499) == [1], seconds=0.5)

    assert changes(running, before, ROWS_RUN) == [50]


def test_what_is_too_much_is_refused_and_not_as_unavailable(running: Spoken) -> None:
    """Of UNAVAILABLE some clients try again at once."""
    with holding(running, seconds=1.0):
        waiting = [running.future(rows(ROWS_A_RUN)) for _ in range(8)]
        refusals = [call.exception() for call in waiting]

    codes = [exc.code() for exc in refusals if exc is not None]
    assert codes
    assert set(codes) == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert "Expected a wait of at most" in next(exc.details() for exc in refusals if exc is not None)
