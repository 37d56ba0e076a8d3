"""What exists is documented, and what is documented exists."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from servers import Served, served
from softgate.numerics.activations import ACTIVATIONS
from softgate.runtime.inputs import INPUTS
from softgate.runtime.outputs import OUTPUTS
from softgate.settings import Settings
from softgate.types import Action, Reason
from softgate.web import errors

ROOT = Path(__file__).parents[1]
REFERENCE = (ROOT / "docs" / "reference.md").read_text()


def section(title: str) -> str:
    return REFERENCE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def first_cells(text: str) -> set[str]:
    return set(re.findall(r"^\| `([^`]+)`", text, flags=re.M))


def test_every_setting_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(SOFTGATE_\w+)` \| `([^`]*)`", section("Settings"), flags=re.M))

    assert rows == {f"SOFTGATE_{name.upper()}": str(field.default) for name, field in Settings.model_fields.items()}


def test_every_error_code_with_its_status() -> None:
    text = section("Errors")
    told = {code: int(status) for code, status in re.findall(r"^\| `(\w+)` \| (\d+)", text, flags=re.M)}
    named = set(re.findall(r"`(\w+)`", text.partition("At load time")[2]))

    assert told.keys() | named == set(errors.codes())
    assert not told.keys() & named
    assert {told[code] for code in errors.HTTP_CODES.values()} == set(errors.HTTP_CODES)


def test_every_metric(tmp_path: Path) -> None:
    with served(ROOT / "models" / "clinc150") as server:
        names = exported(server)

    assert first_cells(section("Metrics")) == names


def exported(server: Served) -> set[str]:
    found = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", server.client.get("/metrics").text, flags=re.M):
        assert kind != "counter" or name.endswith("_total")
        found.add(name)
    return found


def test_every_command_and_option() -> None:
    from softgate.cli import app  # noqa: PLC0415 - builds the command line

    text = section("Commands")
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `softgate {name}")]
        options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
        assert set(re.findall(r"--[a-z-]+", row)) == options - {"--help"}


@pytest.mark.parametrize(
    ("key", "values"), [("activation", ACTIVATIONS), ("input.kind", INPUTS), ("output.kind", OUTPUTS)]
)
def test_every_registry_key_of_the_card(key: str, values: tuple[str, ...]) -> None:
    (row,) = [line for line in REFERENCE.splitlines() if line.startswith(f"| `{key}` ")]

    assert set(re.findall(r"`(\w+)`", row.split("|")[3])) == set(values)


def test_every_activation_is_explained() -> None:
    concepts = (ROOT / "docs" / "concepts.md").read_text()

    assert [name for name in ACTIVATIONS if name not in concepts] == []


def test_every_action_and_reason_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()

    assert [word for word in (*Action, *Reason) if f"`{word.word}`" not in readme] == []


def test_links_between_documents_lead_somewhere() -> None:
    for document in (ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("models/*/README.md")):
        for link in re.findall(r"\]\((?!https?://)([^)#]+)\)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.name}: {link}"
