"""What may happen to files while a server runs: mounts that are swapped, graphs that crash, folders half written."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

import crashing_server
from crashing_server import CRASH
from graphs import linear, write_calibration, write_model
from processes import children, until
from servers import Served, served, started
from softgate.errors import ReloadFailed
from softgate.runtime.repository import Bundle, find_bundles
from softgate.web import staging
from softgate.web.reloads import RELOAD
from steady_clients import asking

EYE = np.eye(4, dtype=np.float32)
ROW = [1.0, 2.0, 3.0, 4.0]
PATH = "/v1/models/toy/predict"


def write(folder: Path, *, temperature: float) -> Path:
    write_model(folder, linear(EYE), name="toy", routing="threshold = 0.6")
    write_calibration(folder, temperature=temperature)
    return folder


def confidence(temperature: float) -> str:
    scores = np.exp(np.array(ROW) / temperature)
    return f"{scores.max() / scores.sum():.6f}"


def told(answer: dict[str, Any]) -> str:
    return f"{answer['predictions'][0]['confidence']:.6f}"


def address(server: Served) -> tuple[str, int]:
    host, port = server.url.removeprefix("http://").split(":")
    return host, int(port)


def mount(folder: Path, *, temperature: float, number: int) -> None:
    """As Kubernetes puts a ConfigMap or Secret there: links to a hidden folder, which is swapped for the next."""
    write(folder / f"..{number}", temperature=temperature)
    for entry in os.listdir(folder / f"..{number}"):
        if not (folder / entry).is_symlink():
            (folder / entry).symlink_to(f"..data/{entry}")
    (folder / "..data_tmp").symlink_to(f"..{number}")
    os.replace(folder / "..data_tmp", folder / "..data")
    if number > 1:
        shutil.rmtree(folder / f"..{number - 1}")


@pytest.mark.parametrize("several", [False, True], ids=["a model folder", "a folder of model folders"])
def test_a_mount_that_kubernetes_swaps_is_reloaded_and_no_answer_is_lost_or_mixed(
    tmp_path: Path, several: bool
) -> None:
    folder = tmp_path / "models"
    mounted = folder / "toy" if several else folder
    mounted.mkdir(parents=True)
    mount(mounted, temperature=1.0, number=1)
    with (
        served(folder, workers=2, variables={"SOFTGATE_WATCH_SECONDS": "0.2"}) as server,
        asking(address(server), path=PATH, body={"inputs": [ROW]}, n_kept=4, n_fresh=4, kind=told) as tally,
    ):
        for number, temperature in enumerate((2.0, 3.0, 4.0), start=2):
            mount(mounted, temperature=temperature, number=number)
            until(partial(tally.kinds.__contains__, confidence(temperature)), seconds=60)

    assert tally.lost == []
    assert set(tally.kinds) == {confidence(temperature) for temperature in (1.0, 2.0, 3.0, 4.0)}


def test_a_folder_that_changes_while_it_is_read_is_not_served_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "toy", temperature=1.0)
    current, all_read = staging.Lineup(find_bundles(folder), {}), staging.wanted([RELOAD])

    def meanwhile(of: Path) -> list[Bundle]:
        found = find_bundles(of)
        write_calibration(folder, temperature=2.0)
        return found

    monkeypatch.setattr(staging, "find_bundles", meanwhile)

    with pytest.raises(ReloadFailed, match="changed while it was read"):
        staging.staged(folder, current, all_read)


@contextmanager
def crashing(folder: Path) -> Iterator[Served]:
    line = [sys.executable, crashing_server.__file__, "serve", str(folder), "--port", "0", "--workers", "2"]
    with started(line, variables={"SOFTGATE_ADMIN": "true"}) as running:
        url = running.read_until("listening")["url"]
        for _ in range(2):
            running.read_until("ready")
        with httpx2.Client(base_url=url, timeout=60) as client:
            yield Served(url, running, client)


@pytest.mark.parametrize("vouched_for", [False, True], ids=["in its trial", "in the new workers"])
def test_a_graph_that_crashes_the_engine_fails_its_reload_and_nothing_else(tmp_path: Path, vouched_for: bool) -> None:
    folder = write(tmp_path / "toy", temperature=1.0)
    with (
        crashing(folder) as server,
        asking(address(server), path=PATH, body={"inputs": [ROW]}, n_kept=4, n_fresh=4, kind=told) as tally,
    ):
        before = children(server.process.pid)
        graph = folder / "1" / "model.onnx"
        graph.write_bytes(linear(EYE) + CRASH)
        if vouched_for:
            write_calibration(folder)
        else:
            (folder / "1" / "calibration.json").unlink()

        answer = server.client.post("/admin/reload")

        assert (answer.status_code, answer.json()["code"]) == (409, "reload_failed")
        assert ("exit code -11" if vouched_for else "killed by SIGSEGV") in answer.json()["detail"]
        until(lambda: children(server.process.pid) == before, seconds=20)
        graph.write_bytes(linear(EYE))
        write_calibration(folder, temperature=2.0)
        assert server.client.post("/admin/reload").json() == {"outcome": "ok"}

    assert tally.lost == []
    assert set(tally.kinds) == {confidence(1.0), confidence(2.0)}
