"""Tokens: who is let in to what, and that nothing leads around them."""

import contextlib
import hashlib
import hmac
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from graphs import linear, write_calibration, write_model
from processes import children, free_port
from servers import Served, command, environment, served, started
from softgate.errors import Forbidden, StartupFailed, Unauthenticated
from softgate.settings import Settings
from softgate.web.auth import LOOK_SECONDS, Guard, check_address, needed
from softgate.web.errors import PROBLEM_JSON
from softgate.web.tokens import TokensFile

SECRETS = {
    name: f"softgate_{name}_{'x' * 32}"
    for name in ("chatbot", "prometheus", "operator", "everything", "narrow", "late")
}
TABLES: Mapping[str, str] = {
    "chatbot": 'scopes = ["predict"]',
    "prometheus": 'scopes = ["read"]',
    "operator": 'scopes = ["admin"]',
    "everything": 'scopes = ["predict", "read", "admin"]',
    "narrow": 'scopes = ["predict", "read"]\nmodels = ["words"]',
    "late": 'scopes = ["predict"]',
}
ROWS = {"words": "send money", "identity": [1.0, 2.0, 3.0, 4.0]}


def table(name: str) -> str:
    sha256 = hashlib.sha256(SECRETS[name].encode()).hexdigest()
    return f'[[tokens]]\nname = "{name}"\nsha256 = "{sha256}"\n{TABLES[name]}\n'


def write_tokens(path: Path, *names: str) -> Path:
    """Whole or not at all, as an operator should."""
    beside = path.with_suffix(".new")
    beside.write_text("\n".join(map(table, names)))
    beside.rename(path)
    return path


