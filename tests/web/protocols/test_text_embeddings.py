"""`POST /predict` as Text Embeddings Inference answers it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax

from graphs import LABELS
from servers import Served, served
from softgate.errors import InvalidInput
from softgate.policy.catalogue import Catalogue
from softgate.web.errors import Problem
from softgate.web.protocols import PROTOCOLS
from spoken import TEMPERATURE, answered, call, catalogue_of, counted, votes, write_models

PATH = "/predict"
SECRET = "marmalade-4711"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Served]:
    with served(folder, variables={"SOFTGATE_DEFAULT_MODEL": "words", "SOFTGATE_MAX_ROWS": "8"}) as running:
        yield running


@pytest.fixture(scope="module")
def pairs(folder: Path) -> Iterator[Catalogue]:
    with catalogue_of(folder / "pairs", default="pairs") as found:
        yield found


def ask(server: Served, inputs: Any, **more: Any) -> Any:
    response = server.client.post(PATH, json={"inputs": inputs, **more})
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json"), response.text
    return response.json()


def scores(row: list[dict[str, Any]]) -> dict[str, float]:
    assert [entry["score"] for entry in row] == sorted([entry["score"] for entry in row], reverse=True)
    return {entry["label"]: entry["score"] for entry in row}


def calibrated(text: str, temperature: float = TEMPERATURE) -> Any:
    return pytest.approx(dict(zip(LABELS, softmax(votes(text) / temperature), strict=True)), abs=1e-6)


def refused(response: Any, status: int, kind: str) -> str:
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json"), response.text
    assert SECRET not in response.text
    told = response.json()
    assert list(told) == ["error", "error_type"]
    assert told["error_type"] == kind
    return str(told["error"])


def test_a_text_alone_is_answered_with_one_list(server: Served) -> None:
    assert scores(ask(server, "send money")) == calibrated("send money")
    assert ask(server, ["send money"]) == ask(server, "send money")


def test_a_batch_is_a_list_of_lists_and_so_is_its_answer(server: Served) -> None:
    found = ask(server, [["send money"], ["rain"]])

    assert [scores(row) for row in found] == [calibrated("send money"), calibrated("rain")]
    assert ask(server, [["rain"]]) == [ask(server, "rain")]


def test_a_list_of_two_texts_is_a_pair(pairs: Catalogue) -> None:
    """The second text counts twice."""
    found = answered(pairs, "text_embeddings", PATH, {"inputs": ["send", "rain"]})
    mixed = answered(pairs, "text_embeddings", PATH, {"inputs": [["joke"], ["send", "rain"]]})

    assert scores(found) == calibrated("send rain rain", 1.0)
    assert [scores(row) for row in mixed] == [calibrated("joke", 1.0), calibrated("send rain rain", 1.0)]


def test_raw_scores_are_logits(server: Served) -> None:
    assert ask(server, "balance rain joke", raw_scores=True)[:2] == [
        {"label": "joke", "score": 4.0},
        {"label": "balance", "score": 3.0},
    ]
    assert len(ask(server, [["rain"], ["joke"]], raw_scores=True)) == 2


def test_how_a_text_is_cut_is_the_tokenizers_matter(server: Served) -> None:
    more = {"truncate": True, "truncation_direction": "left", "prompt_name": None}

    assert ask(server, "rain", **more) == ask(server, "rain", truncate=None) == ask(server, "rain")


def test_scores_are_the_bits_of_the_native_answer_and_rows_count_once(server: Served) -> None:
    texts = ["send money", "rain joke", "hello"]
    native = server.predict("words", inputs=texts).json()["predictions"]
    before = counted(server)

    found = ask(server, [[text] for text in texts])

    assert [scores(row) for row in found] == [row["probabilities"] for row in native]
    assert np.subtract(counted(server), before).tolist() == [3, 3]


def test_unicode_comes_through(server: Served) -> None:
    assert ask(server, [["日本語 rain 🌧"], [""]]) == ask(server, [["x rain x"], [""]])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"marmalade-4711", "In the body: JSON is malformed"),
        (b"{}", "In the body: Object missing required field `inputs`"),
        (b'{"inputs": []}', "In the body: Expected `array` of length >= 1"),
        (b'{"inputs": [[]]}', "In the body: Expected `array` of length >= 1"),
        (b'{"inputs": [["a", "b", "c"]]}', "In the body: Expected `array` of length <= 2"),
        (b'{"inputs": {"text": "a"}}', "In the body: Expected `str | array`, got `object`"),
        (b'{"inputs": [["a"], "marmalade-4711"]}', "In inputs: Expected a text, a pair [text, text], or a batch"),
        (b'{"inputs": ["a", "b", "marmalade-4711"]}', "In inputs: Expected a text, a pair [text, text], or a batch"),
        (b'{"inputs": "a", "raw_scores": "marmalade-4711"}', "In the body: Expected `bool`, got `str`"),
        (b'{"inputs": "\\ud800"}', "In "),
    ],
)
def test_a_bad_body_is_refused_and_not_repeated(server: Served, content: bytes, said: str) -> None:
    assert refused(server.client.post(PATH, content=content), 400, "validation").startswith(said)


def test_too_many_rows_are_too_large_a_request(server: Served) -> None:
    response = server.client.post(PATH, json={"inputs": [["a"]] * 9})

    assert refused(response, 413, "validation") == "Expected at most 8 rows per request; got 9."


def test_errors_have_its_words(server: Served, pairs: Catalogue) -> None:
    refused(server.client.get(PATH), 405, "validation")
    refuse = PROTOCOLS["text_embeddings"](pairs).refuse
    for status, code, kind in (
        (429, "overloaded", "overloaded"),
        (503, "overloaded", "overloaded"),
        (504, "deadline_exceeded", "overloaded"),
        (503, "not_ready", "unhealthy"),
        (500, "engine_failed", "backend"),
        (500, "internal", "backend"),
        (413, "body_too_large", "validation"),
        (404, "unknown_model", "validation"),
    ):
        answer = refuse(Problem(status, code, "Why."), request_id="id")
        assert (answer.status, answer.body) == (status, b'{"error":"Why.","error_type":"%b"}' % kind.encode())


def test_a_pair_for_a_model_that_takes_none_is_refused(folder: Path) -> None:
    with (
        catalogue_of(folder / "strings", default="strings") as models,
        pytest.raises(InvalidInput, match="takes no pairs"),
    ):
        call(models, "text_embeddings", PATH, {"inputs": ["a", "b"]})


def test_a_default_that_takes_no_texts_is_refused(folder: Path) -> None:
    said = "takes rows of the kind tensor. POST /v1/models/identity/predict takes those"
    with catalogue_of(folder / "identity", default="identity") as models, pytest.raises(InvalidInput, match=said):
        call(models, "text_embeddings", PATH, {"inputs": "a"})


def test_a_row_that_gives_no_number_has_no_labels(folder: Path) -> None:
    with catalogue_of(folder / "infinite", default="infinite") as models:
        assert answered(models, "text_embeddings", PATH, {"inputs": "rain"}) == []
        assert answered(models, "text_embeddings", PATH, {"inputs": [["rain"]], "raw_scores": True}) == [[]]
