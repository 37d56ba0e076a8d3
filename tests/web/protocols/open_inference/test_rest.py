"""The wire of the Open Inference Protocol over HTTP, as a server speaks it."""

import gzip
import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy.special import softmax

from dialects import as_bytes, strict, strings
from servers import Served

LENGTH = "inference-header-content-length"
ROWS = [[0.5, 3.0, -1.0, 0.0], [1.0, 0.0, 0.0, 2.0]]
FEATURES: dict[str, Any] = {"name": "features", "datatype": "FP32", "shape": [2, 4]}
TEXT: dict[str, Any] = {"name": "text", "datatype": "BYTES", "shape": [1]}
SECRET = "x1lophone"


def infer(server: Served, body: Any, *, model: str = "identity", **headers: str) -> httpx2.Response:
    return server.client.post(f"/v2/models/{model}/infer", content=json.dumps(body), headers=headers)


def binary(head: Any, raw: bytes) -> tuple[bytes, Mapping[str, str]]:
    content = json.dumps(head).encode()
    return content + raw, {LENGTH: str(len(content))}


def post(server: Served, body: bytes, headers: Mapping[str, str], *, model: str = "identity") -> httpx2.Response:
    return server.client.post(f"/v2/models/{model}/infer", content=body, headers=headers)


def outputs(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return {output["name"]: output for output in strict(answer)["outputs"]}


def check(answer: httpx2.Response, status: int, message: str) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert list(answer.json()) == ["error"]
    assert message in answer.json()["error"]


def test_an_answer_has_the_protocols_form(server: Served) -> None:
    answer = infer(
        server, {"id": "abc", "inputs": [{**FEATURES, "data": ROWS}], "outputs": [{"name": "probabilities"}]}
    )

    assert strict(answer) == {
        "model_name": "identity",
        "model_version": "1",
        "id": "abc",
        "outputs": [
            {
                "name": "probabilities",
                "datatype": "FP64",
                "shape": [2, 4],
                "data": pytest.approx(softmax(ROWS, axis=1).ravel().tolist(), rel=1e-12),
            }
        ],
    }


@pytest.mark.parametrize("identity", ["", "é", "x" * 128])
def test_an_id_comes_back_as_it_is(server: Served, identity: str) -> None:
    answer = infer(server, {"id": identity, "inputs": [{**FEATURES, "data": ROWS}]})

    assert answer.json()["id"] == identity


def test_flat_and_nested_data_and_a_path_with_its_version_are_the_same(server: Served) -> None:
    flat = [value for row in ROWS for value in row]
    answers = [infer(server, {"inputs": [{**FEATURES, "data": data}]}) for data in (ROWS, flat)]
    versioned = server.client.post(
        "/v2/models/identity/versions/1/infer", json={"inputs": [{**FEATURES, "data": flat}]}
    )

    assert outputs(answers[0]) == outputs(answers[1]) == outputs(versioned)
    assert [*outputs(versioned)] == ["logits", "probabilities", "label", "confidence", "decision", "prediction_set"]


def test_outputs_come_in_the_order_asked_for(server: Served) -> None:
    asked = [{"name": "label"}, {"name": "logits"}]

    found = outputs(infer(server, {"inputs": [{**FEATURES, "data": ROWS}], "outputs": asked}))

    assert [*found] == ["label", "logits"]
    assert found["logits"]["data"] == [value for row in ROWS for value in row]
    assert found["label"] == {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["balance", "joke"]}


@pytest.mark.parametrize("data", [["send money"], [["send money"]]])
def test_a_text_may_stand_in_a_column_of_its_own(server: Served, data: list[Any]) -> None:
    alone = infer(server, {"inputs": [{**TEXT, "data": ["send money"]}]}, model="words")
    column = infer(server, {"inputs": [{**TEXT, "shape": [1, 1], "data": data}]}, model="words")

    assert outputs(column) == outputs(alone)
    assert outputs(column)["label"]["data"] == ["transfer"]


@pytest.mark.parametrize("pad", range(8))
def test_tensors_as_bytes_are_the_same_as_in_json(server: Served, pad: int) -> None:
    """Wherever in the body they begin."""
    raw = as_bytes(ROWS)
    head = {
        "id": "x" * pad,
        "inputs": [{**FEATURES, "parameters": {"binary_data_size": len(raw)}}],
        "parameters": {"binary_data_output": True},
        "outputs": [
            {"name": "probabilities"},
            {"name": "logits", "parameters": {"binary_data": False}},
            {"name": "label"},
        ],
    }
    answer = post(server, *binary(head, raw))
    plain = outputs(infer(server, {"inputs": [{**FEATURES, "data": ROWS}]}))

    assert answer.headers["content-type"] == "application/octet-stream"
    length = int(answer.headers[LENGTH])
    told, blobs = json.loads(answer.content[:length]), answer.content[length:]
    probabilities, logits, label = told["outputs"]
    assert (probabilities["parameters"], label["parameters"]) == ({"binary_data_size": 64}, {"binary_data_size": 19})
    assert "data" not in probabilities
    assert logits == plain["logits"]
    assert np.frombuffer(blobs[:64]).tolist() == plain["probabilities"]["data"]
    assert strings(blobs[64:]) == plain["label"]["data"]


def test_json_in_and_bytes_out_and_the_other_way(server: Served) -> None:
    raw = as_bytes(["send money"])
    out = [{"name": "confidence", "parameters": {"binary_data": True}}]

    to_bytes = infer(server, {"inputs": [{**TEXT, "data": ["send money"]}], "outputs": out}, model="words")
    head = {"inputs": [{**TEXT, "parameters": {"binary_data_size": len(raw)}}], "outputs": [{"name": "confidence"}]}
    to_json = post(server, *binary(head, raw), model="words")

    assert (
        np.frombuffer(to_bytes.content[int(to_bytes.headers[LENGTH]) :]).tolist()
        == outputs(to_json)["confidence"]["data"]
    )
    assert to_json.headers["content-type"] == "application/json"
    assert LENGTH not in to_json.headers


def test_a_body_without_json_is_one_row_of_the_only_input(server: Served) -> None:
    number = post(server, as_bytes(ROWS[:1]), {LENGTH: "0"})
    text = post(server, b"send money", {LENGTH: "0"}, model="words")
    expected = outputs(infer(server, {"inputs": [{**FEATURES, "shape": [1, 4], "data": ROWS[:1]}]}))

    told = json.loads(number.content[: int(number.headers[LENGTH])])["outputs"]
    assert all("binary_data_size" in output["parameters"] for output in told)
    (confidence,) = np.frombuffer(number.content, np.float64, 1, offset=confidence_at(number))
    assert [confidence] == expected["confidence"]["data"]
    assert b"transfer" in text.content


def confidence_at(answer: httpx2.Response) -> int:
    start = int(answer.headers[LENGTH])
    for output in json.loads(answer.content[:start])["outputs"]:
        if output["name"] == "confidence":
            break
        start += output["parameters"]["binary_data_size"]
    return start


def test_classes_are_told_with_their_labels(server: Served) -> None:
    asked = [{"name": "probabilities", "parameters": {"classification": 2}}]

    found = outputs(infer(server, {"inputs": [{**FEATURES, "data": ROWS}], "outputs": asked}))["probabilities"]

    p = softmax(ROWS, axis=1)
    best = [f"{p[0, 1]:f}:1:balance", f"{p[0, 0]:f}:0:transfer", f"{p[1, 3]:f}:3:joke", f"{p[1, 0]:f}:0:transfer"]
    assert found == {"name": "probabilities", "datatype": "BYTES", "shape": [2, 2], "data": best}


def test_parameters_change_what_is_shown_and_unknown_ones_nothing(server: Served) -> None:
    def told(**parameters: object) -> dict[str, Any]:
        return outputs(infer(server, {"inputs": [{**FEATURES, "data": ROWS}], "parameters": parameters}))

    plain = told()
    others = {
        "sequence_id": 7,
        "sequence_start": True,
        "priority": 3,
        "triton_x": "y",
        "headers": {"a": [1]},
        "route": 1,
    }
    assert told(**others, content_type="np", timeout=0) == plain
    warm = told(temperature=2, top_k=1)
    p = softmax(np.array(ROWS) / 2, axis=1)
    assert_array_equal(np.array(warm["probabilities"]["data"]).nonzero()[0], [1, 7])
    assert warm["confidence"]["data"] == pytest.approx(p.max(axis=1).tolist(), rel=1e-12)
    assert warm["decision"] == plain["decision"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"top_k": 0}, "Expected `int` >= 1"),
        ({"top_k": "three"}, "Expected `int | null`, got `str`"),
        ({"temperature": 0}, "Expected `float` >="),
        ({"timeout": -1}, "Expected `int` >= 0"),
        ({"timeout": 1.5}, "Expected `int`, got `float`"),
        ({"profile": "none such"}, "Expected a profile of the card: default"),
        ({"binary_data_output": 1}, "Expected `bool`, got `int`"),
    ],
)
def test_parameters_that_are_none_such_are_refused(server: Served, parameters: dict[str, Any], message: str) -> None:
    check(infer(server, {"inputs": [{**FEATURES, "data": ROWS}], "parameters": parameters}), 400, message)