@pytest.fixture(scope="module")
def guarded(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    names = [name for name in SECRETS if name != "late"]
    path = write_tokens(tmp_path_factory.mktemp("tokens") / "tokens.toml", *names)
    with served(models, variables={"SOFTGATE_TOKENS_FILE": str(path), "SOFTGATE_ADMIN": "true"}) as running:
        yield running


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {SECRETS[name]}"}


def ask(server: Served, method: str, path: str, *, headers: Mapping[str, str], body: Any = None) -> Any:
    content = None if body is None else json.dumps(body)
    return server.client.request(method, path, content=content, headers={**headers, **JSON})


JSON = {"content-type": "application/json"}


def raw(url: str, request: bytes) -> bytes:
    """What comes back for these bytes until the server closes."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "PURGE")
HEALTH = {
    "/livez": b'{"status":"ok"}',
    "/readyz": b'{"status":"ok"}',
    "/v2/health/live": b'{"live":true,"ready":true}',
    "/v2/health/ready": b'{"live":true,"ready":true}',
}
BEYOND = (
    "/admin",
    "/nothing/here",
    "/v2/",
    "/v2/models/words/infer",
    "/v2/models/words/versions/1/infer",
    "/v2/nothing",
    "/",
)
BODY = b'{"inputs": "send money"}'


def variants(path: str) -> set[str]:
    """Spellings that some server or proxy takes for the path."""
    inner = path[1:]
    first, slash, rest = inner.partition("/")
    found = {
        path,
        f"/{path}",
        f"{path}/",
        f"{path}//",
        path.upper(),
        path.title(),
        f"/.{path}",
        f"/%2e{path}",
        f"/x/..{path}",
        f"/livez/..{path}",
        f"/livez/%2e%2e{path}",
        f"/livez%2f..%2f{inner}",
        f"/livez;{path}",
        f"/livez%00{path}",
        f"/livez?/..{path}",
        f"/livez#{path}",
        f"{path}?a=/livez",
        f"{path}#/livez",
        f"{path};/livez",
        f"{path}%0a",
        f"{path}%00",
        f"{path}%20",
        f"{path}.json",
        f"{path}/livez",
        f"{path}/../livez",
        path.replace("/", "%2f"),
        f"/%{ord(inner[0]):02x}{inner[1:]}" if inner else path,
        f"/{first}//{rest}" if slash else path,
        f"/{first}/%2e/{rest}" if slash else path,
        f"/{first}/./{rest}" if slash else path,
        f"http://elsewhere{path}",
        f"{path}?token=x",
        f"\\{inner}",
    }
    return found


def paths(server: Served) -> Sequence[str]:
    """All that the server documents, and what stands beside it."""
    documented = server.client.get("/openapi.json", headers=bearer("everything")).json()["paths"]
    named = [path.replace("{model}", "words").replace("{version}", "1") for path in documented]
    assert {"/v1/models/words/predict", "/v2/repository/models/words/unload", *HEALTH} <= set(named)
    return [*named, *BEYOND, "/docs", "/openapi.json", "/docs/swagger-ui.css"]


def test_every_route_method_and_spelling_without_a_token_gives_nothing_but_health(guarded: Served) -> None:
    asked = sorted({spelling for path in paths(guarded) for spelling in variants(path)})
    n_refused = n_healthy = 0
    for method, spelling in itertools.product(METHODS, asked):
        body = BODY if method in ("POST", "PUT", "PATCH") else b""
        request = b"%s %s HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s"
        answer = raw(guarded.url, request % (method.encode(), spelling.encode(), len(body), body))
        body_of_answer = answer.partition(b"\r\n\r\n")[2]
        if status_of(answer) == 200:
            # Some spellings are a health check's own: a query, a letter in hexadecimal.
            assert method == "GET", (spelling, answer)
            assert body_of_answer in HEALTH.values(), (spelling, answer)
            n_healthy += 1
            continue
        assert status_of(answer) in (400, 401), (method, spelling, answer)
        assert b"words" not in body_of_answer
        n_refused += status_of(answer) == 401
    assert n_healthy >= len(HEALTH)
    assert n_refused > 0.8 * len(METHODS) * len(asked)
    assert predicted(guarded) == 0


def predicted(server: Served) -> float:
    """Rows answered so far, of all models."""
    lines = server.client.get("/metrics", headers=bearer("prometheus")).text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("softgate_rows_total"))


def test_the_scope_of_a_token_is_what_it_may_do(guarded: Served) -> None:
    acknowledge = "/v1/models/words/drift/acknowledge"
    for method, path, body, scope in (
        ("POST", "/v1/models/words/predict", {"inputs": "send money"}, "predict"),
        ("POST", "/v1/models/words/versions/1/predict", {"inputs": "send money"}, "predict"),
        ("POST", "/v1/models/words/rank", {"inputs": ["send", "money"], "label": "transfer"}, "predict"),
        ("GET", "/v1/models", None, "read"),
        ("GET", "/v1/models/words", None, "read"),
        ("GET", "/v1/models/words/drift", None, "read"),
        ("GET", "/metrics", None, "read"),
        ("GET", "/docs", None, "read"),
        ("GET", "/openapi.json", None, "read"),
        ("GET", "/v2", None, "read"),
        ("GET", "/v2/", None, "read"),
        ("GET", "/v2/models", None, "read"),
        ("GET", "/v2/models/words", None, "read"),
        ("GET", "/v2/models/words/versions/1/ready", None, "read"),
        ("GET", "/v2/models/words/config", None, "read"),
        ("GET", "/v2/models/stats", None, "read"),
        ("POST", "/v2/repository/index", {}, "read"),
        ("POST", "/v2/repository/models/nobody/load", {}, "admin"),
        ("POST", "/v2/repository/models/nobody/unload", {}, "admin"),
        ("POST", "/v2/models", {}, "admin"),
        ("GET", "/v2/repository/index", None, "read"),
        ("POST", "/v2/repository/index/", {}, "admin"),
        ("POST", acknowledge, {}, "admin"),
    ):
        holder = {"predict": "chatbot", "read": "prometheus", "admin": "operator"}
        for name in ("chatbot", "prometheus", "operator", "everything"):
            answer = ask(guarded, method, path, headers=bearer(name), body=body)
            admitted = name in (holder[scope], "everything")
            assert (answer.status_code == 403) is not admitted, (method, path, name, answer.text)
            if not admitted:
                refused(answer, 403, "forbidden", f"with the scope {scope}")


def refused(answer: Any, status: int, code: str, said: str) -> None:
    """In the form of the path's protocol."""
    assert answer.status_code == status, answer.text
    problem = answer.json()
    if answer.request.url.path.startswith("/v2"):
        assert list(problem) == ["error"]
        assert said in problem["error"]
    else:
        assert answer.headers["content-type"] == PROBLEM_JSON
        assert (problem["code"], problem["request_id"]) == (code, answer.headers["x-request-id"])
        assert said in problem["detail"]
    assert ("www-authenticate" in answer.headers) is (status == 401)


def test_admin_and_unknown_paths_want_a_token_too(guarded: Served) -> None:
    for method, path in (("GET", "/admin/models"), ("POST", "/admin/models/words/reload"), ("POST", "/nothing")):
        refused(ask(guarded, method, path, headers={}), 401, "unauthenticated", "Authorization: Bearer")
        for name in ("chatbot", "prometheus"):
            refused(ask(guarded, method, path, headers=bearer(name)), 403, "forbidden", "the scope admin")
        assert ask(guarded, method, path, headers=bearer("operator")).status_code not in (401, 403)


def test_a_token_for_some_models_is_good_for_no_other_path(guarded: Served) -> None:
    narrow = bearer("narrow")
    for model, row in ROWS.items():
        for path in (f"/v1/models/{model}/predict", f"/v1/models/{model}/versions/1/predict"):
            answer = ask(guarded, "POST", path, headers=narrow, body={"inputs": row})
            assert answer.status_code == (200 if model == "words" else 403)
        for path in (f"/v1/models/{model}/drift", f"/v2/models/{model}", f"/v2/models/{model}/versions/1/stats"):
            read = ask(guarded, "GET", path, headers=narrow)
            assert read.status_code == (200 if model == "words" else 403)
    asked = [
        ("GET", path)
        for path in (
            "/v1/models",
            "/metrics",
            "/openapi.json",
            "/v1/models/nobody",
            "/v1/models/words%2f../identity",
            "/v2",
            "/v2/models",
            "/v2/models/stats",
            "/v2/models/%73tats",
            "/v2/models/nobody",
            "/v2/models/words%2f../identity",
            "/v2/models/words%2fversions/../../identity",
            "/v2/models/words/%2e%2e/identity",
            "/v2/models//words",
        )
    ]
    posts = ("/v2/repository/index", "/v2/repository/models/words/load", "/v2/repository/models/identity/unload")
    for method, path in [*asked, *(("POST", path) for path in posts)]:
        answer = ask(guarded, method, path, headers=narrow)
        assert answer.status_code in (403, 404), path
        assert "identity" not in answer.text


@pytest.mark.parametrize("path", ["/models/words", "/", "/predict", "/model/parse"])
def test_dialects_ask_for_a_token_of_the_model_that_they_reach(guarded: Served, path: str) -> None:
    """The default is words, the only model of texts."""
    body, before = {"inputs": "send money", "text": "send money"}, predicted(guarded)
    for name, status, said in (
        (None, 401, "Expected a token that this server knows"),
        ("prometheus", 403, "Expected a token with the scope predict."),
        ("operator", 403, "Expected a token with the scope predict."),
    ):
        answer = ask(guarded, "POST", path, headers={} if name is None else bearer(name), body=body)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
        assert said in answer.text
        assert ("www-authenticate" in answer.headers) is (status == 401)
    assert predicted(guarded) == before

    for name in ("chatbot", "everything", "narrow"):
        assert ask(guarded, "POST", path, headers=bearer(name), body=body).status_code == 200
    assert predicted(guarded) == before + 3


def test_a_token_for_some_models_is_good_for_no_other_by_a_dialect(guarded: Served) -> None:
    answer = ask(guarded, "POST", "/models/identity", headers=bearer("narrow"), body={"inputs": ROWS["identity"]})

    assert (answer.status_code, answer.json()) == (403, {"error": "Expected a path of a model that this token is for."})


@pytest.mark.parametrize(
    ("method", "path", "scope", "model"),
    [
        ("GET", "/v2", "read", ""),
        ("GET", "/v2/models", "read", ""),
        ("GET", "/v2/models/stats", "read", ""),
        ("GET", "/v2/models/stats/ready", "read", "stats"),
        ("GET", "/v2/models/words", "read", "words"),
        ("GET", "/v2/models/words/versions/1/config", "read", "words"),
        ("GET", "/v2/models/", "read", ""),
        ("GET", "/v2/models//words", "read", ""),
        ("POST", "/v2/models/words", "admin", "words"),
        ("POST", "/v2/repository/index", "read", ""),
        ("PUT", "/v2/repository/index", "admin", ""),
        ("POST", "/v2/repository/index/", "admin", ""),
        ("POST", "//v2/repository/index", "admin", ""),
        ("POST", "/V2/repository/index", "admin", ""),
        ("POST", "/v2/repository/models/words/load", "admin", "words"),
        ("POST", "/v2/repository/models/words/unload", "admin", "words"),
        ("GET", "/v2/repository/models/words/load", "read", "words"),
        ("POST", "/v2/repository/models", "admin", ""),
        ("POST", "/v3/models/words/load", "admin", ""),
    ],
)
def test_a_path_asks_for_a_scope_and_names_a_model(method: str, path: str, scope: str, model: str) -> None:
    assert needed(method, path) == (scope, model)


@pytest.mark.parametrize("body", ["whole", "chunked", "lines"])
def test_every_way_to_a_prediction_asks_for_a_token(guarded: Served, body: str) -> None:
    """The short way of small bodies, the long way of the others, and streams of lines."""
    path, before = "/v1/models/words/predict", predicted(guarded)
    kind = {"content-type": "application/x-ndjson" if body == "lines" else "application/json"}
    content = b'"send money"\n' if body == "lines" else BODY

    def asked(**headers: str) -> Any:
        sent = iter([content]) if body == "chunked" else content
        return guarded.client.post(path, content=sent, headers={**kind, **headers})

    refused(asked(), 401, "unauthenticated", "Expected a token")
    refused(asked(**bearer("prometheus")), 403, "forbidden", "scope predict")
    assert predicted(guarded) == before
    assert asked(**bearer("chatbot")).status_code == 200
    assert predicted(guarded) == before + 1


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        "Bearer  x",
        "Bearer wrong-password",
        "Basic {good}",
        "{good}",
        "Bearer {sha256}",
        "Bearer {good}x",
        "Bearer x{good}",
        "Bearer {half}",
        "Bearer {good} {good}",
        "Bearer,{good}",
        "Bearer \u00e9",
    ],
)
def test_a_wrong_token_is_refused_and_not_repeated(guarded: Served, value: str) -> None:
    good = SECRETS["everything"]
    sha256 = hashlib.sha256(good.encode()).hexdigest()
    header = value.format(good=good, half=good[:-1], sha256=sha256).encode()
    for method, path, body in (("POST", "/v1/models/words/predict", {"inputs": "a"}), ("GET", "/metrics", None)):
        content = None if body is None else json.dumps(body)
        answer = guarded.client.request(method, path, content=content, headers=[(b"authorization", header)])

        refused(answer, 401, "unauthenticated", "Expected a token")
        assert "wrong-password" not in answer.text
        assert good[:-1] not in answer.text


