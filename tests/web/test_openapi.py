"""What is documented and what is answered are one thing."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import jsonschema
import msgspec
import pytest

from app_parts import parts_of, with_request_id
from servers import Served
from softgate.web import errors
from softgate.web.app import create_api, create_app
from softgate.web.protocols import PROTOCOLS
from softgate.web.protocols.open_inference import inference
from softgate.web.protocols.open_inference.rest import InputParameters
from softgate.web.protocols.predict_body import PredictBody
from softgate.web.schema.answers import EXAMPLE_ANSWER, EXAMPLE_LINES_ANSWER, PredictAnswer
from softgate.web.schema.inference import (
    EXAMPLE_INFER_ANSWER,
    EXAMPLE_INFER_REQUEST,
    InferAnswer,
    InferParameters,
    InferRequest,
    OutputParameters,
    TensorParameters,
)
from softgate.web.schema.problems import PROBLEMS, Problem, problems
from softgate.web.schema.published import PUBLISHED
from softgate.web.schema.requests import EXAMPLE_REQUESTS, PredictRequest

PREDICT = "/v1/models/{model}/predict"
INFER = "/v2/models/{model}/infer"
FEATURES = {"name": "features", "datatype": "FP32", "shape": [1, 4], "data": [0.0, -1.0, 1.0, 2.0]}
TEXT = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["rain"]}
INFER_BODY = json.dumps({"inputs": [TEXT], "parameters": {"binary_data_output": True}}).encode()


@pytest.fixture(scope="module")
def document(server: Served) -> dict[str, Any]:
    answer: dict[str, Any] = server.client.get("/openapi.json").json()
    return answer


def published(document: dict[str, Any], path: str, method: str, status: str, media_type: str) -> dict[str, Any]:
    """The schema of an answer, with the document's components so that its references resolve."""
    found: dict[str, Any] = document["paths"][path][method]["responses"][status]["content"][media_type]["schema"]
    return {**found, "components": document["components"]}


def test_every_reference_of_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    def references(part: Any) -> Iterator[str]:
        for value in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
            yield from references(value)
        if isinstance(part, dict) and isinstance(part.get("$ref"), str):
            yield part["$ref"]

    found = set(references(document))
    assert found
    for reference in found:
        place: Any = document
        for name in reference.removeprefix("#/").split("/"):
            place = place[name]


@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("words", {"inputs": "send money"}),
        ("words", {"inputs": ["rain", "joke"], "top_k": 2, "id": "x"}),
        ("words", {"inputs": "rain", "logits": True, "temperature": 2.5, "select": "sample", "seed": 1, "top_p": 0.9}),
        ("logarithm", {"inputs": [0.0, -1.0, 1.0, 2.0], "logits": True}),
        ("identity", {"inputs": [[1, 2, 3, 4], [4, 3, 2, 1]]}),
    ],
)
def test_predictions_are_of_the_published_form(
    server: Served, document: dict[str, Any], model: str, body: dict[str, Any]
) -> None:
    request = document["paths"][PREDICT]["post"]["requestBody"]["content"]["application/json"]["schema"]
    jsonschema.validate(body, request)

    answer = server.predict(model, **body)

    assert answer.status_code == 200
    jsonschema.validate(answer.json(), published(document, PREDICT, "post", "200", "application/json"))


@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("words", {"inputs": [TEXT]}),
        ("logarithm", {"inputs": [FEATURES], "id": "x"}),
        ("identity", {"inputs": [FEATURES], "outputs": [{"name": "logits", "parameters": {"classification": 2}}]}),
        ("identity", {"inputs": [FEATURES], "parameters": {"top_k": 2, "temperature": 2, "timeout": 10_000_000}}),
    ],
)
def test_inferences_are_of_the_published_form(
    server: Served, document: dict[str, Any], model: str, body: dict[str, Any]
) -> None:
    request = document["paths"][INFER]["post"]["requestBody"]["content"]["application/json"]["schema"]
    jsonschema.validate(body, request)

    answer = server.client.post(f"/v2/models/{model}/infer", json=body)

    assert answer.status_code == 200
    jsonschema.validate(answer.json(), published(document, INFER, "post", "200", "application/json"))


@pytest.mark.parametrize(
    ("model", "content", "status"),
    [
        ("words", b"{", "400"),
        ("nobody", b"{}", "404"),
        ("words", b"x" * 300_000, "413"),
        ("words", b'{"inputs":[{"name":"text","datatype":"BYTES","shape":[400],"data":[]}]}', "413"),
        ("picky", b'{"inputs":[{"name":"index","datatype":"INT64","shape":[1,1],"data":[7]}]}', "500"),
        (
            "words",
            b'{"inputs":[{"name":"text","datatype":"BYTES","shape":[1],"parameters":{"shared_memory_region":"a"}}]}',
            "501",
        ),
    ],
)
def test_refused_inferences_are_of_the_published_form(
    server: Served, document: dict[str, Any], model: str, content: bytes, status: str
) -> None:
    answer = server.client.post(f"/v2/models/{model}/infer", content=content)

    assert str(answer.status_code) == status
    jsonschema.validate(answer.json(), published(document, INFER, "post", status, "application/json"))


