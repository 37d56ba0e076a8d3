"""Bodies that mean harm: an answer of 200 or a problem that blames the client, in bounded memory; never a 5xx."""

import json
from collections.abc import Callable, Iterator

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from json_corpus import BODIES, CORPUS, SECRET, broken
from memory import peak_mib
from raw_http import answers, exchange
from servers import Served, served
from softgate.errors import InvalidInput
from softgate.runtime.lines import Lines
from softgate.web.errors import PROBLEM_JSON
from softgate.web.protocols.native import decode_inputs, decode_query
from web.conftest import write_models
from web.test_decode import WAYS

MODELS = ("words", "identity", "logarithm")
# An answer that lists what was wrong with each of a million rows would be the attack's second half.
LARGEST_PROBLEM_BYTES = 1000
LARGEST_BODY_BYTES = 200_000
MEMORY_MIB = 32


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of its own, for its memory is measured."""
    variables = {
        "SOFTGATE_MAX_BODY_BYTES": str(LARGEST_BODY_BYTES),
        "SOFTGATE_MAX_ROWS": "100",
        "SOFTGATE_ACCESS_LOG": "none",
    }
    with served(write_models(tmp_path_factory.mktemp("target")), variables=variables) as server:
        yield server


def check(answer: httpx2.Response) -> None:
    assert answer.status_code < 500, answer.text
    if answer.status_code == 200:
        return
    problem = answer.json()
    assert answer.headers["content-type"] == PROBLEM_JSON
    assert problem.keys() == {"type", "title", "status", "detail", "code", "request_id"}
    assert SECRET not in answer.text
    assert len(answer.content) < LARGEST_PROBLEM_BYTES


def test_the_corpus_is_large() -> None:
    assert len(CORPUS) >= 1500


@pytest.mark.parametrize("model", MODELS)
def test_no_body_of_the_corpus_is_our_fault_nor_repeated_nor_kept(target: Served, model: str) -> None:
    for body in CORPUS[:100]:
        target.client.post(f"/v1/models/{model}/predict", content=body)
    before = peak_mib(target.process.pid)

    statuses = set()
    for path, bodies in (("predict", CORPUS), ("rank", CORPUS[::7])):
        for body in bodies:
            answer = target.client.post(f"/v1/models/{model}/{path}", content=body)
            check(answer)
            statuses.add(answer.status_code)

    assert statuses <= {200, 400, 413}
    assert peak_mib(target.process.pid) - before < MEMORY_MIB
    assert target.process.poll() is None


def test_no_line_of_the_corpus_is_our_fault_nor_repeated(target: Served) -> None:
    """A stream of lines answers each, and goes on."""
    lines = [body for body in CORPUS if b"\n" not in body and b"\r" not in body]
    headers = {"content-type": "application/x-ndjson"}
    content = b"\n".join(lines) + b"\n"

    answer = target.client.post("/v1/models/words/predict", content=content, headers=headers)

    told = [json.loads(line) for line in answer.text.splitlines()]
    assert len(told) == len(lines)
    refused = [one for one in told if "label" not in one]
    assert {one["code"] for one in refused} <= {"malformed_body", "text_too_long", "body_too_large", "shape_mismatch"}
    assert SECRET not in json.dumps([one["detail"] for one in refused])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=broken(), model=st.sampled_from(MODELS))
def test_no_broken_body_is_our_fault(target: Served, body: bytes, model: str) -> None:
    check(target.client.post(f"/v1/models/{model}/predict", content=body))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=400), start=st.integers(0, 60))
def test_no_bytes_on_a_connection_are_our_fault(target: Served, content: bytes, start: int) -> None:
    """The beginning of a request, then anything. The server answers it or closes, and answers the next client."""
    head = b"POST /v1/models/words/predict HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"[: start * 2]

    for told in answers(exchange(target, head + content + b"\r\n\r\n\r\n" + b"\0")):
        assert told.status < 500 or told.status == 505
    assert target.client.get("/livez").status_code == 200


def refusal(read: Callable[[], object]) -> str:
    """What is said of a request that is refused; any other exception is a fault of ours."""
    try:
        read()
    except InvalidInput as exc:
        return str(exc)
    return ""


@settings(max_examples=1500, deadline=None)
@given(content=broken(), way=st.sampled_from(sorted(WAYS)))
def test_rows_are_decoded_or_refused(content: bytes, way: str) -> None:
    def read() -> None:
        values = decode_inputs(content, WAYS[way])
        # The classifier refuses no rows before it asks.
        if values:
            WAYS[way].check(values)

    assert SECRET not in refusal(read)


@settings(max_examples=500, deadline=None)
@given(query=st.binary(max_size=80) | BODIES.map(lambda body: json.dumps(body).replace(":", "=").encode()))
def test_queries_are_decoded_or_refused(query: bytes) -> None:
    assert SECRET not in refusal(lambda: decode_query(query))


@settings(max_examples=500, deadline=None)
@given(pieces=st.lists(st.binary(max_size=60) | st.sampled_from([b"\n", b"\r\n", b'"a"\n']), max_size=20))
def test_lines_are_cut_alike_however_they_arrive(pieces: list[bytes]) -> None:
    def cut(parts: list[bytes]) -> list[tuple[int, bytes | None]]:
        lines = Lines(limit=50)
        found = [line for part in parts for line in lines.feed(part)]
        return [(line.number, line.content) for line in [*found, *lines.rest()]]

    assert cut(pieces) == cut([bytes([byte]) for byte in b"".join(pieces)])