def test_the_scheme_may_be_written_in_any_case(guarded: Served) -> None:
    for scheme in ("bearer", "BEARER", "Bearer  "):
        answer = guarded.client.get("/v1/models", headers={"authorization": f"{scheme} {SECRETS['everything']}"})
        assert answer.status_code == 200


def test_refusals_are_counted_by_code_and_status(guarded: Served) -> None:
    def counted() -> tuple[float, ...]:
        lines = guarded.client.get("/metrics", headers=bearer("prometheus")).text.splitlines()
        values = dict(line.rsplit(" ", 1) for line in lines if line[0] != "#")
        names = [f'errors_total{{code="{code}"}}' for code in ("unauthenticated", "forbidden")]
        names += [f'http_responses_total{{status="{status}"}}' for status in (401, 403)]
        return tuple(float(values[f"softgate_{name}"]) for name in names)

    before = counted()
    guarded.client.post("/v1/models/words/predict", content=BODY)
    guarded.client.get("/nothing")
    guarded.client.post("/v1/models/words/predict", content=BODY, headers=bearer("operator"))

    assert [after - was for after, was in zip(counted(), before, strict=True)] == [2, 1, 2, 1]


def test_a_browser_of_another_origin_is_told_nothing(server: Served, guarded: Served) -> None:
    """No CORS header, whatever is asked: with tokens and without."""
    origin = {"origin": "https://elsewhere.example", "access-control-request-method": "POST"}
    for running, path, method in itertools.product(
        (server, guarded), ("/livez", "/v1/models", "/v1/models/words/predict"), ("GET", "POST", "OPTIONS")
    ):
        for more in ({}, bearer("everything")):
            answer = running.client.request(method, path, headers={**origin, **more})
            assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_without_a_tokens_file_nobody_on_loopback_is_asked_for_one(server: Served) -> None:
    for more in ({}, {"authorization": "Bearer whatever"}):
        assert server.client.get("/v1/models", headers=more).status_code == 200
        assert server.client.post("/v1/models/words/predict", content=BODY, headers=more).status_code == 200


