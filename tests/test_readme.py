"""The README's examples, run as they stand."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax

from graphs import LABELS, VOTES, WORDS, bag_of_words, word_tokenizer, zipped
from servers import environment, served
from tools import tool

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^\$ (.+)$", README, flags=re.M)


def block(name: str) -> str:
    """The fenced block after an `<!-- name -->` mark."""
    return re.split(r"```\w*\n", README.partition(f"<!-- {name} -->")[2], maxsplit=1)[1].partition("```")[0]


def shape(value: Any) -> Any:
    """A value with its numbers left out: names, order and kinds."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value).__name__ if isinstance(value, int | float) else value


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict | list):
        items = value.values() if isinstance(value, dict) else value
        return [number for item in items for number in numbers(item)]
    return [value] if isinstance(value, int | float) else []


def run(command: str, folder: Path = ROOT) -> str:
    """A command of the README, `.venv/bin/softgate` being the one under test."""
    arguments = shlex.split(command)
    if arguments[0] == "curl":
        arguments[0] = tool("curl")
    if arguments[0] == ".venv/bin/softgate":
        arguments[:1] = [sys.executable, "-m", "softgate"]
    ended = subprocess.run(arguments, capture_output=True, text=True, cwd=folder, env=environment(), check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_first_example_answers_as_shown() -> None:
    curl = next(command for command in COMMANDS if command.startswith("curl"))
    with served(ROOT / "models") as server:
        answer = json.loads(run(curl.replace("http://127.0.0.1:8080", server.url)))

    shown = json.loads(block("answer"))
    assert shape(answer) == shape(shown)
    assert numbers(answer) == pytest.approx(numbers(shown), rel=0.05)
    assert list(answer["predictions"][0]["probabilities"]) == list(shown["predictions"][0]["probabilities"])


def test_the_offline_example_runs() -> None:
    (command,) = [command for command in COMMANDS if " predict " in command]

    assert "route → banking" in run(command)


def test_the_card_of_the_readme_is_calibrated_and_served(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "yours"
    (folder / "1").mkdir(parents=True)
    (folder / "classifier.toml").write_text(block("card"))
    (folder / "labels.txt").write_text("transfer\nbalance\nweather\njoke\n")
    (folder / "tokenizer.json").write_text(word_tokenizer())
    (folder / "1" / "model.onnx").write_bytes(bag_of_words())
    draws = np.random.default_rng(0)
    words = draws.integers(2, len(WORDS), size=(600, 2))
    chosen = [draws.choice(4, p=p) for p in softmax(1.5 * VOTES[words].sum(axis=1), axis=1)]
    rows = [f"{WORDS[one]} {WORDS[two]},{LABELS[label]}" for (one, two), label in zip(words, chosen, strict=True)]
    (tmp_path / "validation.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    (calibrate,) = [command for command in COMMANDS if " calibrate " in command]
    serve = next(command for command in COMMANDS if " serve " in command)

    run(calibrate, tmp_path)

    with served(tmp_path / serve.split()[-1]) as server:
        assert server.predict("yours", inputs="send money").json()["calibration"] is not None


def test_a_digit_is_read_from_its_file() -> None:
    (curl,) = [command for command in COMMANDS if "--data-binary" in command]

    with served(ROOT / "models" / "digits") as server:
        answer = json.loads(run(curl.replace("http://127.0.0.1:8080", server.url)))

    assert answer["predictions"][0]["label"] == "3"


def test_drift_is_told_of_every_model() -> None:
    (drift,) = [command for command in COMMANDS if " drift " in command]

    with served(ROOT / "models") as server:
        told = run(drift.replace("http://127.0.0.1:8080", server.url))

    assert told.count("No rows yet") == len(list((ROOT / "models").iterdir()))


def test_a_graph_is_served_two_commands_later(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(zipped(["setosa", "versicolor", "virginica"]))
    init, serve = [command for command in COMMANDS if " init " in command or " serve " in command][:2]

    run(init, tmp_path)

    features = [1.0, 0.0, 2.0]
    with served(tmp_path / serve.split()[-1]) as server:
        (answer,) = server.predict("yours", inputs=[features]).json()["predictions"]
    labels = ["virginica", "setosa", "versicolor"]
    expected = dict(zip(labels, sorted(softmax(features), reverse=True), strict=True))
    assert answer["probabilities"] == pytest.approx(expected, abs=1e-6)
    assert list(answer["probabilities"]) == labels


def test_make_serve_and_make_test_lead_the_readme() -> None:
    assert README.index("make serve") < README.index("curl")
    assert "make test" in README
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^    make (\w+)", README, flags=re.M):
        assert re.search(rf"^{target}:", makefile, flags=re.M), target
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
