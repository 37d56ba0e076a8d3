"""NDJSON: a line in, a line out, in constant memory."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from graphs import bag_of_tokens, linear, slow, word_tokenizer, write_model
from memory import peak_mib
from servers import Served, served

NDJSON = {"content-type": "application/x-ndjson"}
SENTENCES = ("send money", "rain sun", "joke", "balance account", "laugh laugh send")
LIMIT = 200_000


def post(server: Served, model: str, content: Any, query: str = "", **headers: str) -> httpx2.Response:
    path = f"/v1/models/{model}/predict{query}"
    return server.client.post(path, content=content, headers={**NDJSON, **headers})


def lines(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def told(answer: httpx2.Response) -> list[Any]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.content.splitlines()]


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("", {}),
        ("?top_k=2", {"top_k": 2}),
        ("?top_p=0.9&logits=true", {"top_p": 0.9, "logits": True}),
        ("?temperature=2.5", {"temperature": 2.5}),
    ],
)
def test_each_line_is_the_prediction_of_the_native_answer(server: Served, query: str, fields: dict[str, Any]) -> None:
    rows = [SENTENCES[number % len(SENTENCES)] for number in range(100)]

    expected = server.predict("words", inputs=rows, **fields).json()["predictions"]

    assert told(post(server, "words", lines(*rows), query)) == expected


def test_numbers_objects_and_the_path_with_a_version(tmp_path: Path) -> None:
    weights = np.eye(4, dtype=np.float32)
    write_model(tmp_path / "named", linear(weights), name="named", keys='columns = ["a", "b", "c", "d"]')
    rows = [[1, 2, 3, 4], {"d": 1, "c": 2, "b": 3, "a": 4}]
    with served(tmp_path) as server:
        expected = server.predict("named", inputs=rows).json()["predictions"]
        answer = server.client.post("/v1/models/named/versions/1/predict", content=lines(*rows), headers=NDJSON)

    assert told(answer) == expected


def test_a_pair_of_texts_is_one_row(tmp_path: Path) -> None:
    write_model(tmp_path / "pairs", bag_of_tokens(), name="pairs", kind="text", tokenizer=word_tokenizer())
    rows = [["send", "joke"], "rain"]
    with served(tmp_path) as server:
        assert told(post(server, "pairs", lines(*rows))) == server.predict("pairs", inputs=rows).json()["predictions"]


def test_a_bad_line_is_told_in_its_place_and_the_stream_goes_on(server: Served) -> None:
    content = b'"rain"\n{"secret": 1}\n\n"joke"\n["secret", 7]\nsecret\n"secret \\ud800"\n\xff\n"sun"\r\n  \n"send"'

    found = told(post(server, "words", content))

    codes = [one.get("code", one.get("label")) for one in found]
    bad = "malformed_body"
    assert codes == ["weather", bad, bad, "joke", bad, bad, codes[6], bad, "weather", bad, "transfer"]
    assert codes[6] in {"malformed_body", "invalid_input"}
    assert [one["line"] for one in found if "code" in one] == [2, 3, 5, 6, 7, 8, 10]
    assert all(set(one) == {"line", "code", "detail"} for one in found if "code" in one)
    assert "secret" not in str(found)


def test_several_rows_are_no_row(server: Served) -> None:
    found = told(post(server, "identity", lines([[1, 2, 3, 4]], [1, 2, 3, 4], [1, 2, 3], [1e39, 2, 3, 4], [])))

    assert [one.get("code") for one in found] == [
        "malformed_body",
        None,
        "shape_mismatch",
        "non_finite_input",
        "shape_mismatch",
    ]


def test_rows_on_which_the_graph_fails_do_so_alone(server: Served) -> None:
    name = 'softgate_errors_total{code="engine_failed"}'
    before = server.metrics()[name]

    found = told(post(server, "picky", lines(*([index % 4 if index % 7 else 9] for index in range(70)))))

    assert [one.get("code") for one in found] == [None if index % 7 else "engine_failed" for index in range(70)]
    assert "index" not in str(found)
    assert server.metrics()[name] == before + 10


def test_lines_and_rows_are_counted(server: Served) -> None:
    before = server.metrics()
    told(post(server, "words", lines(*(["rain"] * 300)) + b"7\n"))
    after = server.metrics()

    def grown(name: str) -> float:
        (key,) = [key for key in after if key.startswith(name) and ("words" in key or "model=" not in key)]
        return after[key] - before[key]

    assert grown("softgate_rows_total{") == 300
    assert grown('softgate_errors_total{code="malformed_body"}') == 1
    assert grown('softgate_http_responses_total{status="200"}') == 2
    assert grown("softgate_request_duration_seconds_count{") == grown("softgate_requests_total{") >= 300 / 32


def test_a_draw_is_that_of_a_request_with_the_seed_and_the_line_added_up(server: Served) -> None:
    rows = [SENTENCES[number % len(SENTENCES)] for number in range(40)]

    found = told(post(server, "words", lines(*rows), "?select=sample&seed=5"))

    for number, (row, one) in enumerate(zip(rows, found, strict=True), start=1):
        alone = server.predict("words", inputs=row, select="sample", seed=5 + number).json()["predictions"][0]
        assert alone == one
    assert len(told(post(server, "words", lines(*rows), "?select=sample"))) == 40


@pytest.mark.parametrize(
    ("asked", "headers", "status", "code"),
    [
        ("nobody", {}, 404, "unknown_model"),
        ("words?profile=none", {}, 400, "unknown_profile"),
        ("words?top_k=0", {}, 400, "malformed_body"),
        ("words?id=7", {}, 400, "malformed_body"),
        ("words?inputs=7", {}, 400, "malformed_body"),
        ("words", {"content-encoding": "gzip"}, 415, "unsupported_encoding"),
    ],
)
def test_a_mistake_that_all_lines_share_is_a_problem(
    server: Served, asked: str, headers: dict[str, str], status: int, code: str
) -> None:
    model, mark, query = asked.partition("?")

    answer = post(server, model, lines("rain"), mark + query, **headers)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["code"] == code


def test_a_view_that_the_labels_do_not_have_is_refused_at_once(tmp_path: Path) -> None:
    write_model(tmp_path / "held", linear(np.eye(4, dtype=np.float32)), name="held", activation="sigmoid")
    with served(tmp_path) as server:
        assert post(server, "held", b"7\n", "?top_p=0.5").status_code == 400
        assert [one.get("code") for one in told(post(server, "held", b"7\n[1, 2, 3, 4]\n"))] == ["malformed_body", None]


def test_no_lines_are_answered_by_none(server: Served) -> None:
    assert told(post(server, "words", b"")) == []


def test_the_answer_names_its_request(server: Served) -> None:
    assert post(server, "words", lines("rain"), **{"x-request-id": "mine"}).headers["x-request-id"] == "mine"


def test_a_body_of_any_length_is_taken_and_a_line_above_the_limit_refused(server: Served) -> None:
    rows = lines(*SENTENCES) * (3 * LIMIT // len(lines(*SENTENCES)))
    long = b'"' + b"x" * (LIMIT + 1) + b'"\n'

    found = told(post(server, "words", rows + long + lines("rain"), "?top_k=1"))

    assert len(found) == rows.count(b"\n") + 2
    assert (found[-2]["code"], found[-2]["line"]) == ("body_too_large", len(found) - 1)
    assert found[-1]["label"] == "weather"


@contextmanager
def streaming(server: Served, model: str = "words", query: str = "") -> Iterator[socket.socket]:
    """A request whose body goes on for as long as the test sends chunks of it."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:
        head = f"POST /v1/models/{model}/predict{query} HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n"
        client.sendall(head.encode() + b"content-type: application/x-ndjson\r\n\r\n")
        yield client


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