def until(wanted: int, server: Served, name: str) -> None:
    """Asks until the answer has this status: the file is looked at once a second."""
    end = time.monotonic() + 10
    while True:
        # A new connection each time, which any of the workers may take.
        answer = httpx2.post(f"{server.url}/v1/models/words/predict", content=BODY, headers=bearer(name))
        if answer.status_code == wanted:
            return
        assert time.monotonic() < end, f"{name}: wanted {wanted}, got {answer.status_code}"
        time.sleep(0.05)


def failures(server: Served) -> float:
    text = server.client.get("/metrics", headers=bearer("prometheus")).text
    return float(re.findall(r"^softgate_tokens_file_failures_total (\S+)$", text, flags=re.M)[0])


def test_a_changed_file_counts_without_a_restart_and_a_broken_one_changes_nothing(models: Path, tmp_path: Path) -> None:
    path = write_tokens(tmp_path / "tokens.toml", "chatbot", "prometheus")
    with served(models, variables={"SOFTGATE_TOKENS_FILE": str(path)}) as server:
        until(200, server, "chatbot")
        until(401, server, "late")

        write_tokens(path, "late", "prometheus")
        until(200, server, "late")
        until(401, server, "chatbot")

        for number, broken in enumerate(("[[tokens]", "", table("late") * 2, None), start=1):
            if broken is None:
                path.unlink()
            else:
                path.write_text(broken)
            end = time.monotonic() + 10
            while failures(server) < number and time.monotonic() < end:
                time.sleep(0.05)
            assert failures(server) == number
            until(200, server, "late")
        assert server.started.read_until("tokens not read")["code"] == "startup_failed"

        write_tokens(path, "chatbot", "prometheus")
        until(200, server, "chatbot")
        until(401, server, "late")