def test_lines_are_of_the_published_form(server: Served, document: dict[str, Any]) -> None:
    bodies = document["paths"][PREDICT]["post"]["requestBody"]["content"]
    (example,) = bodies["application/x-ndjson"]["examples"].values()
    content = example["value"].encode() + b"7\n"

    answer = server.client.post(
        "/v1/models/words/predict", content=content, headers={"content-type": "application/x-ndjson"}
    )

    form = published(document, PREDICT, "post", "200", "application/x-ndjson")
    assert [json.loads(line).get("line") for line in answer.text.splitlines()] == [None, None, 3]
    for line in [*answer.text.splitlines(), *EXAMPLE_LINES_ANSWER.splitlines()]:
        jsonschema.validate(json.loads(line), form)


@pytest.mark.parametrize(
    ("model", "content", "status"),
    [
        ("words", b"{", "400"),
        ("words", b'{"inputs": []}', "400"),
        ("nobody", b'{"inputs": "a"}', "404"),
        ("words", b"x" * 300_000, "413"),
        ("picky", b'{"inputs": [7]}', "500"),
    ],
)
def test_problems_are_of_the_published_form(
    server: Served, document: dict[str, Any], model: str, content: bytes, status: str
) -> None:
    answer = server.client.post(f"/v1/models/{model}/predict", content=content)

    assert str(answer.status_code) == status
    jsonschema.validate(answer.json(), published(document, PREDICT, "post", status, "application/problem+json"))


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/v1/models", "/v1/models"),
        ("/v1/models/words", "/v1/models/{model}"),
        ("/v1/models/words/drift", "/v1/models/{model}/drift"),
        ("/livez", "/livez"),
        ("/readyz?verbose", "/readyz"),
    ],
)
def test_other_answers_are_of_the_published_form(
    server: Served, document: dict[str, Any], path: str, template: str
) -> None:
    answer = server.client.get(path)

    assert answer.status_code == 200
    jsonschema.validate(answer.json(), published(document, template, "get", "200", "application/json"))


def test_the_decoder_knows_the_fields_that_are_documented_with_their_limits_and_defaults() -> None:
    """Two declarations of one wire: the decoder's, for speed, and the published one. They may not part."""
    (decoded,), components = msgspec.json.schema_components([PredictBody])
    wire = components["PredictBody"]["properties"]
    documented = PredictRequest.model_json_schema()["properties"]

    assert decoded == {"$ref": "#/$defs/PredictBody"}
    assert list(wire) == list(documented)
    for name in wire.keys() - {"inputs"}:
        assert _kinds(wire[name]) == _kinds(documented[name]), name
        assert wire[name].get("default") == documented[name].get("default"), name


def test_the_decoder_of_tensors_knows_the_parameters_that_are_documented_with_their_limits_and_defaults() -> None:
    pairs: list[tuple[Any, Any]] = [
        (inference.Parameters, InferParameters),
        (inference.OutputParameters, OutputParameters),
        (InputParameters, TensorParameters),
    ]
    for decoded, published_as in pairs:
        wire = msgspec.json.schema_components([decoded])[1][decoded.__name__]["properties"]
        documented = published_as.model_json_schema()["properties"]

        # Left out of the document: it is known to be refused.
        assert wire.keys() - {"shared_memory_region"} == documented.keys()
        for name, field in documented.items():
            assert _kinds(wire[name]) == _kinds(field), name
            assert wire[name].get("default") == field.get("default"), name


def _kinds(field: dict[str, Any]) -> list[str]:
    """The alternatives of a field by what limits them, in a form that both libraries' schemas share."""
    limits = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "maxLength", "enum")
    found = []
    for kind in field.get("anyOf", [field]):
        shared = {key: kind[key] for key in limits if key in kind}
        found.append(json.dumps(shared if "enum" in kind else {**shared, "type": kind["type"]}, sort_keys=True))
    return sorted(found)


def test_the_documented_examples_are_valid() -> None:
    for example in EXAMPLE_REQUESTS.values():
        PredictRequest.model_validate(example)
    PredictAnswer.model_validate(EXAMPLE_ANSWER)
    InferRequest.model_validate(EXAMPLE_INFER_REQUEST)
    InferAnswer.model_validate(EXAMPLE_INFER_ANSWER)
    for status, answer in problems(*PROBLEMS).items():
        example = answer["content"][errors.PROBLEM_JSON]["example"]
        assert Problem.model_validate(example).status == status
        assert example["code"] in errors.codes()