def read_head(file: Any) -> None:
    assert file.readline().split()[1] == b"200"
    for _ in iter(file.readline, b"\r\n"):
        pass


def read_chunk(file: Any) -> bytes:
    content: bytes = file.read(int(file.readline(), 16))
    assert file.readline() == b"\r\n"
    return content


def test_a_line_is_answered_before_the_next_is_sent(server: Served) -> None:
    with streaming(server) as client, client.makefile("rb") as file:
        for number, sentence in enumerate(SENTENCES):
            half = lines(sentence)
            client.sendall(chunk(half[:4]))
            client.sendall(chunk(half[4:]))
            if number == 0:
                read_head(file)
            assert "label" in json.loads(read_chunk(file))
        client.sendall(b"0\r\n\r\n")

        assert read_chunk(file) == b""


def stream(server: Served, n_rows: int) -> int:
    """The lines that come back for so many, sent and read at the same time as a client of streams has to."""
    block = lines(*SENTENCES) * 20
    n_blocks = n_rows // 100
    with streaming(server, query="?top_k=1") as client, client.makefile("rb") as file:
        sender = threading.Thread(
            target=lambda: [client.sendall(chunk(block)) for _ in range(n_blocks)] + [client.sendall(b"0\r\n\r\n")]  # type: ignore[func-returns-value]
        )
        sender.start()
        read_head(file)
        n_lines = sum(content.count(b"\n") for content in iter(lambda: read_chunk(file), b""))
        sender.join()
    return n_lines