def test_a_secret_that_kubernetes_swaps_by_a_link_is_read_again(models: Path, tmp_path: Path) -> None:
    for version, name in (("1", "chatbot"), ("2", "late")):
        (tmp_path / version).mkdir()
        write_tokens(tmp_path / version / "tokens.toml", name)
    (tmp_path / "data").symlink_to("1")
    (tmp_path / "tokens.toml").symlink_to("data/tokens.toml")
    with served(models, workers=2, variables={"SOFTGATE_TOKENS_FILE": str(tmp_path / "tokens.toml")}) as server:
        until(200, server, "chatbot")

        (tmp_path / "next").symlink_to("2")
        os.replace(tmp_path / "next", tmp_path / "data")

        for _ in range(4):
            until(200, server, "late")
            until(401, server, "chatbot")


def test_a_worker_that_starts_while_the_file_is_broken_has_the_tokens_of_those_before(
    models: Path, tmp_path: Path
) -> None:
    path = write_tokens(tmp_path / "tokens.toml", "chatbot", "prometheus")
    with served(models, workers=2, variables={"SOFTGATE_TOKENS_FILE": str(path)}) as server:
        write_tokens(path, "late", "prometheus")
        # The supervisor looks as often as the workers do.
        until(200, server, "late")
        time.sleep(2 * LOOK_SECONDS)
        path.write_text("[[tokens]")
        before = children(server.process.pid)
        for process in before:
            os.kill(process, signal.SIGKILL)
        for _ in before:
            server.started.read_until("ready")

        for _ in range(8):
            until(200, server, "late")
            until(401, server, "chatbot")
        write_tokens(path, "chatbot", "prometheus")
        until(200, server, "chatbot")


