"""What a client does with answers, refusals and silence, in both flavours."""

import json
from typing import Any

import httpx2
import pytest

from scripted import Script, World, answer, asked, echo, overloaded, prediction, problem
from softgate import errors
from softgate.client import Model, Retries
from softgate.errors import (
    DeadlineExceeded,
    ForeignAnswer,
    NoAnswer,
    Overloaded,
    SoftgateError,
    TooManyRows,
    Unauthenticated,
    UnknownModel,
)


def one(client: Any) -> Any:
    return client.predict("rain")


HEALTHY = httpx2.Response(200, json={"status": "ok"})


def test_a_prediction_is_asked_for_as_the_api_says(flavour: str) -> None:
    script = Script(echo)

    found = asked(
        flavour,
        script,
        lambda client: client.predict("rain", version=2, top_k=3, logits=True, profile="high_risk", id="x", seed=None),
        token="secret",
    )

    (request,) = script.requests
    assert (request.method, request.url.path) == ("POST", "/v1/models/toy/versions/2/predict")
    assert json.loads(request.content) == {
        "inputs": ["rain"],
        "top_k": 3,
        "logits": True,
        "profile": "high_risk",
        "id": "x",
    }
    assert request.headers["authorization"] == "Bearer secret"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-request-timeout-ms"] == "30000"
    assert (found.label, found.decision.action, found.decision.reason) == ("rain", "route", "confident")
    assert dict(found.probabilities) == {"rain": 0.9, "other": 0.1}


def test_names_are_one_part_of_a_path(flavour: str) -> None:
    script = Script(echo)

    asked(flavour, script, lambda client: client.predict("rain", model="../é?#", version="a/b"))

    assert script.requests[0].url.raw_path == b"/v1/models/..%2F%C3%A9%3F%23/versions/a%2Fb/predict"


def test_models_and_readiness(flavour: str) -> None:
    toy: dict[str, Any] = {
        "name": "toy",
        "version": "1",
        "ready": True,
        "input": "text",
        "activation": "softmax",
        "n_labels": 4,
    }
    listed = httpx2.Response(200, json={"models": [{**toy, "calibration": None, "threads": 2}]})

    assert asked(flavour, Script(listed), lambda client: client.models()) == [Model(**toy, calibration=None)]
    assert asked(flavour, Script(HEALTHY), lambda client: client.ready()) is True
    script = Script(httpx2.Response(503, json={"status": "not ready"}))
    assert asked(flavour, script, lambda client: client.ready()) is False
    assert len(script.requests) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_who_is_refused_comes_again_when_he_was_told_to(flavour: str, status: int) -> None:
    world, script = World(draw=0.5), Script(overloaded("2", status=status), overloaded(status=status), echo)

    assert asked(flavour, script, one, world=world).label == "rain"

    assert world.pauses == pytest.approx([2.05, 0.1])


def test_a_proxy_s_page_with_a_503_passes_too(flavour: str) -> None:
    page = httpx2.Response(503, headers={"content-type": "text/html"}, content="<h1>Busy")

    assert asked(flavour, Script(page, echo), one).label == "rain"


def test_after_the_last_retry_the_refusal_is_told(flavour: str) -> None:
    world, script = World(), Script(overloaded("1"))

    with pytest.raises(Overloaded) as caught:
        asked(flavour, script, one, world=world)

    assert len(script.requests) == 5
    assert (caught.value.status, caught.value.code, caught.value.detail) == (429, "overloaded", "Expected less.")
    assert caught.value.request_id == "abc"
    assert caught.value.__notes__ == [
        "http://server.test/v1/models/toy/predict: status 429, overloaded, request_id abc."
    ]


def test_without_retries_there_is_one_attempt(flavour: str) -> None:
    script = Script(overloaded("1"))

    with pytest.raises(Overloaded):
        asked(flavour, script, one, retries=Retries(most=0))

    assert len(script.requests) == 1