@pytest.mark.parametrize("content_type", ["", "application/x-ndjson", "application/x-www-form-urlencoded", "image/png"])
@pytest.mark.parametrize("query", ["", "?whole=no"])
def test_what_a_body_is_called_changes_nothing(server: Served, content_type: str, query: str) -> None:
    raw = as_bytes(ROWS)
    body, headers = binary({"inputs": [{**FEATURES, "parameters": {"binary_data_size": len(raw)}}]}, raw)
    headers = {**headers, "content-type": content_type}

    answer = server.client.post(f"/v2/models/identity/infer{query}", content=body, headers=headers)

    assert outputs(answer)["label"]["data"] == ["balance", "joke"]


def test_a_name_may_be_quoted(server: Served) -> None:
    answer = server.client.post(
        "/v2/models/%69dentity/versions/%31/infer", content=json.dumps({"inputs": [{**FEATURES, "data": ROWS}]})
    )

    assert outputs(answer)["label"]["data"] == ["balance", "joke"]


@pytest.mark.parametrize(("name", "library"), [("gzip", gzip), ("deflate", zlib)])
def test_bodies_are_compressed_both_ways(server: Served, name: str, library: Any) -> None:
    rows = ROWS * 20
    raw = as_bytes(rows)
    head = {
        "inputs": [{**FEATURES, "shape": [40, 4], "parameters": {"binary_data_size": len(raw)}}],
        "parameters": {"binary_data_output": True},
    }
    body, headers = binary(head, raw)
    request = server.client.build_request(
        "POST",
        "/v2/models/identity/infer",
        content=library.compress(body),
        headers={**headers, "content-encoding": name, "accept-encoding": f"{name};q=0.5, br"},
    )
    answer = server.client.send(request, stream=True)
    compressed = b"".join(answer.iter_raw())
    plain = post(server, body, {**headers, "accept-encoding": "identity"})

    assert (answer.headers["content-encoding"], answer.headers["vary"]) == (name, "accept-encoding")
    assert len(compressed) < len(plain.content)
    assert library.decompress(compressed) == plain.content
    assert answer.headers[LENGTH] == plain.headers[LENGTH]
    assert "content-encoding" not in plain.headers


