import pytest

from softgate.errors import SoftgateError
from softgate.workbench.bench.closed_loop import measure, quoted, script, version
from stalling import stalling
from tools import tool

ODD = [b'{"inputs": "a \\"b\\" \\n c"}', "é\U0001f600 %d %%".encode(), b'\0\r\n\x01\\"', b"]] .. os.exit() .. [["]


def test_wrk_sends_every_body_as_it_is_in_turn() -> None:
    tool("wrk")
    with stalling() as server:
        found = measure(server.url, "/", ODD, connections=2, seconds=1)

    assert server.bodies == set(ODD)
    assert found.errors == 0
    assert found.requests > 10
    assert found.requests_per_second == pytest.approx(found.requests / found.seconds)
    assert 0 < found.p50_us <= found.p90_us <= found.p99_us <= found.p999_us
    assert 0 < found.client_cpu < 1.5


def test_answers_with_an_error_are_no_throughput() -> None:
    tool("wrk")
    with stalling(status=503) as server:
        found = measure(server.url, "/", [b"{}"], connections=1, seconds=1)

    assert found.refused == found.errors == found.requests > 0
    assert found.requests_per_second == 0


def test_nobody_to_ask_is_one_sentence_of_wrk() -> None:
    tool("wrk")

    with pytest.raises(SoftgateError, match=r"wrk could not measure .*: unable to connect"):
        measure("http://127.0.0.1:1", "/", [b"{}"], connections=1, seconds=1)


def test_the_version_of_wrk_has_a_number() -> None:
    tool("wrk")

    assert any(character.isdigit() for character in version())


def test_a_missing_wrk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(SoftgateError, match="install the package wrk"):
        version()


def test_a_body_ends_no_string_of_the_script() -> None:
    assert quoted(b'a"b\\c\n\r\0') == b'"a\\"b\\\\c\\n\\r\\000"'
    assert b'  "x",\n  "y"' in script([b"x", b"y"], content_type="application/json")
