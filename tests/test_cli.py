"""The command line, run as a user runs it."""

import json
import os
import shlex
import subprocess
from itertools import takewhile
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from graphs import LABELS, VOTES, WORDS, linear, logarithm, write_model, write_text_model
from servers import command, environment, served, started
from softgate import __version__
from softgate.runtime import batcher


def run(*arguments: object, code: int = 0, **variables: str) -> "subprocess.CompletedProcess[str]":
    ended = subprocess.run(
        command(*arguments), capture_output=True, text=True, env=environment(**variables), check=False, timeout=60
    )
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended


@pytest.fixture
def words(tmp_path: Path) -> Path:
    return write_text_model(tmp_path / "words")


def test_predict_shows_a_bar_per_class_and_the_decision(words: Path) -> None:
    shown = run("predict", words, "send money").stdout.splitlines()

    assert len(shown) == len(LABELS) + 3
    assert shown[0].split()[0] == "transfer"
    assert shown[0].split()[-1] == "94.05%"
    assert shown[0].count("█") == 30
    assert shown[-2].split() == ["route", "→", "banking"]
    assert shown[-1].split() == ["uncalibrated:", "banking", "98.73%,", "threshold", "70.00%"]


def test_predict_as_json_is_the_answer_of_the_api(words: Path) -> None:
    offline = run("predict", words, "send money", "--json", "--top-k", 4).stdout

    with served(words) as server:
        assert json.loads(offline) == server.predict("toy", inputs="send money", top_k=4).json()


def test_predict_takes_numbers_as_json(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "identity", linear(np.eye(4, dtype=np.float32)))

    answer = json.loads(run("predict", folder, "[1, 5, 2, 3]", "--json").stdout)

    assert answer["predictions"][0]["label"] == "balance"
    wrong = run("predict", folder, "[1, 5, 2]", code=2).stderr
    assert wrong == "error Expected 4 features per row; row 0 has 3.\n"


def test_predict_says_when_the_graph_gives_no_numbers(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "logarithm", logarithm(4))

    assert run("predict", folder, "[-1, 0, 1, 2]").stdout.split() == ["fallback", "→", "human", "non_finite"]