def test_numbers_that_json_does_not_have_are_zeros_that_the_answer_names(server: Served) -> None:
    rows = [[1.0, 0.0, -3.0, 4.0], [1.0, 2.0, 3.0, 4.0]]
    raw = as_bytes(rows)
    body, headers = binary(
        {
            "inputs": [{**FEATURES, "parameters": {"binary_data_size": len(raw)}}],
            "outputs": [{"name": "logits", "parameters": {"binary_data": True}}],
        },
        raw,
    )
    answer = infer(server, {"inputs": [{**FEATURES, "data": rows}]}, model="logarithm")
    exact = post(server, body, headers, model="logarithm")

    found = outputs(answer)
    assert answer.json()["parameters"] == {"non_finite_rows": "[0]"}
    assert found["logits"]["data"][:4] == [0, 0, 0, pytest.approx(np.log(4))]
    assert found["probabilities"]["data"][:4] == [0, 0, 0, 0]
    assert json.loads(found["decision"]["data"][0])["reason"] == "non_finite"
    logits = np.frombuffer(exact.content[int(exact.headers[LENGTH]) :], np.float32)
    assert_array_equal(logits[:3], [0, -np.inf, np.nan])


def test_a_timeout_in_microseconds_is_a_deadline(server: Served) -> None:
    body = {"inputs": [{**FEATURES, "data": ROWS}], "parameters": {"timeout": 1}}

    check(infer(server, body), 504, "Expected to reach the graph before the request's deadline")


def sized(tensor: dict[str, Any], n_bytes: int) -> bytes:
    """The JSON of a request whose only tensor stands behind it."""
    return json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": n_bytes}}]}).encode()