@pytest.mark.parametrize(
    "broken",
    [
        httpx2.ConnectError("[Errno 111] Connection refused"),
        httpx2.ConnectTimeout(""),
        httpx2.ReadError("Connection reset"),
        httpx2.WriteError("Broken pipe"),
        httpx2.RemoteProtocolError("Server disconnected without sending a response."),
    ],
    ids=lambda exc: type(exc).__name__,
)
def test_a_connection_that_breaks_is_made_anew(flavour: str, broken: Exception) -> None:
    world = World()

    assert asked(flavour, Script(broken, broken, echo), one, world=world).label == "rain"
    assert world.pauses == pytest.approx([0.1, 0.2])

    with pytest.raises(NoAnswer, match=r"^No answer from http://server.test/v1/models/toy/predict: \S.*\.$") as caught:
        asked(flavour, Script(broken), one)
    assert caught.value.__cause__ is broken
    assert caught.value.status is None


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "too_many_rows", TooManyRows),
        (401, "unauthenticated", Unauthenticated),
        (404, "unknown_model", UnknownModel),
        (500, "engine_failed", errors.EngineFailed),
        (500, "internal", SoftgateError),
        (504, "deadline_exceeded", DeadlineExceeded),
        (418, "of_a_later_server", SoftgateError),
    ],
)
def test_a_problem_is_the_error_of_its_code_and_no_retry(
    flavour: str, status: int, code: str, kind: type[SoftgateError]
) -> None:
    script = Script(problem(status, code, "Expected at most 10 rows; got 11."))

    with pytest.raises(SoftgateError) as caught:
        asked(flavour, script, one)

    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.code, str(caught.value)) == (
        status,
        code,
        "Expected at most 10 rows; got 11.",
    )
    assert len(script.requests) == 1
    assert kind.code in (code, "internal")


HTML = {"content-type": "text/html"}


@pytest.mark.parametrize(
    ("strange", "why"),
    [
        (httpx2.Response(502, headers=HTML, content="<html>"), "got status 502 and text/html"),
        (httpx2.Response(404), "got status 404 and no type"),
        (httpx2.Response(500, json=["code"]), "got status 500 and application/json"),
        (httpx2.Response(307, headers={"location": "http://else.test/"}), "a redirect, which is not followed"),
        (httpx2.Response(204), "got status 204"),
        (httpx2.Response(200, headers=HTML, content="<html>"), "JSON is malformed"),
        (httpx2.Response(200, content=b""), "truncated"),
        (httpx2.Response(200, content=b"\xff\xfe"), "malformed"),
        (httpx2.Response(200, content=b"[" * 100_000), "recursion|malformed|Expected"),
        (httpx2.Response(200, json={"predictions": []}), "missing required field `model`"),
        (answer([]), "it holds 0 predictions for 1 rows"),
        (answer([prediction(), prediction()]), "it holds 2 predictions for 1 rows"),
        (answer([prediction(confidence="high")]), "Expected `float | null`, got `str`"),
    ],
)
def test_an_answer_of_somebody_else_is_told_so(flavour: str, strange: httpx2.Response, why: str) -> None:
    script = Script(strange)

    with pytest.raises(ForeignAnswer, match=why) as caught:
        asked(flavour, script, one)

    assert str(caught.value).startswith(
        "http://server.test/v1/models/toy/predict: expected a softgate server's answer; "
    )
    assert caught.value.status == strange.status_code
    assert len(script.requests) == 1


def test_bytes_that_cannot_be_decompressed_are_told_so(flavour: str) -> None:
    def zipped(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-encoding": "gzip"}, stream=httpx2.ByteStream(b"no gzip"))

    with pytest.raises(ForeignAnswer, match="expected an answer that can be decompressed"):
        asked(flavour, Script(zipped), one)


def test_a_token_goes_to_one_host(flavour: str) -> None:
    script = Script(httpx2.Response(302, headers={"location": "http://else.test/steal"}))

    with pytest.raises(ForeignAnswer):
        asked(flavour, script, one, token="secret")

    assert [request.url.host for request in script.requests] == ["server.test"]