def test_models_that_are_exchanged_while_the_file_is_broken_are_as_well_guarded(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "words", linear(np.eye(4, dtype=np.float32)), name="words")
    write_calibration(folder)
    path = write_tokens(tmp_path / "tokens.toml", "everything")
    variables = {"SOFTGATE_TOKENS_FILE": str(path), "SOFTGATE_ADMIN": "true"}
    with served(folder, workers=1, variables=variables) as server:
        path.write_text("[[tokens]")
        write_calibration(folder, temperature=2.0)
        headers = bearer("everything")
        assert server.client.post("/admin/reload", headers=headers).json() == {"outcome": "ok"}

        body = {"inputs": [1.0, 2.0, 3.0, 4.0]}
        for headers, status in ((bearer("everything"), 200), ({}, 401), (bearer("late"), 401)):
            assert server.client.post("/v1/models/words/predict", json=body, headers=headers).status_code == status


def test_the_ops_port_asks_for_tokens_too(models: Path, tmp_path: Path) -> None:
    path = write_tokens(tmp_path / "tokens.toml", "chatbot", "prometheus")
    port = free_port()
    variables = {"SOFTGATE_TOKENS_FILE": str(path), "SOFTGATE_OPS_PORT": str(port)}
    with (
        served(models, workers=2, variables=variables),
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as ops,
    ):
        for name in ("/livez", "/readyz"):
            assert ops.get(name).status_code == 200
        for name, status in (("prometheus", 200), ("chatbot", 403), ("late", 401)):
            assert ops.get("/metrics", headers=bearer(name)).status_code == status
        for name in ("/metrics", "/metrics?x", "//metrics", "/nothing", "/livez/", "/"):
            refused = ops.get(name)
            assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
            assert refused.headers["content-type"] == PROBLEM_JSON
            assert refused.headers["www-authenticate"].startswith("Bearer")
        assert ops.post("/livez").status_code == 401


@pytest.mark.parametrize(
    ("host", "variables", "starts"),
    [
        ("127.0.0.1", {}, True),
        ("127.0.0.2", {}, True),
        ("localhost", {}, True),
        ("0.0.0.0", {}, False),
        ("0.0.0.0", {"SOFTGATE_ALLOW_PUBLIC": "false"}, False),
        ("0.0.0.0", {"SOFTGATE_TOKENS_FILE": "nowhere"}, False),
        ("127.0.0.1", {"SOFTGATE_TOKENS_FILE": "nowhere"}, False),
        ("127.0.0.1", {"SOFTGATE_OPS_HOST": "0.0.0.0", "SOFTGATE_OPS_PORT": "1"}, False),
    ],
)
def test_a_server_that_others_reach_starts_only_with_tokens(
    tmp_path: Path, host: str, variables: dict[str, str], starts: bool
) -> None:
    folder = write_model(tmp_path / "toy", linear(np.eye(4, dtype=np.float32)))
    line = command("serve", folder, "--port", 0, "--host", host)
    if starts:
        with started(line, variables=variables) as server:
            server.read_until("listening")
        return

    ended = subprocess.run(line, capture_output=True, text=True, env=environment(**variables), check=False, timeout=60)

    assert ended.returncode == 1
    (said,) = ended.stderr.splitlines()
    assert ("not a readable tokens file" if "SOFTGATE_TOKENS_FILE" in variables else "SOFTGATE_TOKENS_FILE for") in said