@pytest.mark.parametrize("protocol", ["hugging_face", "text_embeddings", "rasa"])
def test_dialects_answer_their_own_examples_in_the_published_form(
    server: Served, document: dict[str, Any], protocol: str
) -> None:
    (published_paths,) = [one.paths for one in PUBLISHED if one.protocol == protocol]
    for template in published_paths:
        operation = document["paths"][template]["post"]
        content = operation["requestBody"]["content"]["application/json"]
        form = published(document, template, "post", "200", "application/json")
        jsonschema.validate(operation["responses"]["200"]["content"]["application/json"]["example"], form)
        for example in content["examples"].values():
            jsonschema.validate(example["value"], content["schema"])

            answer = server.client.post(template.replace("{model}", "words"), json=example["value"])

            assert answer.status_code == 200, answer.text
            jsonschema.validate(answer.json(), form)


@pytest.mark.parametrize("path", ["/", "/models/words", "/predict", "/model/parse"])
@pytest.mark.parametrize(("content", "status"), [(b"{", "400"), (b"{}", "400"), (b"x" * 300_000, "413")])
def test_dialects_refuse_in_the_published_form(
    server: Served, document: dict[str, Any], path: str, content: bytes, status: str
) -> None:
    template = path.replace("words", "{model}")

    answer = server.client.post(path, content=content)

    assert str(answer.status_code) == status
    form = published(document, template, "post", status, "application/json")
    jsonschema.validate(answer.json(), form)
    refusals = document["paths"][template]["post"]["responses"]
    for refusal in (refusals[key] for key in refusals if key != "200"):
        (told,) = refusal["content"].values()
        jsonschema.validate(told["example"], told["schema"])


def test_every_path_is_documented_with_a_summary(document: dict[str, Any]) -> None:
    assert document["paths"].keys() == {
        PREDICT,
        "/v1/models/{model}/versions/{version}/predict",
        "/v1/models/{model}/rank",
        "/v1/models/{model}/versions/{version}/rank",
        INFER,
        "/v2/models/{model}/versions/{version}/infer",
        "/models/{model}",
        "/",
        "/predict",
        "/model/parse",
        "/v1/models",
        "/v1/models/{model}",
        "/v1/models/{model}/drift",
        "/v1/models/{model}/drift/acknowledge",
        "/livez",
        "/readyz",
        "/metrics",
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models",
        "/v2/models/stats",
        "/v2/models/{model}",
        "/v2/models/{model}/ready",
        "/v2/models/{model}/config",
        "/v2/models/{model}/stats",
        "/v2/models/{model}/versions/{version}",
        "/v2/models/{model}/versions/{version}/ready",
        "/v2/models/{model}/versions/{version}/config",
        "/v2/models/{model}/versions/{version}/stats",
        "/v2/repository/index",
    }
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation["description"], path
            assert "422" not in operation["responses"], path


def test_a_browser_that_asks_for_the_root_is_led_to_the_docs(server: Served) -> None:
    assert server.client.get("/", follow_redirects=True).url.path == "/docs"


def test_the_docs_page_asks_nothing_of_another_host(server: Served) -> None:
    page = server.client.get("/docs")

    assert page.status_code == 200
    assert "://" not in page.text.replace(server.url, "")
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        assert f"/docs/{asset}" in page.text
        assert server.client.get(f"/docs/{asset}").status_code == 200


def test_the_documented_route_is_the_handler_that_the_edge_calls(models: Path) -> None:
    parts = parts_of(models)
    catalogue = parts.catalogue
    catalogue.load(threads=1, clock=time.monotonic, max_rows=10)
    protocols = {name: build(catalogue) for name, build in PROTOCOLS.items()}

    async def answers(path: str, body: bytes) -> list[tuple[int, bytes]]:
        found = []
        for app in (create_app(parts), create_api(parts, protocols)):
            transport = httpx2.ASGITransport(app=with_request_id(app))
            async with httpx2.AsyncClient(transport=transport, base_url="http://toy") as client:
                answer = await client.post(path, content=body)
                found.append((answer.status_code, answer.content))
        return found

    for path, body, status in (
        ("/v1/models/words/predict", b'{"inputs": ["rain", "joke"]}', 200),
        ("/v1/models/words/versions/1/predict", b'{"inputs": "rain", "top_k": 1}', 200),
        ("/v1/models/words/predict", b'{"inputs": 3}', 400),
        ("/v1/models/no%62ody/predict", b'{"inputs": "a"}', 404),
        ("/v2/models/words/infer", INFER_BODY, 200),
        ("/v2/models/words/versions/1/infer", b"{}", 400),
        ("/models/words", b'{"inputs": ["rain", "joke"]}', 200),
        ("/", b'{"inputs": "rain"}', 200),
        ("/predict", b'{"inputs": "rain"}', 200),
        ("/model/parse", b'{"text": "rain"}', 200),
        ("/models/words", b'{"inputs": 3}', 400),
        ("/predict", b'{"inputs": 3}', 400),
    ):
        edge, route = asyncio.run(answers(path, body))
        assert edge[0] == route[0] == status
        if status == 200:
            assert edge[1] == route[1]
        else:
            told, documented = json.loads(edge[1]), json.loads(route[1])
            assert (told.get("detail"), told.get("error")) == (documented.get("detail"), documented.get("error"))
    catalogue.close()
