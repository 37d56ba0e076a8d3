"""docs/protocols.md: each example is asked as it stands, and answered as it says."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from servers import Served, served
from softgate.web.protocols import PROTOCOLS
from softgate.web.schema.published import PUBLISHED
from tools import tool

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "protocols.md").read_text()
NUMBER = re.compile(r"(\d+\.\d+)")
ADDRESS = "http://127.0.0.1:8080"
# Of each: its heading, the command, how many of a longer list are shown, and the answer.
EXAMPLES = re.findall(
    r"^### ([^\n]+)\n(?:(?!^#).)*?```console\n\$ (curl [^\n]+)\n```\n\n"
    r"<!-- answer(?:: the first (\d+))? -->\n```json\n(.*?)```",
    PAGE,
    flags=re.M | re.S,
)
# Of each protocol: where the page shows it.
HEADINGS = {
    "native": "Native",
    "open_inference": "Open Inference Protocol",
    "hugging_face": "Hugging Face",
    "text_embeddings": "Text Embeddings Inference",
    "rasa": "Rasa",
}


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(ROOT / "models", variables={"SOFTGATE_DEFAULT_MODEL": "clinc150"}) as running:
        yield running


def answered(server: Served, command: str) -> Any:
    line = [tool("curl"), *shlex.split(command.replace(ADDRESS, server.url))[1:]]
    ended = subprocess.run(line, capture_output=True, text=True, check=True)
    return json.loads(ended.stdout, parse_float=Decimal)


def parts(text: str) -> list[Any]:
    """What stands between the numbers of a text, and those."""
    found: list[Any] = NUMBER.split(text)
    found[1::2] = map(Decimal, found[1::2])
    return found


def same(shown: Any, said: Any) -> bool:
    """Whether an answer is as shown; a number with a point, in a text too, to its last digit shown, give or take 1."""
    if isinstance(shown, dict):
        return list(shown) == list(said) and all(same(shown[key], said[key]) for key in shown)
    if isinstance(shown, list):
        return len(shown) == len(said) and all(map(same, shown, said))
    if isinstance(shown, str) and NUMBER.search(shown):
        return isinstance(said, str) and same(parts(shown), parts(said))
    if isinstance(shown, Decimal):
        unit = Decimal(1).scaleb(int(shown.as_tuple().exponent))
        return isinstance(said, Decimal) and abs(shown - said) <= unit
    return bool(shown == said)


@pytest.mark.parametrize(("heading", "command", "most", "shown"), EXAMPLES, ids=[each[0] for each in EXAMPLES])
def test_the_example_is_answered_as_shown(server: Served, heading: str, command: str, most: str, shown: str) -> None:
    answer = answered(server, command)
    if most:
        assert len(answer) > int(most)
        answer = answer[: int(most)]

    assert same(json.loads(shown, parse_float=Decimal), answer), f"{heading}: {answer}"


def test_an_answer_that_differs_is_told() -> None:
    shown = {"a": [Decimal("0.25"), 1, "x"]}

    assert same(shown, {"a": [Decimal("0.2533"), 1, "x"]})
    for other in (Decimal("0.27"), Decimal("0.23"), 0):
        assert not same(shown, {"a": [other, 1, "x"]})
    assert not same(shown, {"a": [Decimal("0.25"), 2, "x"]})
    assert not same(shown, {"a": [Decimal("0.25"), 1]})
    assert not same(shown, {"b": shown["a"]})
    assert same("0.25:x", "0.2533:x")
    assert not same("0.25:x", "0.28:x")
    assert not same("0.25:x", "0.25:y")


def test_every_protocol_is_on_the_page() -> None:
    """Ranking is part of the native one."""
    assert HEADINGS.keys() == PROTOCOLS.keys() - {"rank"}
    assert {heading for heading, *_ in EXAMPLES} == set(HEADINGS.values())


def test_every_address_is_on_the_page() -> None:
    """Those of ranking are part of the native protocol; a version may be named in what has one."""
    paths = [path for each in PUBLISHED if each.protocol != "rank" for path in each.paths]
    for path in paths:
        address = f"{ADDRESS}{path.replace('{model}', 'clinc150')}"
        assert address in PAGE or f"`POST {path}`" in PAGE or "/versions/{version}/" in path, path
    assert "`/versions/1`" in PAGE


def test_every_protocol_of_others_has_a_way_here() -> None:
    ways = set(re.findall(r"^### (.+)$", PAGE.partition("\n## Coming from\n")[2], flags=re.M))

    assert ways == {"Triton", "MLServer", "KServe", "Text Embeddings Inference", "Hugging Face", "Rasa"}
    for way in PAGE.partition("\n## Coming from\n")[2].split("\n### ")[1:]:
        assert re.findall(r"^- \*\*(\w+)\*\*", way, flags=re.M)[0] == "Change"
        assert "- **Better**" in way
        assert "- **Missing**" in way