def test_an_address_that_others_reach_is_told_from_loopback(tmp_path: Path) -> None:
    """Without listening on one: a test stays on loopback."""
    path = write_tokens(tmp_path / "tokens.toml", "chatbot")
    for host in ("0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "fe80::1%eth0"):
        with pytest.raises(StartupFailed, match="SOFTGATE_ALLOW_PUBLIC=true"):
            check_address(host, Settings())
        check_address(host, Settings(allow_public=True))
        check_address(host, Settings(tokens_file=path))
    for host in ("127.0.0.1", "127.255.0.1", "::1"):
        check_address(host, Settings())


def test_every_token_of_a_file_is_compared_in_constant_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many comparisons, and of digests of one length, whichever token it is or none; so for those known."""
    names = ["chatbot", "prometheus", "operator"]
    guard = Guard(TokensFile(write_tokens(tmp_path / "tokens.toml", *names)), np.zeros(1))
    seen: list[tuple[int, int]] = []

    def noting(one: bytes, other: bytes) -> bool:
        seen.append((len(one), len(other)))
        return hmac.compare_digest(one, other)

    def compared(shown: bytes) -> Sequence[tuple[int, int]]:
        seen.clear()
        with contextlib.suppress(Unauthenticated, Forbidden):
            guard.admit("GET", "/metrics", None, [(b"authorization", b"Bearer " + shown)], now=0.0)
        return list(seen)

    monkeypatch.setattr("softgate.web.auth.compare_digest", noting)
    secrets = [SECRETS[name].encode() for name in names]
    known: list[tuple[int, int]] = []
    for shown in secrets:
        assert compared(b"x" * 5000)[-3:] == compared(b"")[-3:] == [(32, 32)] * 3
        assert len(compared(shown)) == len(known) + 3
        known.append((len(shown), len(shown)))
    assert [len(compared(shown)) for shown in secrets] == [3, 3, 3]
    assert len(compared(secrets[0] + b"x")) == 6


def test_ways_to_write_one_token_do_not_pile_up(tmp_path: Path) -> None:
    guard = Guard(TokensFile(write_tokens(tmp_path / "tokens.toml", "prometheus", "operator")), np.zeros(1))
    for n_spaces in range(1, 100):
        value = b"Bearer" + b" " * n_spaces + SECRETS["prometheus"].encode()
        guard.admit("GET", "/metrics", None, [(b"authorization", value)], now=0.0)

    assert len(guard._known) == 1


def test_the_file_is_looked_at_once_a_second_at_most(tmp_path: Path) -> None:
    path = write_tokens(tmp_path / "tokens.toml", "chatbot")
    guard = Guard(TokensFile(path), np.zeros(1))

    def admitted(name: str, now: float) -> bool:
        try:
            guard.admit("POST", "/admin", None, [(b"authorization", f"Bearer {SECRETS[name]}".encode())], now)
        except Unauthenticated:
            return False
        except Forbidden:
            return True
        raise AssertionError("None of them is an operator.")

    assert admitted("chatbot", 100.0)
    write_tokens(path, "late")
    assert admitted("chatbot", 100.9)
    assert not admitted("chatbot", 101.0)
    assert admitted("late", 101.1)


def test_a_token_counts_for_its_own_request_and_for_no_other_on_the_connection(guarded: Served) -> None:
    token = f"authorization: Bearer {SECRETS['chatbot']}\r\n"
    head = "POST /v1/models/words/predict HTTP/1.1\r\nhost: here\r\n{}content-length: 24\r\n{}\r\n"
    upgrade = "connection: upgrade\r\nupgrade: h2c\r\n"
    assert len(BODY) == 24

    for first, second, expected in (
        (token, "", [b"200", b"401"]),
        ("", token, [b"401", b"200"]),
        (token, token, [b"200", b"200"]),
    ):
        sent = [head.format(first, "").encode(), BODY, head.format(second, "connection: close\r\n").encode(), BODY]
        answers = raw(guarded.url, b"".join(sent))
        assert re.findall(rb"HTTP/1.1 (\d+)", answers) == expected
    assert status_of(raw(guarded.url, head.format("", upgrade).encode() + BODY)) == 401