def test_memory_does_not_grow_with_the_lines(models: Path) -> None:
    with served(models) as server:
        assert stream(server, 20_000) == 20_000
        before = peak_mib(server.process.pid)
        assert stream(server, 200_000) == 200_000

        assert peak_mib(server.process.pid) < before + 3


def sent_until_stuck(client: socket.socket, content: bytes) -> int:
    n_sent = 0
    try:
        while n_sent < 10_000:
            client.sendall(content)
            n_sent += 1
    except TimeoutError:
        pass
    return n_sent


def test_a_client_that_does_not_read_is_not_read_from(models: Path) -> None:
    block = lines(*SENTENCES) * 1000
    with served(models) as server:
        stream(server, 20_000)
        before = peak_mib(server.process.pid)
        with streaming(server) as client, client.makefile("rb") as file:
            client.settimeout(2)
            n_sent = sent_until_stuck(client, chunk(block))
            assert server.predict("words", inputs="rain").status_code == 200
            assert peak_mib(server.process.pid) < before + 3
            client.settimeout(30)
            read_head(file)
            found = [json.loads(line) for _ in range(50) for line in read_chunk(file).splitlines()]

    assert n_sent < 200
    assert {one["label"] for one in found} == {"transfer", "weather", "joke", "balance"}


def wait_until_still(server: Served, name: str) -> float:
    """The value of a counter once it stands still."""
    value, until = -1.0, time.monotonic() + 20
    while time.monotonic() < until:
        (now,) = [count for key, count in server.metrics().items() if key.startswith(name)]
        if now == value:
            return now
        value = now
        time.sleep(0.3)
    raise AssertionError(f"{name} goes on counting.")


@pytest.fixture(scope="module")
def slow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """20 ms a row, so that a run takes a while: two rows at a time, and a queue of four."""
    folder = write_model(tmp_path_factory.mktemp("slow") / "slow", slow(seconds=0.02), name="slow")
    card = folder / "classifier.toml"
    card.write_text(
        f"{card.read_text()}\n[serving]\nmax_batch = 2\nmax_queue = 4\nrun_on = 'thread'\nparallel_runs = 1\n"
    )
    with served(folder) as server:
        yield server


