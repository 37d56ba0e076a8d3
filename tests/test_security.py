"""SECURITY.md: the tests that it names exist; and what it says that no single module could prove."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from servers import Served, command, served, started
from test_layers import PATHS, floor, imports, is_allowed
from web.conftest import write_models

ROOT = Path(__file__).parents[1]
SECURITY = (ROOT / "SECURITY.md").read_text()


def rows() -> list[list[str]]:
    """The cells of the table of what has happened to others."""
    table = SECURITY.partition("## What has happened to others")[2]
    lines = [line for line in table.splitlines() if line.startswith("| ")][2:]
    return [line.strip("| ").split(" | ") for line in lines]


def test_every_class_names_tests_that_exist() -> None:
    assert len(rows()) > 20
    for *_, named in rows():
        found = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", named)
        assert found, named
        for path, name in found:
            assert f"def {name}(" in (ROOT / path).read_text(), f"{path}::{name}"


CODE = {"pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle", "tarfile", "lzma", "bz2", "gzip", "jinja2"}
# An .npz is a zip; its members are read as arrays, in memory, without pickle.
ZIPS = {"softgate.workbench.examples.arrays"}


def calls(name: str) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(PATHS[name].read_text())):
        if isinstance(node, ast.Call):
            called = node.func
            yield called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", ""), node


@pytest.mark.parametrize("name", sorted(PATHS))
def test_nothing_is_unpickled_unpacked_or_filled_in(name: str) -> None:
    assert not [each for each in imports(name) if is_allowed(each, CODE)]
    assert name in ZIPS or not [each for each in imports(name) if is_allowed(each, {"zipfile"})]
    for called, call in calls(name):
        assert called not in {"eval", "exec", "unpack_archive", "extractall", "extract"}, called
        if called in {"read_array", "load"} and any(word.arg == "allow_pickle" for word in call.keywords):
            (allowed,) = [word.value for word in call.keywords if word.arg == "allow_pickle"]
            assert isinstance(allowed, ast.Constant)
            assert allowed.value is False


# Modules that open connections; commands that ask a server, and the generator of a benchmark, are none that serve.
ASKING = {"urllib.request", "http.client", "httpx2", "requests", "aiohttp", "smtplib", "ftplib"}
# The doctor's own connection to itself.
OWN = {"softgate.web.nodelay"}


@pytest.mark.parametrize("name", [name for name in sorted(PATHS) if name != "softgate" and floor(name) != "client"])
def test_what_serves_asks_nobody(name: str) -> None:
    if floor(name) in {"commands", "workbench", "cli", "__main__"} or name in OWN:
        return
    assert not [each for each in imports(name) if is_allowed(each, ASKING)]
    assert not {called for called, _ in calls(name)} & {
        "create_connection",
        "open_connection",
        "sock_connect",
        "connect",
    }


def test_no_variable_makes_the_framework_tell_others_what_is_asked(tmp_path: Path) -> None:
    variables = {"FASTAPI_OTEL_AUTO_CONFIGURE": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    with started(command("serve", write_models(tmp_path), "--port", 0), variables=variables) as server:
        # Each line is a record of ours, or this raises: FastAPI says it in plain text when it cannot.
        server.read_until("ready")
        server.process.terminate()
        assert server.process.wait(30) == 0
        assert server.log.read() == ""


UNUSED = {
    "starlette.staticfiles",
    "starlette.formparsers",
    "starlette.templating",
    "fastapi.staticfiles",
    "fastapi.templating",
    "multipart",
    "python_multipart",
    "starlette.middleware.cors",
    "fastapi.middleware.cors",
}


@pytest.mark.parametrize("name", [name for name in sorted(PATHS) if name.startswith("softgate.web")])
def test_no_part_of_the_framework_that_parses_forms_or_serves_files_is_used(name: str) -> None:
    tree = ast.parse(PATHS[name].read_text())
    taken = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}

    assert not [each for each in imports(name) if is_allowed(each, UNUSED)]
    assert not taken & {"StaticFiles", "FileResponse", "Form", "File", "UploadFile", "CORSMiddleware"}
    assert "form" not in {called for called, _ in calls(name)}
    assert "multipart" not in (ROOT / "requirements.txt").read_text()


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Mapping[str, str]]]:
    """A server, and names by which a path would lead to a whole model folder that it does not serve."""
    folder = tmp_path_factory.mktemp("models")
    write_models(folder / "served")
    write_models(folder / "hidden")
    names = {
        "parent": "../hidden/words",
        "encoded": "..%2fhidden%2fwords",
        "twice": "..%252fhidden%252fwords",
        "whole": str(folder / "hidden" / "words").replace("/", "%2f"),
        "dots": "%2e%2e%2fhidden%2fwords",
        "backslash": "..%5chidden%5cwords",
        "itself": ".%2fwords",
        "null": "words%00",
    }
    with served(folder / "served") as server:
        yield server, names


def test_a_name_in_a_request_never_becomes_a_path(beside: tuple[Served, Mapping[str, str]]) -> None:
    server, names = beside
    for name in names.values():
        for path in (
            f"/v1/models/{name}/predict",
            f"/v1/models/words/versions/{name}/predict",
            f"/v1/models/{name}/rank",
        ):
            answer = server.client.post(path, json={"inputs": "send money"})
            assert answer.status_code == 404, path
            assert "hidden" not in answer.text
        for path in (
            f"/v1/models/{name}",
            f"/v1/models/{name}/drift",
            f"/docs/{name}",
            f"/v2/models/{name}",
            f"/v2/models/{name}/config",
            f"/v2/models/words/versions/{name}/stats",
        ):
            assert server.client.get(path).status_code == 404, path
