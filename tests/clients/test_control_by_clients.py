"""Real clients of the Open Inference Protocol, unmodified: health, metadata, statistics, models loaded and unloaded."""

from collections.abc import Iterator
from typing import Any

import pytest

import softgate
from clients.running import told
from graphs import linear, write_model
from servers import Served
from web.test_reload import EYE, ROW, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("models")
    for name in ("toy", "other"):
        write_model(folder / name, linear(EYE), name=name, routing="threshold = 0.6")
    with serving(folder, workers=2) as running:
        assert running.predict("toy", inputs=[ROW, ROW]).status_code == 200
        yield running


def answers(server: Served, path: str) -> Any:
    return server.client.get(path).json()


READY = {"version": "1", "state": "READY", "reason": ""}
UNKNOWN = "Request for unknown model: 'toy'"


@pytest.mark.parametrize("flavour", ["gevent", "aiohttp"])
def test_tritonclient_is_told_everything_beside_inference(server: Served, flavour: str) -> None:
    n_rows = answers(server, "/v2/models/toy/stats")["model_stats"][0]["inference_count"]

    found = told("tritonclient_http", "tritonclient_control.py", flavour, server.url.removeprefix("http://"))

    assert [found[name] for name in ("live", "ready", "model_ready", "version_ready")] == [True] * 4
    assert [found[name] for name in ("other_version_ready", "ready_without", "ready_again")] == [False, False, True]
    assert found["server"] == answers(server, "/v2")
    assert found["model"] == found["version"] == answers(server, "/v2/models/toy")
    assert found["configuration"] == answers(server, "/v2/models/toy/config")
    assert found["index"] == [{"name": name, **READY} for name in ("other", "toy")]
    assert found["index_without"][1] == {"name": "toy", **READY, "state": "UNAVAILABLE", "reason": "unloaded"}
    (counted,) = found["statistics"]["model_stats"]
    assert (counted["name"], counted["version"], counted["inference_count"]) == ("toy", "1", n_rows)
    assert [each["name"] for each in found["all_statistics"]["model_stats"]] == ["other", "toy"]
    (again,) = found["statistics_again"]["model_stats"]
    # It is told by two clocks, so a millisecond may lie between two answers.
    assert again.pop("last_inference") == pytest.approx(counted.pop("last_inference"), abs=2)
    assert again == counted
    assert (found["no_such_model"]["status"], found["config_without"]["status"]) == ("404", "404")
    assert found["config_without"]["said"].startswith(UNKNOWN)
    assert found["no_such_extension"]["status"] == "404"

    # Nothing that a client brings becomes a model.
    control = found["control"]
    assert (control["override"]["status"], control["brought"]["status"], control["wrong"]["status"]) == (
        "501",
        "501",
        "404",
    )
    assert server.predict("toy", inputs=[ROW]).status_code == 200


def test_kserve_is_told_of_health(server: Served) -> None:
    found = told("kserve", "kserve_control.py", server.url)

    assert found == {"live": True, "ready": True, "toy": True, "nobody": False}


def test_open_inference_openapi_takes_health_and_metadata(server: Served) -> None:
    found = told("open_inference", "open_inference_control.py", server.url)

    metadata = {"server": answers(server, "/v2")}
    metadata |= dict.fromkeys(("model", "version"), answers(server, "/v2/models/toy"))
    assert found["synchronous"].pop("nobody")["error"].startswith("Request for unknown model: 'nobody'")
    assert found["synchronous"] == found["asynchronous"] == metadata
    assert metadata["server"]["version"] == softgate.__version__
