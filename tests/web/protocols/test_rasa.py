"""`POST /model/parse` as Rasa answers it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from scipy.special import expit, softmax

from graphs import LABELS, linear, looked_up, write_model, write_text_model
from servers import Served, served
from softgate import __version__
from softgate.errors import InvalidInput
from softgate.types import Reason
from softgate.web.schema.dialects import RasaAnswer, RasaError
from spoken import TEMPERATURE, TEXTS, TOGETHER, answered, call, catalogue_of, counted, votes, write_models

PATH = "/model/parse"
SECRET = "marmalade-4711"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Served]:
    with served(folder, variables={"SOFTGATE_DEFAULT_MODEL": "words"}) as running:
        yield running


def ask(server: Served, text: str, **more: Any) -> dict[str, Any]:
    response = server.client.post(PATH, json={"text": text, **more})
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json"), response.text
    RasaAnswer.model_validate(response.json())
    return dict(response.json())


def parsed(folder: Path, model: str, text: str) -> dict[str, Any]:
    with catalogue_of(folder / model, default=model) as models:
        return dict(answered(models, "rasa", PATH, {"text": text}))


def refused(response: Any, status: int, code: str) -> str:
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json"), response.text
    assert SECRET not in response.text
    told = RasaError.model_validate(response.json())
    assert (told.version, told.status, told.code, told.reason) == (__version__, "failure", status, code)
    assert told.details == {"request_id": response.headers["x-request-id"]}
    return told.message


def ranked(text: str) -> list[dict[str, Any]]:
    p = softmax(votes(text) / TEMPERATURE)
    order = np.argsort(-p, kind="stable")
    return [{"name": LABELS[column], "confidence": pytest.approx(p[column], abs=1e-6)} for column in order]


def test_a_routed_text_has_its_intent_first_in_the_ranking(server: Served) -> None:
    answer = ask(server, "send")

    assert list(answer) == ["text", "intent", "entities", "intent_ranking", "softgate"]
    assert (answer["text"], answer["entities"]) == ("send", [])
    assert answer["intent_ranking"] == ranked("send")
    assert answer["intent"] == answer["intent_ranking"][0]
    assert answer["intent"]["name"] == "transfer"


@pytest.mark.parametrize("action", ["clarify", "fallback", "abstain"])
def test_what_is_not_routed_falls_back_with_the_true_confidence(server: Served, action: str) -> None:
    text = TEXTS[action]

    answer = ask(server, text)

    assert answer["intent"] == {"name": "nlu_fallback", "confidence": ranked(text)[0]["confidence"]}
    assert answer["intent_ranking"] == [answer["intent"], *ranked(text)]
    assert answer["softgate"]["decision"]["action"] == action


@pytest.mark.parametrize("action", TEXTS)
def test_the_decision_and_the_probabilities_are_the_native_ones(server: Served, action: str) -> None:
    native = server.predict("words", inputs=TEXTS[action]).json()
    (row,) = native["predictions"]

    answer = ask(server, TEXTS[action])

    assert row["decision"]["action"] == action
    named = {key: native[key] for key in ("model", "version", "calibration")}
    assert answer["softgate"] == {**named, "decision": row["decision"]}
    ranking = {entry["name"]: entry["confidence"] for entry in answer["intent_ranking"]}
    ranking.pop("nlu_fallback", None)
    assert ranking == row["probabilities"]
    assert answer["intent"]["confidence"] == row["confidence"]


def test_the_intent_is_of_the_route_decided_for(server: Served) -> None:
    """Two labels of one route are together more probable than the most probable label."""
    answer = ask(server, TOGETHER)

    assert answer["softgate"]["decision"]["target"] == "banking"
    assert [entry["name"] for entry in answer["intent_ranking"]][:2] == ["weather", "transfer"]
    assert answer["intent"] == answer["intent_ranking"][1]


def test_a_text_is_counted_once(server: Served) -> None:
    before = counted(server)

    ask(server, "rain")

    assert np.subtract(counted(server), before).tolist() == [1, 1]


def test_a_message_id_comes_back_and_what_means_nothing_is_passed_over(server: Served) -> None:
    answer = ask(server, "rain", message_id="b2831e73", model="identity", token=SECRET, lang="en")

    assert answer["message_id"] == "b2831e73"
    assert answer["softgate"]["model"] == "words"
    assert "message_id" not in ask(server, "rain", message_id=None)
    emulated = server.client.post(f"{PATH}?emulation_mode=LUIS&token={SECRET}", json={"text": "rain"})
    assert emulated.json() == ask(server, "rain")


@pytest.mark.parametrize("text", ["", "日本語 rain 🌧", 'a "quoted" \\ \n text', "\u0000"])
def test_the_text_comes_back_as_it_was(server: Served, text: str) -> None:
    assert ask(server, text)["text"] == text


def test_the_ten_most_probable_are_ranked(tmp_path: Path) -> None:
    labels = [f"label{column}" for column in range(30)]
    words = dict(zip(labels, range(30), strict=True))
    write_model(
        tmp_path / "wide",
        looked_up("batch", words=words),
        name="wide",
        kind="text",
        labels=labels,
        routing="threshold = 0.5",
    )

    answer = parsed(tmp_path, "wide", "label20")

    assert [entry["name"] for entry in answer["intent_ranking"]] == ["label20", *labels[:9]]


def test_a_text_that_gives_no_number_falls_back_without_confidence(folder: Path) -> None:
    answer = parsed(folder, "infinite", "rain")

    fallback = {"name": "nlu_fallback", "confidence": 0.0}
    assert (answer["intent"], answer["intent_ranking"]) == (fallback, [fallback])
    assert answer["softgate"]["decision"]["reason"] == "non_finite"


def test_labels_that_may_hold_at_once_fall_back_where_none_does(folder: Path) -> None:
    held, none = parsed(folder, "several", "rain joke"), parsed(folder, "several", "hello")

    assert held["intent"] == {"name": "joke", "confidence": pytest.approx(expit(4))}
    assert none["intent"] == {"name": "nlu_fallback", "confidence": 0.5}
    assert [entry["name"] for entry in none["intent_ranking"]] == ["nlu_fallback", *LABELS]


def test_a_degraded_model_falls_back_where_it_cannot_answer(folder: Path) -> None:
    with catalogue_of(folder / "degraded", default="degraded") as models:
        found = call(models, "rasa", PATH, {"text": "rain", "message_id": "x"})
        assert found.fall_back is not None
        answer = orjson.loads(found.fall_back(found.classifier.fall_back(1, Reason.OVERLOADED)).body)

    RasaAnswer.model_validate(answer)
    assert answer["intent"] == {"name": "nlu_fallback", "confidence": 0.0}
    assert answer["intent_ranking"] == [answer["intent"]]
    assert (answer["softgate"]["decision"]["reason"], answer["message_id"]) == ("overloaded", "x")


def test_other_models_refuse_instead(folder: Path) -> None:
    with catalogue_of(folder / "words", default="words") as models:
        assert call(models, "rasa", PATH, {"text": "rain"}).fall_back is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "In the body: "),
        (b"marmalade-4711", "In the body: JSON is malformed"),
        (b"{}", "In the body: Object missing required field `text`"),
        (b'{"text": null}', "In the body: Expected `str`, got `null`"),
        (b'{"text": ["marmalade-4711"]}', "In the body: Expected `str`, got `array`"),
        (b'{"text": "a", "message_id": 4711}', "In the body: Expected `str | null`, got `int`"),
        (b'{"text": "a", "message_id": "' + b"x" * 1025 + b'"}', "In the body: Expected `str` of length <= 1024"),
        (b'{"text": "\xff"}', "In the body: "),
        (b'{"text": "\\ud800"}', "In the body: "),
    ],
)
def test_a_bad_body_is_refused_and_not_repeated(server: Served, content: bytes, said: str) -> None:
    assert refused(server.client.post(PATH, content=content), 400, "malformed_body").startswith(said)


def test_a_text_too_long_and_a_wrong_method_are_told_in_its_form(server: Served) -> None:
    refused(server.client.post(PATH, json={"text": "x" * 40_000}), 400, "text_too_long")
    refused(server.client.get(PATH), 405, "method_not_allowed")


def test_a_default_that_takes_no_texts_is_refused(folder: Path) -> None:
    with (
        catalogue_of(folder / "identity", default="identity") as models,
        pytest.raises(InvalidInput, match="rows of the kind tensor"),
    ):
        call(models, "rasa", PATH, {"text": "a"})


def test_without_a_default_what_is_served_is_named(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_text_model(tmp_path / name, name=name)
    write_model(tmp_path / "numbers", linear(np.eye(4, dtype=np.float32)), name="numbers")
    with served(tmp_path) as server:
        said = refused(server.client.post(PATH, json={"text": "rain"}), 404, "unknown_model")

    assert said == "Expected the name of a served model: numbers, one, two."


def test_the_fallback_stands_before_the_ten_most_probable(tmp_path: Path) -> None:
    labels = [f"label {column:02}" for column in range(12)]
    words = {label: column for column, label in enumerate(labels)}
    write_model(tmp_path / "many", looked_up("batch", words=words), name="many", kind="text", labels=labels)
    with catalogue_of(tmp_path) as catalogue:
        told = answered(catalogue, "rasa", "/model/parse", {"text": "nothing known"})

    assert [intent["name"] for intent in told["intent_ranking"]] == ["nlu_fallback", *labels[:10]]
