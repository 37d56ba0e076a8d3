"""What exists is documented, and what is documented exists."""

import doctest
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from typer.main import get_command

import softgate.numerics
from bench.compare import SECTIONS
from bench.page import BEGIN, END, PAGE, filled
from calibrating import LOGITS, calibrated, examples, model, pairs
from graphs import linear, write_model
from servers import Served, command, environment, served
from softgate.numerics.activations import ACTIVATIONS
from softgate.runtime.inputs import INPUTS
from softgate.runtime.outputs import OUTPUTS
from softgate.settings import Settings
from softgate.types import Action, Reason
from softgate.web import errors
from softgate.workbench.examples import READERS
from tools import tool

ROOT = Path(__file__).parents[1]
MAX_PICTURE_BYTES = 150_000
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
    """Of a calibrated model, of one whose labels may hold at once, of one whose routes have thresholds of their own."""
    for shipped in ("clinc150", "hotel-requests"):
        (tmp_path / shipped).symlink_to(ROOT / "models" / shipped)
    write_model(
        tmp_path / "own",
        linear(np.eye(4, dtype=np.float32)),
        name="own",
        routing="threshold = 0.5\nthresholds.joke = 0.9",
    )
    with served(tmp_path) as server:
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
    for name, one in get_command(app).commands.items():  # type: ignore[attr-defined]
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `softgate {name}")]
        options = {option for parameter in one.params for option in parameter.opts if option.startswith("--")}
        assert set(re.findall(r"--[a-z-]+", row)) == options - {"--help"}


def test_every_option_and_kind_of_data_of_calibrate() -> None:
    from softgate.cli import app  # noqa: PLC0415 - builds the command line

    text = section("Calibrate")
    command = get_command(app).commands["calibrate"]  # type: ignore[attr-defined]
    options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}

    cells = first_cells(text)
    assert {cell for cell in cells if cell.startswith("--")} == options - {"--help"}
    kinds = re.findall(r"^\| ([^|]+) \|", text.partition("\n\n|")[2].partition("\n\n")[0], flags=re.M)
    assert set(re.findall(r"`(\.\w+)`", " ".join(kinds))) == READERS.keys()


def test_every_key_of_a_calibration(tmp_path: Path) -> None:
    keys: set[str] = set()
    several = calibrated(model(tmp_path / "sigmoid", activation="sigmoid"), pairs(), richer=True)
    shifted = examples((LOGITS + np.array([0, 3, 0, -3], np.float32)).tolist())
    made = (
        several,
        calibrated(model(tmp_path / "softmax"), shifted, richer=True),
        calibrated(model(tmp_path / "routes"), examples(), per_route=True),
    )
    for one in made:
        values = json.loads(one.content)
        keys |= values.keys() - {"evidence"} | {f"evidence.{name}" for name in values["evidence"]}

    rows = [line.split("|")[1] for line in section("calibration.json").splitlines() if line.startswith("| `")]
    assert {key for row in rows for key in re.findall(r"`([^`]+)`", row)} == keys


def test_examples_in_python_give_what_is_shown() -> None:
    text = section("Python")
    (block,) = re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    report: list[str] = []

    results = doctest.DocTestRunner(verbose=False).run(
        doctest.DocTestParser().get_doctest(block, {}, "docs/reference.md", None, None), out=report.append
    )

    assert results.failed == 0, "".join(report)
    assert results.attempted == block.count(">>> ")
    assert first_cells(text) == set(softgate.numerics.__all__)


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


def test_the_example_of_a_stream_gives_a_line_for_each() -> None:
    (example,) = re.findall(r"^    (printf .*\n.*)$", section("Streams of lines"), flags=re.M)
    with served(ROOT / "models" / "clinc150") as server:
        line = example.replace("http://127.0.0.1:8080", server.url).replace("curl", tool("curl"))
        ended = subprocess.run(line, shell=True, capture_output=True, text=True, check=True)

    assert [json.loads(one)["label"] for one in ended.stdout.splitlines()] == ["transfer", "weather"]


def test_the_example_of_a_file_of_rows_runs(tmp_path: Path) -> None:
    (example,) = re.findall(r"^    softgate (predict .*)$", section("Commands"), flags=re.M)
    (tmp_path / "models").symlink_to(ROOT / "models")
    (tmp_path / "rows.csv").write_text("text\nwill it rain\n")

    ended = subprocess.run(command(*example.split()), cwd=tmp_path, env=environment(), check=False, capture_output=True)

    assert ended.returncode == 0, ended.stderr
    assert json.loads((tmp_path / "rows.jsonl").read_text())["label"] == "weather"


def test_links_between_documents_lead_somewhere() -> None:
    for document in (ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("models/*/README.md")):
        for link in re.findall(r"\]\((?!https?://)([^)#]+)\)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.name}: {link}"


def test_every_picture_is_shown_and_small() -> None:
    shown = {
        name for page in ROOT.glob("docs/*.md") for name in re.findall(r"\]\(pictures/([^)]+)\)", page.read_text())
    }
    pictures = list((ROOT / "docs" / "pictures").glob("*.png"))
    assert {path.name for path in pictures} == {name for name in shown if name.endswith(".png")}
    assert all(path.stat().st_size < MAX_PICTURE_BYTES for path in pictures)


def test_every_measured_part_of_the_performance_page_is_filled() -> None:
    page = PAGE.read_text()
    assert filled(page, "curve", "new").count("new") == page.count("new") + 1
    for name in (*SECTIONS, "bulk", "profile"):
        begin, end = BEGIN.format(name=name), END.format(name=name)
        assert page.partition(begin)[2].partition(end)[0].strip(), name
    with pytest.raises(ValueError, match="measured: absent"):
        filled(page, "absent", "")


def test_every_promise_names_a_test_that_exists() -> None:
    tests = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    promised = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "promises.md").read_text()))

    assert promised - tests == set()
    assert promised
