"""What the client needs, and what it does not."""

import subprocess
import sys

import pytest

from softgate.client import AsyncClient, Client
from softgate.errors import InvalidInput


def told(script: str) -> str:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout


def test_without_its_extra_it_says_what_to_install() -> None:
    script = """
import sys
sys.modules["httpx2"] = None
try:
    import softgate.client
except ModuleNotFoundError as exc:
    print(exc.name, exc)
"""

    assert told(script) == "httpx2 softgate.client needs an extra: pip install 'softgate[client]'.\n"


def test_it_loads_neither_numpy_nor_the_server_nor_a_bar() -> None:
    script = "import sys, softgate.client; print(sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = told(script)

    for name in ("numpy", "onnxruntime", "rich", "fastapi", "pydantic"):
        assert f"'{name}'" not in loaded
    assert "'httpx2'" in loaded


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8080",
        "ftp://host",
        "http://",
        "http://user:secret@host",
        "http://host?a=b",
        "http://host#a",
        None,
    ],
)
def test_a_url_that_is_none_of_a_server_is_refused(kind: type[Client | AsyncClient], url: str) -> None:
    with pytest.raises(InvalidInput, match="Expected the http or https URL of a server") as caught:
        kind(url)

    assert "secret" not in str(caught.value)


def test_a_client_does_not_show_its_token() -> None:
    with Client("http://127.0.0.1:8080/", token="secret") as client:
        assert "secret" not in repr(client)
