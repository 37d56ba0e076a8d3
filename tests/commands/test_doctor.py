"""`softgate doctor`: each line on a machine where all is well, and where something is not."""

import re
import socket
import subprocess
from pathlib import Path

import pytest

from calibrating import calibrated, examples, model
from graphs import write_text_model
from servers import command, environment
from softgate.settings import Settings
from softgate.web.nodelay import has_nodelay


def run(*arguments: object, code: int = 0, **variables: str) -> str:
    """What it says, each line whole."""
    ended = subprocess.run(
        command("doctor", *arguments),
        capture_output=True,
        text=True,
        env=environment(**{"SOFTGATE_PORT": "0", **variables}),
        check=False,
        timeout=60,
    )
    assert ended.returncode == code, ended.stdout + ended.stderr
    assert ended.stderr == ""
    return ended.stdout


@pytest.fixture
def models(tmp_path: Path) -> Path:
    toy = model(tmp_path / "models" / "toy")
    (tmp_path / "models/toy/1/calibration.json").write_bytes(calibrated(toy, examples()).content)
    return tmp_path / "models"


def lines(said: str) -> dict[str, tuple[str, str]]:
    """Name of each line → its status and sentence."""
    found = re.findall(r"^ (ok|warning|failed) +([\w ]+?)  +(.*)$", said, flags=re.M)
    return {name: (status, sentence) for status, name, sentence in found}


def write_tokens(path: Path, *options: str) -> Path:
    ended = subprocess.run(
        command("token", "chatbot", "--scope", "predict", *options),
        capture_output=True,
        env=environment(),
        check=True,
    )
    path.write_bytes(ended.stdout)
    path.chmod(0o644)
    return path


def test_where_all_is_well_every_line_is_ok(models: Path, tmp_path: Path) -> None:
    path = write_tokens(tmp_path / "tokens.toml", "--model", "toy")

    said = run(models, "--state-dir", tmp_path / "a" / "state", SOFTGATE_TOKENS_FILE=str(path), SOFTGATE_THREADS="1")

    found = lines(said)
    assert found.keys() == {
        "settings",
        "port",
        "TCP_NODELAY",
        "threads",
        "temp space",
        "state",
        "model",
        "tokens",
    }
    assert {status for status, _ in found.values()} == {"ok"}
    assert said.splitlines()[-1] == " 8 ok, 0 warnings, 0 failed."
    assert "toy 1: 4 labels, sha256 " in found["model"][1]
    assert found["tokens"][1] == f"{path}: chatbot (predict)."
    # Nothing is made by looking.
    assert not (tmp_path / "a").exists()


def test_every_setting_is_shown_with_where_it_comes_from() -> None:
    said = run("--workers", 2, SOFTGATE_MAX_ROWS="7", SOFTGATE_TOKEN="softgate_secret", SOFTGATE_WORKERS="3")

    rows = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line.startswith(" SOFTGATE_")}
    assert rows.keys() == {f"SOFTGATE_{name.upper()}" for name in Settings.model_fields}
    assert rows["SOFTGATE_WORKERS"] == ["2", "option"]
    assert rows["SOFTGATE_MAX_ROWS"] == ["7", "environment"]
    assert rows["SOFTGATE_HOST"] == ["127.0.0.1", "default"]
    assert "secret" not in said


def test_it_fits_80_columns(models: Path) -> None:
    said = run(models, COLUMNS="80", FORCE_COLOR="1", SOFTGATE_WORKER="1")

    plain = re.sub(r"\x1b\[[0-9;]*m", "", said)
    assert max(map(len, plain.splitlines())) <= 80


def test_a_misspelt_variable_is_pointed_out() -> None:
    said = run(SOFTGATE_WORKER="3", SOFTGATE_ZZZ="1")

    assert "SOFTGATE_WORKER is no setting" in said
    assert "Did you mean SOFTGATE_WORKERS?" in said
    assert "SOFTGATE_ZZZ is no setting" in said


def test_a_wrong_setting_is_named_and_nothing_else_is_looked_at() -> None:
    said = run(code=1, SOFTGATE_WORKERS="many")

    assert lines(said).keys() == {"settings"}
    assert "SOFTGATE_WORKERS: got 'many'" in said


def test_a_port_that_is_taken_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = run("--port", taken.getsockname()[1], code=1)

    assert lines(said)["port"][0] == "failed"
    assert "Stop what listens there" in said


def test_more_threads_than_cpus_are_pointed_out() -> None:
    status, said = lines(run("--workers", 200, SOFTGATE_THREADS="4"))["threads"]

    assert status == "warning"
    assert said.startswith("200 workers x 4 threads on ")


@pytest.mark.parametrize("alone", [True, False], ids=["one worker", "several"])
def test_connections_have_nodelay_however_they_are_accepted(alone: bool) -> None:
    assert has_nodelay(alone=alone)


def test_a_connection_without_nodelay_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket bound without its protocol, as uvicorn binds one: asyncio's loop then leaves the option off."""

    def careless(host: str, port: int) -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind((host, port))
        listener.listen()
        listener.setblocking(False)
        return listener

    monkeypatch.setattr("softgate.web.nodelay.bind", careless)
    monkeypatch.setattr("softgate.web.nodelay.LOOP", "asyncio")

    assert not has_nodelay(alone=True)


def test_models_that_cannot_be_served_are_failures_each_by_name(models: Path, tmp_path: Path) -> None:
    write_text_model(models / "words", name="words")
    (write_text_model(models / "broken", name="broken") / "labels.txt").unlink()
    said = run(models, code=1)

    assert "broken/labels.txt: there is no such file" in said
    assert "words 1: 4 labels" in said
    assert "no calibration." in said
    assert "toy 1: 4 labels" in said
    assert said.splitlines()[-1].endswith("1 failed.")
    assert "holds no model folder" in run(tmp_path, code=1)
    (models / "broken").rename(tmp_path / "elsewhere")
    write_text_model(models / "again", name="words")
    assert "are both named words" in run(models, code=1)


def test_a_folder_for_state_that_cannot_be_one_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    said = run("--state-dir", tmp_path / "file" / "state", code=1)

    assert "is no folder that this user may write to" in said


def test_tokens_that_are_missing_broken_open_to_others_or_for_nothing_are_pointed_out(
    models: Path, tmp_path: Path
) -> None:
    assert "SOFTGATE_TOKENS_FILE for 192.0.2.1" in run("--host", "192.0.2.1", code=1)
    ops = {"SOFTGATE_OPS_HOST": "192.0.2.1", "SOFTGATE_OPS_PORT": "9"}
    assert "SOFTGATE_TOKENS_FILE for 192.0.2.1" in run(code=1, **ops)
    assert "Nobody is asked for one on 127.0.0.1" in run(SOFTGATE_ALLOW_PUBLIC="true")
    path = tmp_path / "tokens.toml"
    assert "not a readable tokens file" in run(code=1, SOFTGATE_TOKENS_FILE=str(path))
    write_tokens(path, "--model", "nobody")
    said = run(models, SOFTGATE_TOKENS_FILE=str(path))
    assert "chatbot is for nobody, which would not be served" in said
    path.chmod(0o666)
    assert f"chmod go-w {path}" in run(code=1, SOFTGATE_TOKENS_FILE=str(path))
