"""One suite for all protocols: the same questions, and to each its answer in the protocol's own form."""

import json
import socket
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from dialects import DIALECTS, NUMBERS, STATUSES, TEXTS, Dialect, Question, Reply
from graphs import linear, logarithm, slow, write_model, write_text_model
from paced_server import RUN_SECONDS
from processes import free_port
from servers import Served, command, served, started
from softgate.web.protocols import PROTOCOLS
from web.test_auth import SECRETS, write_tokens
from web.test_deadlines import wait_until
from web.test_http import Answers, connected


def speaking(kind: str) -> Sequence[str]:
    return [name for name, dialect in DIALECTS.items() if kind in dialect.kinds]


SPOKEN = [(name, kind) for name, dialect in DIALECTS.items() for kind in dialect.kinds]
spoken = pytest.mark.parametrize(("name", "kind"), SPOKEN, ids=[f"{name}-{kind}" for name, kind in SPOKEN])
MODELS = {NUMBERS: "identity", TEXTS: "words"}
ROWS: dict[str, list[Any]] = {
    NUMBERS: [[0.5, 3.0, -1.0, 0.1], [0.0, 0.0, 0.0, 9.0], [1e-3, 0.1, 0.7, -4.0]],
    TEXTS: ["send money", "rain sun", "joke"],
}
RUN_ROWS = 10


def check(dialect: Dialect, reply: Reply, case: str, message: str = "") -> None:
    """A refusal of this case, in the protocol's form and with its status."""
    assert reply.status == dialect.statuses[case]
    assert message in dialect.error(reply)


def counted(server: Served, model: str) -> float:
    """Rows of the model that were decided so far."""
    return sum(
        value
        for name, value in server.metrics().items()
        if name.startswith("softgate_decisions_total{") and f'model="{model}"' in name
    )


def test_every_protocol_is_described_and_every_case_asked_or_known_not_to_be() -> None:
    assert PROTOCOLS.keys() <= DIALECTS.keys()
    for dialect in DIALECTS.values():
        assert dialect.statuses.keys() | dialect.unasked.keys() == STATUSES.keys()
        assert not dialect.statuses.keys() & dialect.unasked.keys()


@spoken
def test_a_good_row_and_a_batch_are_answered_and_counted_once(server: Served, name: str, kind: str) -> None:
    dialect, model = DIALECTS[name], MODELS[kind]
    for rows in (ROWS[kind][:1], ROWS[kind]):
        before = counted(server, model)
        reply = dialect.ask(server, Question(model, rows))

        assert reply.status == dialect.statuses["good"]
        assert len(dialect.rows(reply)) == len(rows)
        assert counted(server, model) == before + (len(rows) if dialect.counted else 0)


@spoken
def test_the_same_rows_have_the_same_bits_and_decisions_in_every_protocol(server: Served, name: str, kind: str) -> None:
    dialect, native = DIALECTS[name], DIALECTS["native"]
    for rows in (ROWS[kind][:1], ROWS[kind]):
        question = Question(MODELS[kind], rows)
        told, expected = dialect.rows(dialect.ask(server, question)), native.rows(native.ask(server, question))

        for row, other in zip(told, expected, strict=True):
            assert row.probabilities
            assert row.probabilities == {label: other.probabilities[label] for label in row.probabilities}
            assert row.label in (None, other.label)
            assert row.decision in (None, other.decision)


@spoken
def test_rows_that_do_not_fit_are_refused(server: Served, name: str, kind: str) -> None:
    dialect = DIALECTS[name]
    shape: dict[str, list[Any]] = {NUMBERS: [[1.0, 2.0, 3.0]], TEXTS: []}
    dtype: dict[str, list[Any]] = {NUMBERS: [["a", "b", "c", "d"]], TEXTS: [7]}

    for case, model, rows, message in (
        ("bad shape", MODELS[kind], shape[kind], "Expected"),
        ("bad dtype", MODELS[kind], dtype[kind], "Expected"),
        ("too many rows", MODELS[kind], ROWS[kind] * 40, "Expected"),
        ("unknown model", "nobody", ROWS[kind], "name of a served model"),
    ):
        if case not in dialect.unasked:
            check(dialect, dialect.ask(server, Question(model, rows)), case, message)
    assert dialect.ask(server, Question(MODELS[kind], ROWS[kind])).status == dialect.statuses["good"]


@pytest.mark.parametrize("name", speaking(NUMBERS))
def test_a_number_that_is_none_is_refused_and_one_of_the_graphs_is_told(server: Served, name: str) -> None:
    dialect = DIALECTS[name]

    check(dialect, dialect.ask(server, Question("identity", [[1.0, float("nan"), 0.0, 1.0]])), "NaN", "")

    reply = dialect.ask(server, Question("logarithm", [[1.0, 0.0, -3.0, 4.0], [1.0, 2.0, 3.0, 4.0]]))
    assert reply.status == dialect.statuses["good"]
    bad, good = dialect.rows(reply)
    assert (bad.probabilities, bad.label) == ({}, None)
    assert bad.decision is None or bad.decision["reason"] == "non_finite"
    assert good.probabilities


def also_grpc() -> dict[str, str]:
    return {"SOFTGATE_GRPC_PORT": str(free_port())}


