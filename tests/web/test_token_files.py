"""The tokens file: what is refused, by name, and that no token is repeated."""

import hashlib
from pathlib import Path

import pytest

from softgate.errors import InvalidInput, StartupFailed
from softgate.web.tokens import SCOPES, new_token, read_tokens, written

SHA256 = hashlib.sha256(b"secret").hexdigest()
GOOD = f'[[tokens]]\nname = "a"\nsha256 = "{SHA256}"\nscopes = ["read"]\n'


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path, token = tmp_path / "tokens.toml", new_token()
    path.write_text(
        written("chatbot", token, scopes=["predict"], models=["clinc150", "digits"])
        + written("all", new_token(), scopes=list(SCOPES), models=[])
    )

    narrow, wide = read_tokens(path)

    assert (narrow.name, narrow.scopes) == ("chatbot", frozenset({"predict"}))
    assert narrow.models == frozenset({"clinc150", "digits"})
    assert narrow.digest == hashlib.sha256(token.encode()).digest()
    assert (wide.scopes, wide.models) == (frozenset(SCOPES), None)
    assert token not in path.read_text()


def test_tokens_differ_and_say_whose_they_are() -> None:
    made = {new_token() for _ in range(100)}

    assert len(made) == 100
    assert all(token.startswith("softgate_") and len(token) > 50 and token.isascii() for token in made)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "expected nothing but tables [[tokens]], at least one"),
        ("tokens = []", "at least one"),
        ("tokens = [1]", "tokens 1: wanted a table"),
        (f"admin = true\n{GOOD}", "expected nothing but tables [[tokens]]"),
        ("[[tokens]", "not a readable tokens file"),
        (GOOD.replace('"a"', '"A b"'), "tokens 1.name: got 'A b', wanted"),
        (GOOD.replace('name = "a"\n', ""), "tokens 1.name: missing"),
        (GOOD.replace(SHA256, "my-token"), "tokens 1.sha256: wanted the token's sha256"),
        (GOOD.replace(SHA256, SHA256.upper()), "tokens 1.sha256: wanted"),
        (GOOD.replace('"read"', '"root"'), "tokens 1.scopes: wanted a list of predict, read, admin"),
        (GOOD.replace('["read"]', "[]"), "tokens 1.scopes: "),
        (GOOD + "models = []", "tokens 1.models: "),
        (GOOD + 'model = ["a"]', "tokens 1.model: unknown key; did you mean models?"),
        (GOOD + GOOD.replace('"a"', '"b"'), "tokens 2: another token has this name or this sha256"),
        (GOOD + GOOD.replace(SHA256, "0" * 64), "tokens 2: another token has this name or this sha256"),
    ],
)
def test_a_mistake_is_named_and_no_token_is_repeated(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(content)

    with pytest.raises(StartupFailed) as caught:
        read_tokens(path)

    assert said in str(caught.value)
    assert "my-token" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "A", "a b", 'a"\nscopes = ["admin"]', "-a"])
def test_a_name_that_could_not_be_read_back_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="Expected a name"):
        written(name, new_token(), scopes=["read"], models=[])
    with pytest.raises(InvalidInput, match="Expected a name"):
        written("a", new_token(), scopes=["read"], models=[name])