def listed(**changes: Any) -> bytes:
    return json.dumps({"inputs": [{**FEATURES, "data": ROWS, **changes}]}).encode()


HEAD, OF_TEXT = sized(FEATURES, 32), sized(TEXT, 8)
N = str(len(HEAD))
# A body, what its header says of the JSON in it, and what is said of both.
NUMBERS: dict[str, tuple[bytes, str | None, str]] = {
    "too few bytes": (HEAD + b"\0" * 31, N, "Expected 32 bytes behind the JSON; 31 are left"),
    "trailing bytes": (HEAD + b"\0" * 40, N, "Expected 32 bytes behind the JSON, as its inputs say; got 40"),
    "another size": (sized(FEATURES, 40) + b"\0" * 40, N, "In inputs[0]: Expected 32 bytes; got 40"),
    "bytes and no header": (HEAD, None, "Expected 32 bytes behind the JSON; 0 are left"),
    "header beyond the body": (HEAD, "9999", f"at most {N}, the body's length"),
    "header that is no number": (b"{}", "abc", "at most 2, the body's length"),
    "negative header": (b"{}", "-1", "at most 2, the body's length"),
    "header in another script": (b"{}", "\xb2", "at most 2, the body's length"),
    "endless header": (b"{}", "9" * 400, "at most 2, the body's length"),
    "header within the JSON": (HEAD + b"\0" * 32, "10", "In the body: "),
    "no body": (b"", None, "In the body: "),
    "no inputs": (b'{"inputs": []}', None, "Expected one tensor for each of the inputs features; got 0"),
    "a list": (b"[]", None, "Expected `object`, got `array`"),
    "no data": (json.dumps({"inputs": [FEATURES]}).encode(), None, "Expected either data or"),
    "both": (listed(parameters={"binary_data_size": 0}), None, "Expected either data or"),
    "negative shape": (listed(shape=[-2, 4]), None, "Expected `int` >= 0"),
    "shape beyond the wire's integers": (listed(shape=[2**63, 4]), None, "Expected `int` <= 9223372036854775807"),
    "shape of endless digits": (listed(shape=[int("9" * 4300), 4]), None, "Expected `int` <= 9223372036854775807"),
    "overflowing shape": (listed(shape=[2**62, 2**62]), None, "Expected the shape [-1, 4] for features"),
    "no axes": (listed(shape=[]), None, "got 0 axes"),
    "no rows": (listed(shape=[0, 4], data=[]), None, "at least 1 row"),
    "too few elements": (listed(data=[1, 2, 3]), None, "Expected 8 elements, as its shape says; got 3"),
    "another datatype": (listed(datatype="FP64"), None, "Expected the datatype FP32 for features; got FP64"),
    "no datatype": (listed(datatype="BF16"), None, "Expected the datatype FP32 for features; got something else"),
    "another name": (listed(name="x"), None, "inputs features; got 1 tensors"),
    "raw of another size": (b"\0" * 15, "0", "In the body: Expected 16 bytes; got 15"),
    "raw of nothing": (b"", "0", "In the body: Expected 16 bytes; got 0"),
}
TEXTS = {
    "a string beyond the tensor": (b"\5\0\0\0abcd", "Expected 5 bytes in element 0; 4 are left"),
    "an endless string": (b"\xff" * 8, "Expected 4294967295 bytes in element 0"),
    "bytes behind the string": (b"\3\0\0\0abcd", "nothing behind the 1 elements; got 1 bytes"),
    "no text": (b"\4\0\0\0\xff\xfe\xff\xfe", "Expected strings in UTF-8"),
}
MALFORMED = {
    **{name: ("identity", *case) for name, case in NUMBERS.items()},
    **{name: ("words", OF_TEXT + raw, str(len(OF_TEXT)), said) for name, (raw, said) in TEXTS.items()},
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_requests_are_refused_and_the_server_lives(server: Served, case: str) -> None:
    model, body, length, message = MALFORMED[case]
    headers = [] if length is None else [(LENGTH.encode(), length.encode("latin-1"))]

    answer = server.client.post(f"/v2/models/{model}/infer", content=body, headers=headers)

    check(answer, 400, message)
    assert infer(server, {"inputs": [{**FEATURES, "data": ROWS}]}).status_code == 200


def test_rows_without_end_are_too_many(server: Served) -> None:
    answer = server.client.post("/v2/models/identity/infer", content=listed(shape=[2**63 - 1, 4]))

    check(answer, 413, "Expected at most 100 rows per request")


def test_two_lengths_of_the_json_are_refused(server: Served) -> None:
    headers = [(LENGTH.encode(), b"2"), (LENGTH.encode(), b"0")]

    check(server.client.post("/v2/models/identity/infer", content=b"{}", headers=headers), 400, "the body's length")


def test_shared_memory_is_an_extension_that_there_is_not(server: Served) -> None:
    region = {"shared_memory_region": "here", "shared_memory_byte_size": 32}
    out = [{"name": "logits", "parameters": region}]

    check(infer(server, {"inputs": [{**FEATURES, "parameters": region}]}), 501, "there is no shared memory")
    check(infer(server, {"inputs": [{**FEATURES, "data": ROWS}], "outputs": out}), 501, "there is no shared memory")


@pytest.mark.parametrize(
    "body",
    [
        {SECRET: 1},
        {"inputs": [{**FEATURES, "name": SECRET, "data": ROWS}]},
        {"inputs": [{**FEATURES, "datatype": SECRET, "data": ROWS}]},
        {"inputs": [{**FEATURES, "data": [SECRET] * 8}]},
        {"inputs": [{**FEATURES, "data": ROWS}], "outputs": [{"name": SECRET}]},
        {"inputs": [{**FEATURES, "data": ROWS}], "parameters": {"profile": SECRET}},
        {"inputs": [{**FEATURES, "data": ROWS}], "parameters": {"top_k": SECRET}},
        {"inputs": [{**FEATURES, "data": ROWS}], "parameters": {SECRET: SECRET}, "id": 3},
    ],
)
def test_nothing_of_a_tensor_request_is_repeated(server: Served, body: dict[str, Any]) -> None:
    answer = infer(server, body)

    assert answer.status_code == 400
    assert SECRET not in answer.text
    assert "Expected" in answer.json()["error"] or "required" in answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/v2/models/nobody/infer", 404, "Request for unknown model: 'nobody' is not served. Expected the name of"),
        ("/v2/models/words/versions/7/infer", 404, "Request for unknown model: 'words' is not served. Expected the"),
        ("/v2/models/%3Cscript%3E/infer", 404, "Request for unknown model is not served. Expected the name of"),
        ("/v2/models/words/infer/", 404, "Expected a path of the API"),
        ("/v2/nothing", 404, "Expected a path of the API"),
    ],
)
def test_paths_that_lead_nowhere_say_so_in_the_protocols_form(
    server: Served, path: str, status: int, message: str
) -> None:
    answer = server.client.post(path, json={"inputs": []})

    check(answer, status, message)
    assert "script" not in answer.text


