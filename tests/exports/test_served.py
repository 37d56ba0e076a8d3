"""
That softgate takes every export from the file to the answer: init, check, serve, predict.

One server has all of them. Nothing runs where the locale en_US could be found, as in a slim image.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from exports.export import Export, Floats
from exports.models import EXPORTS, exported
from servers import Served, command, environment, served

TOLERANCE = 1e-5
NO_LOCALES = {"LOCPATH": "/nowhere"}
Ended = subprocess.CompletedProcess[str]

BESIDE = "convolution_weights_beside"
# Several nameless scores: nothing in the graph tells whether a row may have several labels.
ASKED = ("convolution", "convolution_one_at_a_time", BESIDE, "multi_label_logits", "bert")
# They take arrays of four axes, which may be images or numbers.
PIXELS = ("convolution", "convolution_one_at_a_time", BESIDE)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all model folders."""
    return tmp_path_factory.mktemp("served") / "models"


@pytest.fixture(scope="module")
def initialised(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Ended]:
    """How `softgate init` ended, by export."""
    lines = {name: init(name, models / name, tmp_path_factory.mktemp(name)) for name in EXPORTS}
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(lines, pool.map(run, lines.values()), strict=True))


@pytest.fixture(scope="module")
def server(models: Path, initialised: Mapping[str, Ended]) -> Iterator[Served]:
    assert initialised
    with served(models, variables=NO_LOCALES) as running:
        yield running


@pytest.fixture(params=list(EXPORTS))
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


def test_init_asks_for_nothing_but_what_the_graph_does_not_settle(name: str, initialised: Mapping[str, Ended]) -> None:
    ended = initialised[name]

    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("name", ASKED)
def test_init_asks_for_the_activation_of_several_nameless_scores(name: str, tmp_path: Path) -> None:
    line = init(name, tmp_path / "models" / name, tmp_path)
    at = line.index("--activation")

    ended = run(line[:at] + line[at + 2 :])

    assert ended.returncode == 1
    assert "--activation softmax" in ended.stderr
    assert not (tmp_path / "models" / name).exists()


def test_init_takes_the_weights_beside_the_graph_along(models: Path, initialised: Mapping[str, Ended]) -> None:
    assert initialised[BESIDE].returncode == 0, initialised[BESIDE].stderr

    assert {name: (models / BESIDE / "1" / name).read_bytes() for name in exported(BESIDE).beside} == exported(
        BESIDE
    ).beside


def test_init_refuses_weights_that_were_left_behind(tmp_path: Path) -> None:
    line = init(BESIDE, tmp_path / "models" / BESIDE, tmp_path)
    for name in exported(BESIDE).beside:
        (tmp_path / name).unlink()

    ended = run(line)

    assert ended.returncode == 1
    assert "there is no such file, and the graph's weights are to be in it" in ended.stderr
    assert not (tmp_path / "models" / BESIDE).exists()


def test_check_finds_nothing_wrong(name: str, models: Path, initialised: Mapping[str, Ended]) -> None:
    assert initialised[name].returncode == 0, "It was not initialised."

    ended = run(command("check", models / name, "--json"))

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert json.loads(ended.stdout)["ok"] is True


def test_the_server_gives_the_probabilities_of_the_library(
    name: str, initialised: Mapping[str, Ended], server: Served
) -> None:
    made = exported(name)
    assert initialised[name].returncode == 0, "It was not initialised."

    answer = server.predict(name, inputs=made.rows)

    assert answer.status_code == 200, answer.text
    rows = [row["probabilities"] for row in answer.json()["predictions"]]
    assert all(row.keys() == set(made.labels) for row in rows)
    found = np.array([[row[label] for label in made.labels] for row in rows])
    assert found.shape == made.probabilities.shape
    assert np.abs(found - wanted(name, made)).max() < TOLERANCE


def wanted(name: str, made: Export) -> Floats:
    """
    The library's probabilities, but for one difference of the exporter, told in `from_scikit_learn`.

    skl2onnx gives a binary LinearSVC's score x as the two columns (-x, x), which plain onnxruntime gives too. Their
    softmax is sigmoid(2x), where one logit x stands for sigmoid(x): the odds are squared. Neither is a probability
    before a temperature is fitted, and the label is the same.
    """
    if name != "linear_svc_binary_raw_scores":
        return made.probabilities
    squares = made.probabilities**2
    return np.asarray(squares / squares.sum(axis=1, keepdims=True))


def init(name: str, folder: Path, beside: Path) -> list[str]:
    """The command line that makes `folder` of the export, its files written to the folder `beside`."""
    made = exported(name)
    (beside / "model.onnx").write_bytes(made.model)
    for file, content in made.beside.items():
        (beside / file).write_bytes(content)
    line = command("init", beside / "model.onnx", "-o", folder)
    if not made.labels_in_graph:
        (beside / "labels.txt").write_text("\n".join(made.labels) + "\n", encoding="utf-8")
        line += ["--labels", str(beside / "labels.txt")]
    if made.tokenizer is not None:
        (beside / "tokenizer.json").write_bytes(made.tokenizer)
        line += ["--tokenizer", str(beside / "tokenizer.json")]
    if name in PIXELS:
        line += ["--input", "tensor"]
    if name in ASKED:
        assert made.activation is not None, "Only scores can be unsettled."
        line += ["--activation", made.activation]
    return line


def run(line: list[str]) -> Ended:
    # Wide, so that no message is broken.
    variables = environment(COLUMNS="300", **NO_LOCALES)
    return subprocess.run(line, check=False, capture_output=True, text=True, timeout=120, env=variables)
