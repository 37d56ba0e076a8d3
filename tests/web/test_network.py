"""Networks that delay, cut off and reset: nothing crashes, nothing stays behind, and what arrives whole is right."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import httpx2
import pytest

from processes import free_port, until
from raw_http import connect, post, until_closed
from servers import Served, samples, served
from troubled import Trouble, troubled
from web.conftest import write_models

TEXT = "send money"
LINES = json.dumps(TEXT).encode() + b"\n"
N_LINES = 2000
REQUESTS = {
    "small": post(json.dumps({"inputs": TEXT}).encode(), b"connection: close"),
    "large": post(json.dumps({"inputs": [TEXT * 100] * 100}).encode(), b"connection: close"),
    "lines": post(LINES * N_LINES, b"content-type: application/x-ndjson", b"connection: close"),
}
TROUBLES = {
    "cut off in the headers": Trouble(most_up=40),
    "reset in the headers": Trouble(most_up=40, resets=True),
    "cut off in the body": Trouble(),
    "reset in the body": Trouble(resets=True),
    "cut off in the answer": Trouble(most_down=100),
    "reset in the answer": Trouble(most_down=100, resets=True),
    "reset at the answer": Trouble(most_down=0, resets=True),
}
N_CLIENTS = 10
OPS_PORT = free_port()
QUEUED = 'softgate_queue_rows{calibration="",model="words",version="1"}'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    variables = {"SOFTGATE_ACCESS_LOG": "none", "SOFTGATE_OPS_PORT": str(OPS_PORT)}
    with served(write_models(tmp_path_factory.mktemp("models")), variables=variables) as running:
        yield running


def address(server: Served) -> tuple[str, int]:
    host, port = server.url.removeprefix("http://").split(":")
    return host, int(port)


def n_open(server: Served) -> int:
    """Descriptors of the server's process."""
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def counts() -> Mapping[str, float]:
    """From where a scrape counts for nothing itself."""
    return samples(httpx2.get(f"http://127.0.0.1:{OPS_PORT}/metrics").text)


def n_counted() -> float:
    """Requests that were answered, or whose client was gone."""
    return sum(count for name, count in counts().items() if name.startswith("softgate_http_responses_total"))


def ask(at: tuple[str, int], sent: bytes) -> bytes:
    """What comes back, be it less than an answer."""
    here = Served(f"http://{at[0]}:{at[1]}", None, None)  # type: ignore[arg-type]  # `connect` asks for no more
    try:
        with connect(here) as client:
            client.sendall(sent)
            return until_closed(client)
    except ConnectionError:
        return b""


def labels(answer: bytes) -> list[str]:
    return re.findall(r'"label":"(\w+)"', answer.decode())


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("trouble", TROUBLES)
def test_what_a_network_cuts_off_leaves_nothing_behind(server: Served, request_: str, trouble: str) -> None:
    server.predict("words", inputs=TEXT)
    before, counted = n_open(server), n_counted()
    sent, network = REQUESTS[request_], TROUBLES[trouble]
    if "body" in trouble:
        network = replace(network, most_up=sent.index(b"\r\n\r\n") + 10)
    with troubled(address(server), network) as behind, ThreadPoolExecutor(N_CLIENTS) as pool:
        told = list(pool.map(partial(ask, behind), [sent] * N_CLIENTS))
        until(lambda: n_open(server) <= before, seconds=20)

    assert all(len(answer) <= network.most_down for answer in told)
    until(lambda: counts()[QUEUED] == 0, seconds=20)
    assert n_counted() == counted + (0 if "headers" in trouble else N_CLIENTS)
    assert labels(server.predict("words", inputs=TEXT).content)
    assert {name for name, count in counts().items() if 'status="5' in name and count} == set()


@pytest.mark.parametrize("request_", REQUESTS)
def test_what_a_network_delays_is_answered_right(server: Served, request_: str) -> None:
    trouble = Trouble(delay_seconds=0.001, piece_bytes=40 if request_ == "small" else 1000)
    right = labels(ask(address(server), REQUESTS[request_]))
    with troubled(address(server), trouble) as behind, ThreadPoolExecutor(N_CLIENTS) as pool:
        told = list(pool.map(partial(ask, behind), [REQUESTS[request_]] * N_CLIENTS))

    assert right
    assert [labels(answer) for answer in told] == [right] * N_CLIENTS


def test_clients_behind_a_network_that_resets_take_nothing_from_others(server: Served) -> None:
    with troubled(address(server), TROUBLES["reset in the answer"]) as behind, ThreadPoolExecutor(N_CLIENTS) as pool:
        cut = [pool.submit(ask, behind, REQUESTS["small"]) for _ in range(50 * N_CLIENTS)]
        whole = [server.predict("words", inputs=TEXT) for _ in range(50)]
        for one in cut:
            one.result()

    assert {answer.status_code for answer in whole} == {200}