@contextmanager
def paced(folder: Path, **variables: str) -> Iterator[Served]:
    """A server whose graphs take RUN_SECONDS for RUN_ROWS rows."""
    models = {
        NUMBERS: write_model(folder / "identity", linear(np.eye(4, dtype=np.float32)), name="identity"),
        TEXTS: write_text_model(folder / "words", name="words"),
    }
    for model in models.values():
        with (model / "classifier.toml").open("a") as card:
            card.write(
                f'\n[serving]\nmax_batch = {RUN_ROWS}\nmax_queue_ms = 500\nrun_on = "thread"\nparallel_runs = 1\n'
            )
    script = str(Path(__file__).parents[2] / "paced_server.py")
    line = [sys.executable, script, str(RUN_SECONDS), "serve", str(folder), "--port", "0"]
    with started(line, variables={**also_grpc(), **variables}) as server:
        listening = server.read_until("listening")
        server.read_until("ready")
        with httpx2.Client(base_url=listening["url"], timeout=30) as client:
            yield Served(listening["url"], server, client, listening["grpc"])


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with paced(tmp_path_factory.mktemp("paced")) as running:
        yield running


def native_request(kind: str, n_rows: int) -> bytes:
    body = json.dumps({"inputs": ROWS[kind][:1] * n_rows}).encode()
    head = f"POST /v1/models/{MODELS[kind]}/predict HTTP/1.1\r\nhost: here\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


@contextmanager
def holding(server: Served, kind: str) -> Iterator[None]:
    """While ten runs have the graph; and until their answer."""
    with connected(server.url) as client:
        answers = Answers(client)
        # The server knows the connection then, and reads what comes on it before what comes later on another.
        client.sendall(native_request(kind, 1))
        assert answers.one()[0] == 200
        client.sendall(native_request(kind, 10 * RUN_ROWS))
        assert server.client.get("/livez").status_code == 200
        wait_until(lambda: queued(server, kind) == 0.0)
        yield
        assert answers.one()[0] == 200


@contextmanager
def full(server: Served, kind: str) -> Iterator[None]:
    """While, besides, more rows wait than come to their turn in time."""
    with holding(server, kind), ThreadPoolExecutor() as threads:
        waiting = threads.submit(asked, server, native_request(kind, 4 * RUN_ROWS))
        wait_until(lambda: queued(server, kind) == 4.0 * RUN_ROWS)
        yield
        assert waiting.result() == 200


def asked(server: Served, request: bytes) -> int:
    client: socket.socket
    with connected(server.url) as client:
        client.sendall(request)
        return Answers(client).one()[0]


def queued(server: Served, kind: str) -> float:
    return server.metrics()[f'softgate_queue_rows{{calibration="",model="{MODELS[kind]}",version="1"}}']


@pytest.mark.parametrize("kind", [NUMBERS, TEXTS])
def test_an_overloaded_model_refuses_with_a_time_to_retry(busy: Served, kind: str) -> None:
    with full(busy, kind):
        replies = {name: DIALECTS[name].ask(busy, Question(MODELS[kind], ROWS[kind])) for name in speaking(kind)}

    for name, reply in replies.items():
        check(DIALECTS[name], reply, "overloaded", "Expected a wait of at most 500 ms")
        assert 1 <= int(reply.headers["retry-after"]) <= 4


@pytest.mark.parametrize("kind", [NUMBERS, TEXTS])
def test_what_waits_beyond_its_deadline_is_told_so(busy: Served, kind: str) -> None:
    question = Question(MODELS[kind], ROWS[kind][:1], timeout_ms=30)
    with holding(busy, kind):
        replies = {name: DIALECTS[name].ask(busy, question) for name in speaking(kind)}

    for name, reply in replies.items():
        check(DIALECTS[name], reply, "deadline", "before the request's deadline")


@pytest.mark.parametrize("kind", [NUMBERS, TEXTS])
def test_while_a_model_loads_it_is_not_ready(tmp_path: Path, kind: str) -> None:
    write_model(tmp_path / "a", slow(seconds=0.5), name="slow")
    write_model(tmp_path / "identity", logarithm(4), name="identity")
    write_text_model(tmp_path / "words", name="words")
    with started(command("serve", tmp_path, "--port", 0), variables=also_grpc()) as server:
        listening = server.read_until("listening")
        with httpx2.Client(base_url=listening["url"]) as client:
            early = Served(listening["url"], server, client, listening["grpc"])
            replies = {name: DIALECTS[name].ask(early, Question(MODELS[kind], ROWS[kind])) for name in speaking(kind)}
            server.read_until("ready")

    for name, reply in replies.items():
        check(DIALECTS[name], reply, "not ready", "is not ready yet")


@pytest.fixture(scope="module")
def guarded(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    path = write_tokens(tmp_path_factory.mktemp("tokens") / "tokens.toml", "chatbot", "prometheus")
    with served(models, variables={**also_grpc(), "SOFTGATE_TOKENS_FILE": str(path)}) as running:
        yield running


@spoken
def test_tokens_are_asked_for(guarded: Served, name: str, kind: str) -> None:
    dialect = DIALECTS[name]
    tokens = {"unauthorised": None, "forbidden": SECRETS["prometheus"], "good": SECRETS["chatbot"]}

    replies = {
        case: dialect.ask(guarded, Question(MODELS[kind], ROWS[kind], token=token)) for case, token in tokens.items()
    }

    check(dialect, replies["unauthorised"], "unauthorised", "Expected a token")
    check(dialect, replies["forbidden"], "forbidden", "Expected a token with the scope predict")
    assert len(dialect.rows(replies["good"])) == len(ROWS[kind])
