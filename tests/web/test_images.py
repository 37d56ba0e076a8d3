"""Images over HTTP: as base64 in JSON, and as the body itself."""

import json
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image

from graphs import write_text_model
from pictures import bomb, chunk, encoded, header, in_base64, noise, parts, png
from servers import Served, served
from softgate.web.errors import PROBLEM_JSON
from softgate.web.protocols.native import QUERY_FIELDS, decode_query
from softgate.web.protocols.predict_body import PredictBody
from tools import tool

DIGITS = Path(__file__).parents[2] / "models" / "digits"
DIGIT = (DIGITS / "digit.png").read_bytes()
PREDICT = "/v1/models/digits/predict"
SECRET = "my-password-is-hunter2"


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The digits, waiting a little for company, and a model that takes no images."""
    folder = tmp_path_factory.mktemp("models")
    write_text_model(folder / "words", name="words")
    shutil.copytree(DIGITS, folder / "digits")
    with (folder / "digits" / "classifier.toml").open("a") as card:
        card.write("\n[serving]\nmax_delay_ms = 20\n")
    with served(folder) as server:
        yield server


def send(server: Served, content: bytes, query: str = "", *, kind: str = "image/png") -> httpx2.Response:
    return server.client.post(f"{PREDICT}{query}", content=content, headers={"content-type": kind})


def check(answer: httpx2.Response, code: str, *says: str) -> None:
    problem = answer.json()
    assert answer.headers["content-type"] == PROBLEM_JSON
    assert (answer.status_code, problem["code"]) == (400, code)
    for words in says:
        assert words in problem["detail"]
    assert SECRET not in answer.text


def pixels(seed: int) -> bytes:
    """An image that no other is like: the digit with a little noise."""
    with Image.open(DIGITS / "digit.png") as image:
        digit = np.asarray(image).astype(int)
    return encoded(np.clip(digit + noise(8, 8, seed=seed) // 8, 0, 255).astype(np.uint8))


def test_curl_sends_a_file_and_gets_its_answer(digits: Served) -> None:
    line = [tool("curl"), "--silent", "--data-binary", f"@{DIGITS / 'digit.png'}", "-H", "Content-Type: image/png"]

    ended = subprocess.run([*line, f"{digits.url}{PREDICT}?top_k=2"], capture_output=True, check=True)

    (prediction,) = json.loads(ended.stdout)["predictions"]
    assert prediction["decision"]["target"] == prediction["label"] == "3"
    assert len(prediction["probabilities"]) == 2


def test_the_body_and_base64_get_the_same_answer(digits: Served) -> None:
    written = in_base64(DIGIT)

    raw = send(digits, DIGIT).json()

    assert raw["predictions"][0]["label"] == "3"
    for inputs in (written, [written], f"data:image/png;base64,{written}"):
        assert digits.predict("digits", inputs=inputs).json() == raw
    assert send(digits, DIGIT, kind="image/jpeg").json() == raw
    assert send(digits, DIGIT, kind="Image/PNG; charset=binary").json() == raw


def test_a_photo_is_an_image_too(digits: Served) -> None:
    with Image.open(DIGITS / "digit.png") as image:
        large = image.convert("RGB").resize((200, 200), Image.Resampling.NEAREST)

    answer = send(digits, encoded(large, "JPEG", quality=95), kind="image/jpeg")

    assert answer.json()["predictions"][0]["label"] == "3"


def test_a_batch_of_images_is_answered_like_each_alone(digits: Served) -> None:
    contents = [pixels(seed) for seed in range(40)]

    batch = digits.predict("digits", inputs=[in_base64(content) for content in contents], logits=True)

    alone = [send(digits, content, "?logits=true").json()["predictions"][0] for content in contents]
    for together, single in zip(batch.json()["predictions"], alone, strict=True):
        assert together["label"] == single["label"]
        assert together["logits"] == pytest.approx(single["logits"], abs=1e-4)


def test_the_query_says_of_an_image_what_json_says_of_other_rows(digits: Served) -> None:
    view: dict[str, Any] = {"top_k": 3, "temperature": 2.5, "logits": True, "id": "7", "select": "sample", "seed": 5}
    query = "?top_k=3&temperature=2.5&logits=true&id=7&select=sample&seed=5"

    assert send(digits, DIGIT, query).json() == digits.predict("digits", inputs=in_base64(DIGIT), **view).json()


def test_every_field_but_the_inputs_may_stand_in_the_query() -> None:
    asked = decode_query(b"top_k=3&top_p=0.5&logits=1&temperature=2&select=sample&seed=4&profile=a%20b&id=%C3%A4+1")

    found = {name: getattr(asked, name) for name in PredictBody.__struct_fields__ if name != "inputs"}
    assert found == {
        "id": "ä 1",
        "top_k": 3,
        "top_p": 0.5,
        "logits": True,
        "temperature": 2.0,
        "select": "sample",
        "seed": 4,
        "profile": "a b",
    }
    assert tuple(found) == QUERY_FIELDS
    assert not decode_query(b"").logits


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("?top_k=0", "In the query: Expected `int` >= 1 - at `$.top_k`."),
        (f"?top_k={SECRET}", "Expected `int | null`, got `str` - at `$.top_k`"),
        ("?top_k=", "Expected `int | null`, got `str` - at `$.top_k`"),
        ("?top_k", "Expected `int | null`, got `str` - at `$.top_k`"),
        ("?logits=perhaps", "Expected `bool`, got `str` - at `$.logits`"),
        ("?temperature=nan", "at `$.temperature`"),
        ("?temperature=1e99", "at `$.temperature`"),
        (f"?select={SECRET}", "Expected `argmax` or `sample` - at `$.select`"),
        (f"?{SECRET}=1", "Expected no field but id, top_k, top_p, logits, temperature, select, seed, profile."),
        ("?inputs=a", "Expected no field but id, top_k"),
        ("?" + "id=a&" * 50, "Expected at most 8 fields."),
        ("?id=" + "a" * 129, "at `$.id`"),
    ],
)
def test_a_mistake_in_the_query_is_named_and_not_repeated(digits: Served, query: str, says: str) -> None:
    check(send(digits, DIGIT, query), "malformed_body", says)


def test_a_profile_that_the_card_does_not_define_is_refused(digits: Served) -> None:
    check(send(digits, DIGIT, f"?profile={SECRET}"), "unknown_profile")


def test_beside_json_the_query_means_nothing(digits: Served) -> None:
    body = {"inputs": in_base64(DIGIT)}

    assert digits.client.post(f"{PREDICT}?top_k=1&{SECRET}", json=body).json() == send(digits, DIGIT).json()


def test_a_model_that_takes_no_images_says_so(digits: Served) -> None:
    answer = digits.client.post("/v1/models/words/predict", content=DIGIT, headers={"content-type": "image/png"})

    check(answer, "malformed_body", "Expected a body of JSON, for words takes no images")


FIRST, *REST = parts(DIGIT)
BAD: list[tuple[str, bytes, str, str]] = [
    ("empty", b"", "image_invalid", "neither"),
    ("JSON", b'{"inputs": "a"}', "image_invalid", "neither"),
    ("GIF", encoded(noise(8, 8), "GIF"), "image_invalid", "Expected PNG or JPEG images; row 0 is neither"),
    ("cut PNG", DIGIT[:-20], "image_invalid", "Expected whole PNG or JPEG images"),
    ("cut JPEG", encoded(noise(64, 64), "JPEG")[:-20], "image_invalid", "Expected whole PNG or JPEG images"),
    ("corrupt", DIGIT[:50] + b"?" + DIGIT[51:], "image_invalid", "Expected whole PNG or JPEG images"),
    ("16 bits", png(header(8, 8, bits=16)), "image_invalid", "at most 8 bits per channel; row 0 has 16."),
    ("bomb", bomb(), "image_too_large", "at most 16777216 pixels and 65535 a side; row 0 has 30000 x 30000."),
    ("its text", png(FIRST, chunk(b"tEXt", SECRET.encode()), chunk(b"IDAT", b"?")), "image_invalid", "whole"),
]


@pytest.mark.parametrize(("content", "code", "says"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_image_is_refused_however_it_comes(digits: Served, content: bytes, code: str, says: str) -> None:
    check(send(digits, content), code, says)
    check(digits.predict("digits", inputs=in_base64(content)), code, says)


@pytest.mark.parametrize("inputs", ["not base64!", f"{in_base64(DIGIT)}\n", [f"data:text/plain,{SECRET}"], [SECRET]])
def test_base64_that_is_none_is_refused(digits: Served, inputs: object) -> None:
    check(digits.predict("digits", inputs=inputs), "image_invalid", "Expected images in padded base64")


def test_a_refusal_names_the_row(digits: Served) -> None:
    check(digits.predict("digits", inputs=[in_base64(DIGIT), in_base64(bomb())]), "image_too_large", "row 1 has")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_palettes_alpha_and_the_rest_are_answered(digits: Served, mode: str) -> None:
    with Image.open(DIGITS / "digit.png") as image:
        answer = send(digits, encoded(image.convert(mode)))

    assert answer.status_code == 200
    assert mode == "1" or answer.json()["predictions"][0]["label"] == "3"


def seconds(server: Served, content: bytes, status: int, *, times: int = 15) -> float:
    found = []
    for _ in range(times):
        started = time.perf_counter()
        assert send(server, content).status_code == status
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def test_a_bomb_is_refused_as_fast_as_a_digit_is_answered(digits: Served) -> None:
    refusal, answer = seconds(digits, bomb(), 400), seconds(digits, DIGIT, 200)

    # An answer waits 20 ms for company; decoding the bomb would take a hundred times that.
    assert refusal < answer


def test_a_bad_image_fails_alone_and_those_that_came_with_it_are_answered(digits: Served) -> None:
    jpeg = encoded(noise(64, 64), "JPEG")
    good = [pixels(seed) for seed in range(24)]
    expected = [send(digits, content).json()["predictions"][0]["label"] for content in good]
    mixed = [content for triple in zip(good, [DIGIT[:-20]] * 24, [jpeg[:-20]] * 24, strict=True) for content in triple]
    before = digits.metrics()

    with ThreadPoolExecutor(max_workers=len(mixed)) as pool:
        answers = list(pool.map(lambda content: send(digits, content), mixed))

    after = digits.metrics()
    assert [answer.json()["predictions"][0]["label"] for answer in answers[::3]] == expected
    for answer in (*answers[1::3], *answers[2::3]):
        check(answer, "image_invalid", "Expected whole PNG or JPEG images")
    name = 'softgate_errors_total{code="image_invalid"}'
    assert after[name] - before[name] == 48


def test_the_docs_offer_a_file_to_send_and_the_fields_of_its_query(digits: Served) -> None:
    operation = digits.client.get("/openapi.json").json()["paths"]["/v1/models/{model}/predict"]["post"]

    content = operation["requestBody"]["content"]
    for kind in ("image/png", "image/jpeg"):
        assert content[kind]["schema"] == {"type": "string", "format": "binary"}
    query = {field["name"]: field["schema"] for field in operation["parameters"] if field["in"] == "query"}
    fields = content["application/json"]["schema"]["properties"]
    assert tuple(query) == QUERY_FIELDS
    for name, schema in query.items():
        assert schema.items() <= fields[name].items()
    (example,) = [value["value"] for name, value in content["application/json"]["examples"].items() if "image" in name]
    assert digits.predict("digits", **example).json()["predictions"][0]["label"] == "3"