def test_a_client_that_leaves_ends_the_work(slow_server: Served) -> None:
    with streaming(slow_server, "slow") as client, client.makefile("rb") as file:
        client.sendall(chunk(lines([1, 2, 3, 4]) * 5000))
        read_head(file)
        read_chunk(file)

    rows = wait_until_still(slow_server, "softgate_rows_total")
    assert rows < 1000
    assert slow_server.client.get("/readyz").status_code == 200


def test_a_client_that_leaves_before_its_first_line_is_counted_as_gone(server: Served) -> None:
    name = 'softgate_http_responses_total{status="499"}'
    before = server.metrics()[name]
    with streaming(server) as client:
        client.sendall(chunk(b'"half a li'))

    until = time.monotonic() + 20
    while server.metrics()[name] == before and time.monotonic() < until:
        time.sleep(0.05)
    assert server.metrics()[name] == before + 1


def test_others_are_answered_between_the_batches_of_a_stream(slow_server: Served) -> None:
    row = {"inputs": [1, 2, 3, 4]}
    alone = median_seconds(slow_server, row)
    with streaming(slow_server, "slow") as first, streaming(slow_server, "slow") as second:
        for client in (first, second):
            client.sendall(chunk(lines([1, 2, 3, 4]) * 2000))
        beside = median_seconds(slow_server, row)

    # The batch in the graph, then one's own; not the thousands of rows that wait, nor a batch for each stream.
    assert beside < 6 * alone + 0.05


def median_seconds(server: Served, row: dict[str, Any]) -> float:
    taken = []
    for _ in range(9):
        started = time.perf_counter()
        assert server.predict("slow", **row).status_code == 200
        taken.append(time.perf_counter() - started)
    return sorted(taken)[4]


def test_a_full_queue_makes_a_stream_wait_and_not_fail(slow_server: Served) -> None:
    stop = threading.Event()
    statuses: set[int] = set()

    def flood() -> None:
        with httpx2.Client(base_url=slow_server.url, timeout=30) as client:
            while not stop.is_set():
                statuses.add(client.post("/v1/models/slow/predict", json={"inputs": [[1, 2, 3, 4]] * 2}).status_code)

    floods = [threading.Thread(target=flood) for _ in range(6)]
    for thread in floods:
        thread.start()
    try:
        found = told(post(slow_server, "slow", lines([1, 2, 3, 4]) * 20))
        # On a busy machine the queue may not have been full yet.
        given_up = time.monotonic() + 20
        while 429 not in statuses and time.monotonic() < given_up:
            found += told(post(slow_server, "slow", lines([1, 2, 3, 4]) * 20))
    finally:
        stop.set()
        for thread in floods:
            thread.join()

    assert {one.get("code") for one in found} == {None}
    assert statuses == {200, 429}


def test_a_stream_on_a_connection_that_is_not_kept_is_logged_as_answered(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "identity", linear(np.eye(4, dtype=np.float32)), name="identity")
    with served(folder, variables={"SOFTGATE_ACCESS_LOG": "all"}) as server:
        told(post(server, "identity", lines([1, 2, 3, 4]), connection="close"))
        record = server.started.read_until("request")

    assert (record["path"], record["status"]) == ("/v1/models/identity/predict", 200)


def test_a_server_that_is_told_to_stop_cuts_a_stream_off_after_its_grace(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "slow", slow(seconds=0.02), name="slow")
    with (
        served(folder, variables={"SOFTGATE_GRACE_SECONDS": "1"}) as server,
        streaming(server, "slow") as client,
        client.makefile("rb") as file,
    ):
        client.sendall(chunk(lines([1, 2, 3, 4]) * 4000))
        read_head(file)
        code = server.stop()
        left = file.read()

    assert code == 0
    assert b'"label"' in left
    assert not left.endswith(b"0\r\n\r\n")


def test_a_client_that_sends_all_and_then_reads_gets_all_that_buffers_hold(server: Served) -> None:
    rows = list(islice(SENTENCES * 500, 2000))

    assert len(told(post(server, "words", (lines(row) for row in rows), "?top_k=1"))) == 2000
