"""Requests made up from the OpenAPI document, fit and unfit: answers are of the published form, and none is a 5xx."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from servers import Served, served
from web.conftest import write_models

N_EXAMPLES = 100
CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(write_models(tmp_path_factory.mktemp("fuzzed")), variables={"SOFTGATE_ACCESS_LOG": "none"}) as server:
        yield server


def check_operation(operation: Any, mode: GenerationMode, url: str, *, named: Mapping[str, str]) -> int:
    """How many requests were made up. `named`: what its path holds, where that is not made up too."""
    n_requests = 0
    held = {name: value for name, value in named.items() if f"{{{name}}}" in operation.path} or None

    @settings(
        max_examples=N_EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode, path_parameters=held))
    def play(case: Any) -> None:
        nonlocal n_requests
        n_requests += 1
        case.call_and_validate(base_url=url, checks=CHECKS, timeout=30)

    with suppress(Unsatisfiable):
        # A path that takes nothing cannot be asked in a wrong way.
        play()
    return n_requests


@pytest.mark.soak
@pytest.mark.parametrize("named", [{}, {"model": "words", "version": "1"}], ids=["any model", "a served model"])
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_request_made_up_from_the_document_is_our_fault(
    fuzzed: Served, mode: GenerationMode, named: Mapping[str, str]
) -> None:
    document = schemathesis.openapi.from_dict(fuzzed.client.get("/openapi.json").json())
    found: list[Any] = list(document.get_all_operations())
    operations = [one.ok() for one in found]

    asked = {operation.label: check_operation(operation, mode, fuzzed.url, named=named) for operation in operations}

    assert len(asked) >= 10
    assert mode is GenerationMode.NEGATIVE or min(asked.values()) > 0
    assert sum(asked.values()) > 200
    assert fuzzed.process.poll() is None
    unexpected = {
        name for name, count in fuzzed.metrics().items() if 'status="5' in name and "505" not in name and count
    }
    assert unexpected == set()
