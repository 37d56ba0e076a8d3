"""huggingface_hub's inference clients, as they come from the registry, against a server of ours."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clients.running import told
from servers import Served, served

ROOT = Path(__file__).parents[2]
TEXT = "move 50 dollars to savings"
TOKEN = f"softgate_bot_{'x' * 32}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    tokens = tmp_path_factory.mktemp("tokens") / "tokens.toml"
    sha256 = hashlib.sha256(TOKEN.encode()).hexdigest()
    tokens.write_text(f'[[tokens]]\nname = "bot"\nsha256 = "{sha256}"\nscopes = ["predict"]\n')
    with served(ROOT / "models" / "clinc150", variables={"SOFTGATE_TOKENS_FILE": str(tokens)}) as running:
        running.client.headers["authorization"] = f"Bearer {TOKEN}"
        yield running


@pytest.fixture(scope="module")
def answers(server: Served) -> dict[str, Any]:
    return dict(told("huggingface_hub", "huggingface_hub_calls.py", server.url, TOKEN))


def shown(server: Served, **body: Any) -> dict[str, Any]:
    (prediction,) = server.predict("clinc150", inputs=TEXT, **body).json()["predictions"]
    return dict(prediction)


@pytest.mark.parametrize("way", ["model", "base_url", "asked_of_another"])
def test_a_client_that_changes_its_address_gets_the_native_probabilities(
    server: Served, answers: dict[str, Any], way: str
) -> None:
    expected = shown(server)["probabilities"]

    assert answers[way] == [{"label": label, "score": p} for label, p in expected.items()]
    assert len(expected) == 150


@pytest.mark.parametrize("way", ["top_k", "softmax", "asynchronous"])
def test_top_k_and_the_asynchronous_client_do_as_well(server: Served, answers: dict[str, Any], way: str) -> None:
    expected = shown(server, top_k=3)["probabilities"]

    assert answers[way] == [{"label": label, "score": p} for label, p in expected.items()]


def test_none_gives_it_the_logits(server: Served, answers: dict[str, Any]) -> None:
    logits = shown(server, logits=True)["logits"]

    assert [entry["score"] for entry in answers["none"]] == sorted(logits, reverse=True)[:3]


@pytest.mark.parametrize(
    ("way", "status", "said"),
    [
        ("sigmoid", 400, "Expected softmax or none as function_to_apply: clinc150 is calibrated for no other."),
        ("nobody", 404, "Expected the name of a served model: clinc150."),
        ("stranger", 401, "Expected a token that this server knows"),
    ],
)
def test_it_is_told_why_it_is_refused(answers: dict[str, Any], way: str, status: int, said: str) -> None:
    assert answers[way]["status"] == status
    assert said in answers[way]["said"]
