"""`POST /models/{model}` and `POST /` as the Hugging Face Inference API answers them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, softmax

from graphs import LABELS
from servers import Served, served
from spoken import TEMPERATURE, counted, votes, write_models

PATH = "/models/words"
SECRET = "marmalade-4711"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Served]:
    with served(folder, variables={"SOFTGATE_DEFAULT_MODEL": "words", "SOFTGATE_MAX_ROWS": "8"}) as running:
        yield running


def ask(server: Served, inputs: Any, path: str = PATH, **parameters: Any) -> Any:
    response = server.client.post(path, json={"inputs": inputs, "parameters": parameters})
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json"), response.text
    return response.json()


def probabilities(row: list[dict[str, Any]]) -> dict[str, float]:
    assert [list(entry) for entry in row] == [["label", "score"]] * len(row)
    assert [entry["score"] for entry in row] == sorted([entry["score"] for entry in row], reverse=True)
    return {entry["label"]: entry["score"] for entry in row}


def calibrated(text: str) -> Any:
    return pytest.approx(dict(zip(LABELS, softmax(votes(text) / TEMPERATURE), strict=True)), abs=1e-6)


def refused(response: Any, status: int) -> str:
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json"), response.text
    assert SECRET not in response.text
    assert list(response.json()) == ["error"]
    return str(response.json()["error"])


def test_a_text_alone_is_answered_as_a_list_of_one_with_calibrated_probabilities(server: Served) -> None:
    (row,) = ask(server, "send money")

    assert probabilities(row) == calibrated("send money")


def test_a_list_of_texts_is_answered_in_its_order(server: Served) -> None:
    texts = ["send money", "rain", "joke joke"]

    assert [probabilities(row) for row in ask(server, texts)] == [calibrated(text) for text in texts]


def test_the_root_is_the_default_model(server: Served) -> None:
    assert ask(server, "rain", path="/") == ask(server, "rain")


def test_texts_may_be_named(server: Served) -> None:
    assert ask(server, {"text": "rain"}) == ask(server, "rain")
    assert ask(server, [{"text": "rain"}, "joke", {"text": "sun", "text_pair": None}]) == ask(
        server, ["rain", "joke", "sun"]
    )


@pytest.mark.parametrize("pair", [{"text": "send", "text_pair": "rain"}, [["send", "rain"]]])
def test_pairs_are_judged_together(server: Served, pair: Any) -> None:
    """The second text counts twice."""
    (row,) = ask(server, pair, path="/models/pairs")

    expected = softmax(votes("send rain rain"))
    assert probabilities(row) == pytest.approx(dict(zip(LABELS, expected, strict=True)), abs=1e-6)


def test_pairs_and_texts_may_be_mixed(server: Served) -> None:
    mixed = ["joke", ["send", "rain"], {"text": "send", "text_pair": "rain"}]

    one, two, three = ask(server, mixed, path="/models/pairs")

    assert two == three != one


def test_top_k_shows_the_first_and_does_not_renormalise(server: Served) -> None:
    whole = ask(server, ["rain", "joke"])

    for k in (1, 2, 99):
        assert ask(server, ["rain", "joke"], top_k=k) == [row[:k] for row in whole]
    assert ask(server, ["rain", "joke"], top_k=None) == whole


def test_none_shows_logits_and_the_activation_itself_what_is_shown_anyway(server: Served) -> None:
    (row,) = ask(server, "balance rain joke", function_to_apply="none", top_k=3)

    assert row == [
        {"label": "joke", "score": 4.0},
        {"label": "balance", "score": 3.0},
        {"label": "weather", "score": 3.0},
    ]
    assert ask(server, "rain", function_to_apply="softmax") == ask(server, "rain")
    assert ask(server, "rain", path="/models/several", function_to_apply="sigmoid") == ask(
        server, "rain", path="/models/several"
    )


@pytest.mark.parametrize(("model", "function"), [("words", "sigmoid"), ("several", "softmax"), ("words", SECRET)])
def test_a_function_that_is_not_calibrated_is_refused(server: Served, model: str, function: str) -> None:
    body = {"inputs": "rain", "parameters": {"function_to_apply": function}}
    activation = "sigmoid" if model == "several" else "softmax"

    said = refused(server.client.post(f"/models/{model}", json=body), 400)

    assert said == f"Expected {activation} or none as function_to_apply: {model} is calibrated for no other."


def test_labels_that_may_hold_at_once_are_sigmoids(server: Served) -> None:
    (row,) = ask(server, "send rain", path="/models/several")

    assert probabilities(row) == pytest.approx(dict(zip(LABELS, expit(votes("send rain")), strict=True)), abs=1e-6)


def test_other_models_take_their_own_rows(server: Served) -> None:
    rows = [[0.0, 1.0, 2.0, 3.0], [4.0, 0.0, 0.0, 0.0]]

    found = ask(server, rows, path="/models/identity")

    assert [probabilities(row) for row in found] == [
        pytest.approx(dict(zip(LABELS, softmax(row), strict=True)), abs=1e-6) for row in rows
    ]
    assert ask(server, rows[0], path="/models/identity") == found[:1]


@pytest.mark.parametrize("function", [None, "none"])
def test_a_row_that_gives_no_number_has_no_labels_and_the_others_have_theirs(server: Served, function: Any) -> None:
    rows = [[-1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]

    broken, whole = ask(server, rows, path="/models/logarithm", function_to_apply=function)

    assert broken == []
    assert len(whole) == 4


def test_what_the_tokenizer_or_the_service_would_take_is_passed_over(server: Served) -> None:
    body = {
        "inputs": "rain",
        "parameters": {"truncation": True, "top_k": 2},
        "options": {"wait_for_model": True},
        "wherever": {"this": ["comes", "from"]},
    }

    response = server.client.post(PATH, json=body)

    assert response.json() == ask(server, "rain", top_k=2)
    assert server.client.post(PATH, json={"inputs": "rain", "parameters": None}).json() == ask(server, "rain")


def test_unicode_comes_through(server: Served) -> None:
    assert ask(server, ["日本語 rain 🌧", "\u0000", ""]) == ask(server, ["x rain x", "x", ""])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "In the body: "),
        (b"marmalade-4711", "In the body: JSON is malformed"),
        (b"{}", "In the body: Object missing required field `inputs`"),
        (b"[]", "In the body: Expected `object`, got `array`"),
        (b'{"inputs": []}', "Expected at least 1 row; got none."),
        (b'{"inputs": 4711}', "In inputs: Expected `str"),
        (b'{"inputs": null}', "In inputs: Expected `str"),
        (b'{"inputs": ["a", 3]}', "In inputs: Expected `str"),
        (b'{"inputs": [["a", "b", "marmalade-4711"]]}', "In inputs: Expected `array` of length 2"),
        (b'{"inputs": {"marmalade-4711": "a", "text": "a"}}', "In inputs: Expected no field but text, text_pair"),
        (b'{"inputs": {"text_pair": "a"}}', "In inputs: Object missing required field `text`"),
        (b'{"inputs": "a", "parameters": {"top_k": 0}}', "In the body: Expected `int` >= 1 - at `$.parameters.top_k`"),
        (b'{"inputs": "a", "parameters": {"top_k": "marmalade-4711"}}', "In the body: Expected `int | null`"),
        (b'{"inputs": "a", "parameters": []}', "In the body: Expected `object | null`"),
        (b'{"inputs": "\xff"}', "In "),
        (b'{"inputs": "\\ud800"}', "In "),
        (b"[" * 100_000, "In the body: "),
        (b'{"inputs": ' + b"[" * 100_000, "In the body: "),
    ],
)
def test_a_bad_body_is_refused_and_not_repeated(server: Served, content: bytes, said: str) -> None:
    assert refused(server.client.post(PATH, content=content), 400).startswith(said)


def test_too_many_rows_are_too_large_a_request(server: Served) -> None:
    response = server.client.post(PATH, json={"inputs": ["a"] * 9})

    assert refused(response, 413) == "Expected at most 8 rows per request; got 9."


def test_a_pair_for_a_model_that_takes_none_is_refused(server: Served) -> None:
    body = {"inputs": {"text": SECRET, "text_pair": SECRET}}

    assert refused(server.client.post("/models/strings", json=body), 400) == (
        "Expected one text in each row: strings takes no pairs."
    )
    assert ask(server, "joke", path="/models/strings", top_k=1)[0][0]["label"] == "joke"


def test_what_goes_wrong_at_its_paths_is_told_in_its_form(server: Served) -> None:
    named = "Expected the name of a served model: "
    assert refused(server.client.post(f"/models/{SECRET}", json={"inputs": "a"}), 404).startswith(named)
    for path in ("/models", f"/models/{SECRET}/words", "/models/words/predict"):
        refused(server.client.post(path, json={"inputs": "a"}), 404)
    for path in ("/", PATH):
        refused(server.client.put(path, json={"inputs": "a"}), 405)
    refused(server.client.post(PATH, content=b"x", headers={"content-encoding": "br"}), 415)


def test_the_root_is_still_a_page_for_people(server: Served) -> None:
    assert server.client.get("/").headers["location"] == "/docs"


def test_probabilities_are_the_bits_of_the_native_answer_and_rows_count_once(server: Served) -> None:
    texts = ["send money", "rain joke", "hello", "balance"]
    native = server.predict("words", inputs=texts, logits=True).json()["predictions"]
    before = counted(server)

    found, (alone,) = ask(server, texts), ask(server, texts[1])
    logits = ask(server, texts, function_to_apply="none")

    assert [probabilities(row) for row in found] == [row["probabilities"] for row in native]
    assert probabilities(alone) == native[1]["probabilities"]
    for row, prediction in zip(logits, native, strict=True):
        assert probabilities(row) == dict(zip(LABELS, prediction["logits"], strict=True))
    # Four, one and four rows, and a decision for each.
    assert np.subtract(counted(server), before).tolist() == [9, 9]
