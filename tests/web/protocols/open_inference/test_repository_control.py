"""Models loaded and unloaded by their names, over servers that let them be."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from graphs import linear, write_calibration, write_model
from processes import children, until
from servers import Served
from softgate.runtime.pinned import models_digest
from softgate.runtime.repository import find_bundles
from watched import logits, referenced
from web.test_reload import ADMIN, EYE, ROW, serving


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("toy", "other"):
        write_model(tmp_path / name, linear(EYE), name=name, routing="threshold = 0.6")
    write_calibration(tmp_path / "toy")
    return tmp_path


def ask(server: Served, verb: str, model: str = "toy", content: bytes = b"{}") -> httpx2.Response:
    return server.client.post(f"/v2/repository/models/{model}/{verb}", content=content)


def index(server: Served, **asked: bool) -> dict[str, tuple[str, str]]:
    found = server.client.post("/v2/repository/index", json=asked or None).json()
    return {each["name"]: (each["state"], each["reason"]) for each in found}


def is_ready(server: Served, model: str = "toy") -> bool:
    return server.client.get(f"/v2/models/{model}/ready").status_code == 200


def statuses(server: Served, model: str = "toy") -> list[int]:
    """Of a prediction over either protocol."""
    infer = {"inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 4], "data": ROW}]}
    asked = [server.client.post(f"/v2/models/{model}/infer", json=infer), server.predict(model, inputs=[ROW])]
    return [answer.status_code for answer in asked]


READY, UNLOADED = ("READY", ""), ("UNAVAILABLE", "unloaded")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_model_is_unloaded_and_loaded_again(folder: Path, workers: int) -> None:
    with serving(folder, workers=workers) as server:
        assert "model_repository" in server.client.get("/v2").json()["extensions"]
        assert index(server) == {"other": READY, "toy": READY}

        answer = ask(server, "unload", content=b'{"parameters": {"unload_dependents": false}}')
        assert (answer.status_code, answer.json(), answer.headers["connection"]) == (200, {}, "close")

        assert index(server) == {"other": READY, "toy": UNLOADED}
        assert index(server, ready=True) == {"other": READY}
        assert (is_ready(server), is_ready(server, "other")) == (False, True)
        assert statuses(server) == [404, 404]
        assert statuses(server, "other") == [200, 200]
        assert server.client.get("/v2/models").json() == {"models": ["other"]}
        said = server.client.get("/v2/models/toy").json()["error"]
        assert said.startswith("Request for unknown model: 'toy'")
        assert server.client.get("/readyz").status_code == 200

        assert ask(server, "load").status_code == 200
        assert index(server) == {"other": READY, "toy": READY}
        assert statuses(server) == [200, 200]
        assert until(lambda: len(children(server.process.pid)) == workers, seconds=20) < 20


@pytest.mark.parametrize("again", ["signal", "reload", "load of another", "watch"])
def test_no_reload_brings_an_unloaded_model_back(folder: Path, again: str) -> None:
    variables = ADMIN | ({"SOFTGATE_WATCH_SECONDS": "0.2"} if again == "watch" else {})
    with serving(folder, variables=variables) as server:
        assert ask(server, "unload").status_code == 200
        # A change to what is unloaded and to what is not: the second shows when it is done.
        write_calibration(folder / "toy", temperature=2.0)
        write_calibration(folder / "other", temperature=2.0)
        if again == "signal":
            server.process.send_signal(signal.SIGHUP)
        elif again == "reload":
            assert server.client.post("/admin/reload").status_code == 200
        elif again == "load of another":
            assert ask(server, "load", "other").status_code == 200

        until(lambda: server.client.get("/v1/models/other").json()["calibration"] is not None, seconds=30)
        assert index(server) == {"other": READY, "toy": UNLOADED}
        assert server.client.post("/admin/models/toy/reload").status_code == 404

        # It is in force before it has ended, and no other begins until then.
        until(lambda: ask(server, "load").status_code == 200, seconds=30)
        assert statuses(server) == [200, 200]


def test_a_rollback_goes_back_over_an_unload(folder: Path) -> None:
    with serving(folder) as server:
        assert ask(server, "unload").status_code == 200
        for expected in (READY, UNLOADED):
            assert server.client.post("/admin/rollback").json() == {"outcome": "rolled_back"}
            assert index(server)["toy"] == expected


def test_to_unload_what_is_unloaded_changes_nothing(folder: Path) -> None:
    with serving(folder) as server:
        assert ask(server, "unload").status_code == 200
        before = server.metrics()['softgate_reloads_total{outcome="ok"}']

        assert ask(server, "unload").status_code == 200
        assert server.metrics()['softgate_reloads_total{outcome="ok"}'] == before


def test_a_load_reads_what_is_new_in_the_folder(folder: Path) -> None:
    with serving(folder) as server:
        write_calibration(folder / "toy", temperature=2.0)
        write_model(folder / "new", linear(EYE), name="new", routing="threshold = 0.6")

        assert ask(server, "load").status_code == 200
        assert ask(server, "load", "new").status_code == 200

        assert index(server) == {"new": READY, "other": READY, "toy": READY}
        confidence = server.predict("toy", inputs=[ROW]).json()["predictions"][0]["confidence"]
        assert confidence < 0.5


def test_the_last_model_may_go_and_come_back(folder: Path) -> None:
    with serving(folder) as server:
        for name in ("toy", "other"):
            assert ask(server, "unload", name).status_code == 200
        assert index(server) == {"other": UNLOADED, "toy": UNLOADED}
        assert server.client.get("/livez").status_code == 200
        assert server.client.get("/v2/health/ready").status_code == 503
        assert server.client.get("/metrics").status_code == 200
        assert server.client.get("/openapi.json").status_code == 200
        assert server.client.get("/v2/models/stats").json() == {"model_stats": []}

        assert ask(server, "load").status_code == 200
        assert server.client.get("/v2/health/ready").status_code == 200
        assert index(server) == {"other": UNLOADED, "toy": READY}


@pytest.mark.parametrize("model", ["nobody", "%3Cscript%3E", "..%2Fhidden", "toy%0Arollback", "stats", "UPPER"])
@pytest.mark.parametrize("verb", ["load", "unload"])
def test_what_is_not_in_the_folder_is_refused(admin: Served, verb: str, model: str) -> None:
    answer = ask(admin, verb, model)

    assert answer.status_code == 404
    assert list(answer.json()) == ["error"]
    assert "script" not in answer.text
    if verb == "load" and model == "nobody":
        assert answer.json()["error"].startswith("failed to load 'nobody'")
    assert index(admin) == {"other": READY, "toy": READY}


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("models")
    for name in ("toy", "other"):
        write_model(folder / name, linear(EYE), name=name, routing="threshold = 0.6")
    with serving(folder) as running:
        yield running


BROUGHT: list[bytes] = [
    b'{"parameters": {"config": "{}"}}',
    b'{"parameters": {"config": {"max_batch_size": 16}}}',
    b'{"parameters": {"file:1/model.onnx": "AAAA", "config": "{}"}}',
    b'{"parameters": {"file:../../x": "AAAA"}}',
]


@pytest.mark.parametrize("content", BROUGHT)
def test_nothing_that_a_client_sends_becomes_a_model(admin: Served, content: bytes) -> None:
    before = admin.client.get("/v2/models/toy").json()

    answer = ask(admin, "load", content=content)

    assert (answer.status_code, list(answer.json())) == (501, ["error"])
    assert admin.client.get("/v2/models/toy").json() == before


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"parameters": 3}', b'{"parameters": []}', b"\xff"])
@pytest.mark.parametrize("verb", ["load", "unload"])
def test_a_malformed_order_is_refused(admin: Served, verb: str, content: bytes) -> None:
    assert ask(admin, verb, content=content).status_code == 400
    assert index(admin) == {"other": READY, "toy": READY}


@pytest.mark.parametrize("content", [b"", b"{}", b'{"parameters": {}}', b'{"parameters": {"others": 1}, "a": 2}'])
def test_an_order_may_say_nothing(admin: Served, content: bytes) -> None:
    assert ask(admin, "load", content=content).status_code == 200


def test_a_load_that_fails_changes_nothing_and_says_why(folder: Path) -> None:
    with serving(folder, workers=2) as server:
        (folder / "toy" / "classifier.toml").write_text("name = 3")

        answer = ask(server, "load")

        assert answer.status_code == 409
        assert answer.json()["error"].startswith("failed to load 'toy': ")
        assert "classifier.toml: name: got" in answer.json()["error"]
        assert statuses(server) == [200, 200]
        # What is in the folder is of no matter to what goes.
        assert ask(server, "unload").status_code == 200


def test_pinned_models_may_go_and_come_back(folder: Path) -> None:
    pinned = models_digest(find_bundles(folder))
    with serving(folder, variables=ADMIN | {"SOFTGATE_MODELS_DIGEST": pinned}) as server:
        assert ask(server, "unload", "other").status_code == 200
        write_calibration(folder / "other", temperature=2.0)
        assert ask(server, "load", "other").status_code == 409
        (folder / "other" / "1" / "calibration.json").unlink()
        assert ask(server, "load", "other").status_code == 200


def test_no_count_goes_back_over_an_unload_and_a_load(tmp_path: Path) -> None:
    referenced(tmp_path / "toy", logits(500), name="toy", routing="threshold = 0.6")
    write_model(tmp_path / "other", linear(EYE), name="other", routing="threshold = 0.6")
    with serving(tmp_path, workers=2) as server:
        scrapes, counted = [], []
        for _ in range(3):
            for _ in range(10):
                assert server.predict("toy", inputs=[ROW]).status_code == 200
                assert server.predict("other", inputs=[ROW]).status_code == 200
            scrapes.append(server.metrics())
            (found,) = server.client.get("/v2/models/toy/stats").json()["model_stats"]
            counted.append((found["inference_count"], found["execution_count"]))
            assert ask(server, "unload").status_code == 200
            scrapes.append(server.metrics())
            assert ask(server, "load").status_code == 200
        scrapes.append(server.metrics())

    assert counted == [(10, 10), (20, 20), (30, 30)]
    toy = [
        scrape for scrape in scrapes if any(name.startswith("softgate_rows_total") and "toy" in name for name in scrape)
    ]
    # Without the model its series are not told; with it they go on.
    assert (len(scrapes), len(toy)) == (7, 4)
    latest: dict[str, float] = {}
    for scrape in scrapes:
        for name, value in scrape.items():
            if name.partition("{")[0].endswith(("_total", "_bucket", "_count", "_sum")):
                assert value >= latest.get(name, 0.0), name
                latest[name] = value


def test_orders_at_one_moment_are_carried_out_or_refused(folder: Path) -> None:
    """An answer of 200 says that it is so; of two orders that exclude each other one comes last."""
    for number in range(4):
        write_model(folder / f"model{number}", linear(EYE), name=f"model{number}")
    with serving(folder, workers=2) as server:

        def unload(number: int) -> tuple[str, int]:
            name = f"model{number}"
            return name, httpx2.post(f"{server.url}/v2/repository/models/{name}/unload", timeout=60).status_code

        with ThreadPoolExecutor(4) as threads:
            answers = dict(threads.map(unload, range(4)))
        until(lambda: server.client.get("/readyz").status_code == 200, seconds=20)

        found = index(server)
        assert set(answers.values()) <= {200, 409}
        assert 200 in answers.values()
        for name, status in answers.items():
            assert status == 409 or found[name] == UNLOADED


def test_orders_are_documented(admin: Served) -> None:
    paths = admin.client.get("/openapi.json").json()["paths"]

    for verb in ("load", "unload"):
        operation = paths[f"/v2/repository/models/{{model}}/{verb}"]["post"]
        assert operation["description"]
        assert {"200", "4XX", "5XX"} == operation["responses"].keys()
        assert "parameters" in operation["requestBody"]["content"]["application/json"]["schema"]["properties"]