def test_another_method_is_refused_in_the_protocols_form(server: Served) -> None:
    answer = server.client.get("/v2/models/words/infer")

    check(answer, 405, "Expected another method")
    assert answer.headers["allow"] == "POST"


def test_a_body_too_large_is_refused_in_the_protocols_form(server: Served) -> None:
    check(post(server, b"x" * 300_000, {}), 413, "Expected a body of at most 200000 bytes")
    check(post(server, b"{}", {"content-encoding": "br"}), 415, "gzip or deflate")


PIECES: Sequence[bytes] = [
    HEAD,
    OF_TEXT,
    listed(),
    as_bytes(ROWS),
    struct.pack("<I", 4) + b"rain",
    b"{",
    b"[" * 50,
    b'"shape":[-1,18446744073709551616]',
    b"\xff" * 7,
    b"",
]


@settings(
    max_examples=300,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    parts=st.lists(st.sampled_from(PIECES) | st.binary(max_size=40), max_size=4),
    cut=st.integers(0, 60),
    length=st.integers(-1, 400) | st.sampled_from([0, len(PIECES[0]), len(PIECES[1]), 2**40]),
    model=st.sampled_from(["identity", "words"]),
)
def test_made_up_bodies_are_answered_or_refused(
    server: Served, parts: list[bytes], cut: int, length: int, model: str
) -> None:
    body = b"".join(parts)

    answer = post(server, body[: len(body) - cut] if cut < 20 else body, {LENGTH: str(length)}, model=model)

    assert answer.status_code in (200, 400)
    if answer.status_code == 400:
        assert list(answer.json()) == ["error"]
