"""`softgate token`, and SOFTGATE_TOKEN where commands ask a server that wants one."""

import re
import subprocess
from pathlib import Path

import pytest

from graphs import write_text_model
from servers import command, environment, served
from softgate.web.tokens import read_tokens

REFERENCE = (Path(__file__).parents[2] / "docs" / "reference.md").read_text()


def run(*arguments: object, code: int = 0, **variables: str) -> "subprocess.CompletedProcess[str]":
    ended = subprocess.run(
        command(*arguments), capture_output=True, text=True, env=environment(**variables), check=False, timeout=60
    )
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended


def test_the_table_goes_to_the_file_and_the_token_to_the_screen(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    one = run("token", "chatbot", "--scope", "predict", "--model", "toy")
    two = run("token", "operator", "--scope", "read", "--scope", "admin", "--scope", "read")
    path.write_text(one.stdout + two.stdout)

    assert [(token.name, token.scopes) for token in read_tokens(path)] == [
        ("chatbot", frozenset({"predict"})),
        ("operator", frozenset({"read", "admin"})),
    ]
    assert re.fullmatch(r"softgate_[\w-]{43}\n", one.stderr)
    assert one.stderr.strip() not in one.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("a", "--scope", "root"), "predict, read, admin"), (("A", "--scope", "read"), "a name"), (("a",), "--scope")],
)
def test_a_mistake_makes_no_token(arguments: tuple[str, ...], said: str) -> None:
    ended = run("token", *arguments, code=2)

    assert said in ended.stderr
    assert ended.stdout == ""


def test_drift_shows_its_token_and_health_needs_none(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    made = {scope: run("token", scope, "--scope", scope) for scope in ("read", "predict")}
    path.write_text("".join(each.stdout for each in made.values()))
    token = {scope: each.stderr.strip() for scope, each in made.items()}
    folder = write_text_model(tmp_path / "words", name="words")
    with served(folder, variables={"SOFTGATE_TOKENS_FILE": str(path)}) as server:
        assert run("health", server.url).stdout.startswith('{"status":"ok"')
        assert "words 1" in run("drift", server.url, SOFTGATE_TOKEN=token["read"]).stdout
        without = run("drift", server.url, code=1).stderr
        wrong = run("drift", server.url, code=1, SOFTGATE_TOKEN=token["predict"]).stderr

    assert "a token with the scope read in SOFTGATE_TOKEN; got status 401" in without
    assert "got status 403" in wrong


@pytest.mark.parametrize("token", ["two words", "line\nend", "ünïcödé", " "])
def test_a_token_that_cannot_be_one_is_refused_and_not_repeated(token: str) -> None:
    said = run("drift", "http://127.0.0.1:9", code=1, SOFTGATE_TOKEN=token).stderr

    assert "as softgate token prints it" in said
    assert token not in said or not token.strip()


def test_the_tokens_file_of_the_reference_is_read(tmp_path: Path) -> None:
    shown = REFERENCE.partition("<!-- tokens -->\n```toml\n")[2].partition("```")[0]
    path = tmp_path / "tokens.toml"
    path.write_text(shown)

    (token,) = read_tokens(path)

    assert (token.name, token.scopes) == ("chatbot", frozenset({"predict"}))
    assert token.models == frozenset({"clinc150"})