def test_a_label_that_looks_like_markup_is_shown_as_it_is(tmp_path: Path) -> None:
    labels = ["[bold]", "[/red]", "[link=x]", "yes"]
    folder = write_model(tmp_path / "odd", linear(np.eye(4, dtype=np.float32)), labels=labels)

    shown = run("predict", folder, "[4, 3, 2, 1]").stdout

    assert [line.split()[0] for line in shown.splitlines()[:4]] == labels


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("predict", "nowhere", "text"), 1, "nowhere/classifier.toml: there is no such file"),
        (("serve", "nowhere"), 1, "nowhere: not a folder"),
        (("serve", "."), 1, "holds no model folder; wanted at least one NAME/classifier.toml"),
        (("calibrate", "nowhere", "--data", "x.csv"), 1, "nowhere/classifier.toml: there is no such file"),
        (("report", "nowhere"), 1, "nowhere/classifier.toml: there is no such file"),
        (("report", "nowhere", "--show-inputs"), 2, "requires an argument"),
        (("bench", "nowhere"), 1, "nowhere/classifier.toml: there is no such file"),
        (("bench", "nowhere", "--connections", "0"), 2, "--connections"),
        (("health", "file:///etc/passwd"), 1, "Expected an http URL"),
        (("serve", "nowhere", "--port", "99999"), 2, "less than or equal to 65535"),
        (("health", "http://127.0.0.1:abc"), 1, "No answer from http://127.0.0.1:abc/readyz?verbose"),
        (("serve", "n" * 300), 1, "File name too long"),
        (("serve", ".", "--host", "h" * 300), 1, "holds no model folder"),
        (("no-such-command",), 2, "No such command"),
        (("predict",), 2, "Missing argument"),
    ],
)
def test_a_mistake_is_one_clear_sentence_and_an_exit_code(
    tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    ended = subprocess.run(
        command(*arguments), capture_output=True, text=True, env=environment(), cwd=tmp_path, check=False
    )

    assert ended.returncode == code
    assert said in " ".join(ended.stderr.replace("│", " ").split())
    assert "Traceback" not in ended.stderr


def test_an_error_does_not_steer_the_terminal(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "odd", linear(np.eye(4, dtype=np.float32), name="\x1b[31mred\x9b"), labels=("a",))

    assert "\x1b[31m" not in run("predict", folder, "[1, 2, 3, 4]", code=1).stderr


def test_a_setting_of_the_wrong_kind_is_named(words: Path) -> None:
    assert "SOFTGATE_WORKERS: got 'many': " in run("serve", words, code=1, SOFTGATE_WORKERS="many").stderr


def test_an_option_overrides_its_variable(words: Path) -> None:
    with served(words, variables={"SOFTGATE_PORT": "1"}) as server:
        assert server.client.get("/livez").status_code == 200


def test_a_health_check_loads_neither_a_graph_engine_nor_a_web_framework() -> None:
    program = "import sys, softgate.cli; print(sorted({'numpy', 'onnxruntime', 'fastapi'} & sys.modules.keys()))"
    loaded = subprocess.run(
        [*command()[:1], "-c", program], capture_output=True, text=True, env=environment(), check=True
    )

    assert loaded.stdout == "[]\n"


def test_a_health_check_does_not_go_through_a_proxy(words: Path) -> None:
    with served(words) as server:
        assert run("health", f"{server.url}/", http_proxy="http://127.0.0.1:9").returncode == 0


def test_a_terminal_without_unicode_gets_bars_it_can_show(words: Path) -> None:
    shown = run("predict", words, "send money", PYTHONIOENCODING="ascii").stdout.splitlines()

    assert "####" in shown[0]
    assert shown[-2].split() == ["route", "->", "banking"]


def test_a_server_needs_no_open_standard_streams(words: Path) -> None:
    line = shlex.join(command("serve", words, "--port", 0))
    with started(["sh", "-c", f"exec {line} <&- >&-"]) as server:
        url = server.read_until("listening")["url"]
        server.read_until("ready")

        assert run("health", url).returncode == 0
        server.process.terminate()
        assert server.process.wait(timeout=10) == 0


def test_version() -> None:
    compiled = "" if Path(batcher.__file__).suffix == ".py" else " (compiled)"

    assert run("--version").stdout == f"softgate {__version__}{compiled}\n"


def write_examples(path: Path) -> Path:
    """Sentences whose labels are drawn at T = 2, so that there is a temperature to find."""
    draws = np.random.default_rng(0)
    rows = draws.integers(2, len(WORDS), size=(400, 2))
    probabilities = softmax(VOTES[rows].sum(axis=1) / 2, axis=1)
    labels = [LABELS[draws.choice(len(LABELS), p=p)] for p in probabilities]
    lines = [f"{WORDS[first]} {WORDS[second]},{label}\n" for (first, second), label in zip(rows, labels, strict=True)]
    path.write_text("text,label\n" + "".join(lines))
    return path


def test_calibrate_writes_what_the_server_then_serves(words: Path, tmp_path: Path) -> None:
    data = write_examples(tmp_path / "data.csv")

    shown = run("calibrate", words, "--data", data, "--plain").stdout

    calibration = json.loads((words / "1" / "calibration.json").read_text())
    assert 1.6 < calibration["temperature"] < 2.4
    assert "Is it calibrated?" in shown
    assert "400 rows" in shown
    assert "golden.json, calibration.json, calibration.html" in shown
    assert (words / "1" / "calibration.html").read_text().startswith("<!DOCTYPE html>")
    assert len(json.loads((words / "1" / "golden.json").read_text())["rows"]) >= 8
    with served(words) as server:
        answer = server.predict("toy", inputs="rain sun rain").json()
        model = server.client.get("/v1/models/toy").json()
    assert answer["calibration"] == calibration["digest"][:12] == model["calibration"]
    assert answer["predictions"][0]["decision"]["reason"] == "confident"
    assert model["calibration_detail"]["evidence"]["data"]["rows"] == 400


def test_a_dry_run_says_what_would_change_within_80_columns(words: Path, tmp_path: Path) -> None:
    card = words / "classifier.toml"
    card.write_text(card.read_text() + "\n[routing.profiles.strict]\nprecision = 0.97\n")
    data = write_examples(tmp_path / "data.csv")

    shown = run("calibrate", words, "--data", data, "--dry-run", COLUMNS="80").stdout.splitlines()

    assert any("Is it calibrated?" in line for line in shown)
    assert max(map(len, shown)) <= 80
    (whole,) = [line for line in shown if " decisions change " in line and "Profile" not in line]
    start = next(number for number, line in enumerate(shown) if line.split() == ["from", "to", "rows"]) + 1
    flips = [int(line.split()[-1]) for line in takewhile(str.strip, shown[start:])]
    assert sum(flips) == int(whole.split()[0])
    assert [line.split()[:2] for line in shown if line.startswith(" Profile")] == [["Profile", "strict:"]]
    assert shown[-1] == " Nothing was written."
    assert not (words / "1" / "calibration.json").exists()


def test_a_calibration_of_another_model_is_refused_by_name(words: Path, tmp_path: Path) -> None:
    data = write_examples(tmp_path / "data.csv")
    run("calibrate", words, "--data", data)
    labels = words / "labels.txt"
    first, second, *rest = labels.read_text().splitlines()

    labels.write_text("\n".join([second, first, *rest]) + "\n")

    assert "made for another labels.txt" in run("predict", words, "rain", code=1).stderr


def test_a_read_only_model_folder_cannot_be_calibrated_and_says_so(words: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        target: Path = words / "1" / "calibration.json"
        target.mkdir()
    else:
        (words / "1").chmod(0o555)
    data = write_examples(tmp_path / "data.csv")

    said = run("calibrate", words, "--data", data, code=1).stderr

    assert "cannot be written" in said


def test_report_shows_a_calibration_and_writes_a_page(words: Path, tmp_path: Path) -> None:
    page = tmp_path / "calibration.html"
    assert "has no calibration yet" in run("report", words, code=1).stderr
    run("calibrate", words, "--data", write_examples(tmp_path / "data.csv"))

    shown = run("report", words, "--html", page).stdout

    assert "Is it calibrated?" in shown
    assert "Where is it weak?" in shown
    assert page.read_text().startswith("<!DOCTYPE html>")
    other = tmp_path / "other.csv"
    other.write_text("text,label\nrain,transfer\n")
    assert "got a file of digest" in run("report", words, "--show-inputs", other, code=1).stderr
    assert "cannot be written" in run("report", words, "--html", tmp_path, code=1).stderr
