"""Models exchanged while the server runs: wholly, or not at all."""

import os
import signal
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from graphs import linear, slow, write_calibration, write_model
from memory import proportional_mib
from processes import children, free_port, until
from servers import Served, served
from steady_clients import asking

ADMIN = {"SOFTGATE_ADMIN": "true"}
EYE = np.eye(4, dtype=np.float32)
ROW = [1.0, 2.0, 3.0, 4.0]
PATH = "/v1/models/toy/predict"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path / "toy", linear(EYE), name="toy", routing="threshold = 0.6")
    write_model(tmp_path / "other", linear(EYE), name="other", routing="threshold = 0.6")
    write_calibration(tmp_path / "toy", temperature=1.0)
    return tmp_path


@contextmanager
def serving(folder: Path, *, workers: int = 1, variables: Mapping[str, str] = ADMIN) -> Iterator[Served]:
    with served(folder, workers=workers, variables=variables) as server:
        until(lambda: server.client.get("/readyz").status_code == 200, seconds=20)
        yield server


def reload(server: Served, model: str = "toy") -> httpx2.Response:
    return server.client.post(f"/admin/models/{model}/reload")


def confidence(server: Served) -> float:
    told: float = server.predict("toy", inputs=[ROW]).json()["predictions"][0]["confidence"]
    return told


def at(temperature: float) -> float:
    scores = np.exp(np.array(ROW) / temperature)
    return float(scores.max() / scores.sum())


def outcomes(server: Served) -> list[float]:
    scrape = server.metrics()
    return [scrape[f'softgate_reloads_total{{outcome="{outcome}"}}'] for outcome in ("ok", "failed", "rolled_back")]


def verbose(server: Served) -> dict[str, Any]:
    answer = server.client.get("/readyz?verbose")
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    return told


@pytest.mark.parametrize("workers", [1, 2])
def test_a_reload_puts_a_new_calibration_in_force_and_a_rollback_the_old(folder: Path, workers: int) -> None:
    with serving(folder, workers=workers) as server:
        assert confidence(server) == pytest.approx(at(1))
        first = children(server.process.pid)
        write_calibration(folder / "toy", temperature=2.0)

        assert reload(server).json() == {"outcome": "ok"}
        assert confidence(server) == pytest.approx(at(2))
        assert server.client.post("/admin/rollback").json() == {"outcome": "rolled_back"}
        assert confidence(server) == pytest.approx(at(1))
        assert verbose(server)["reload"] == "rolled_back"
        assert server.client.post("/admin/rollback").json() == {"outcome": "rolled_back"}
        assert confidence(server) == pytest.approx(at(2))
        assert outcomes(server) == [1, 0, 2]
        until(lambda: len(children(server.process.pid)) == workers, seconds=20)
        assert not set(first) & set(children(server.process.pid))


def break_card(folder: Path) -> None:
    (folder / "toy" / "classifier.toml").write_text("name = 3")


def break_graph(folder: Path) -> None:
    (folder / "toy" / "1" / "model.onnx").write_bytes(b"no graph")
    write_calibration(folder / "toy")


def break_what_nobody_vouches_for(folder: Path) -> None:
    (folder / "toy" / "1" / "calibration.json").unlink()
    (folder / "toy" / "1" / "model.onnx").write_bytes(b"no graph")


def change_what_a_calibration_is_bound_to(folder: Path) -> None:
    (folder / "toy" / "labels.txt").write_text("a\nb\nc\nd\n")


def break_what_has_a_name_that_is_no_text(folder: Path) -> None:
    strange = Path(os.fsdecode(bytes(folder) + b"/\xff"))
    strange.mkdir()
    (strange / "classifier.toml").write_text("name = 1\n")


def remove(folder: Path) -> None:
    (folder / "toy" / "classifier.toml").unlink()


BROKEN = {
    break_card: "classifier.toml: name: got",
    break_graph: "model.onnx",
    break_what_nobody_vouches_for: "toy: ",
    break_what_has_a_name_that_is_no_text: "classifier.toml: name: got",
    change_what_a_calibration_is_bound_to: "labels.txt",
    remove: "expected models named toy",
}


@pytest.mark.parametrize("spoil", BROKEN)
def test_a_reload_that_fails_changes_nothing_and_says_why(folder: Path, spoil: Any) -> None:
    with serving(folder, workers=2) as server:
        before = children(server.process.pid)
        spoil(folder)

        answer = reload(server)

        assert (answer.status_code, answer.json()["code"]) == (409, "reload_failed")
        assert str(folder) in answer.json()["detail"] or BROKEN[spoil] in answer.json()["detail"]
        assert verbose(server)["reload"].startswith("failed ")
        assert confidence(server) == pytest.approx(at(1))
        assert outcomes(server) == [0, 1, 0]
        until(lambda: children(server.process.pid) == before, seconds=20)


def test_a_reload_that_finds_nothing_new_starts_nothing(folder: Path) -> None:
    with serving(folder) as server:
        before = children(server.process.pid)

        assert reload(server).json() == {"outcome": "ok"}
        assert children(server.process.pid) == before
        assert server.client.post("/admin/rollback").status_code == 409


def test_a_reload_of_one_model_leaves_the_others_as_they_are(folder: Path) -> None:
    with serving(folder) as server:
        write_calibration(folder / "toy", temperature=2.0)
        write_calibration(folder / "other", temperature=2.0)
        assert reload(server, "other").json() == {"outcome": "ok"}
        assert confidence(server) == pytest.approx(at(1))
        assert server.client.post("/admin/reload").json() == {"outcome": "ok"}
        assert confidence(server) == pytest.approx(at(2))
        assert reload(server, "nobody").status_code == 404


def test_models_come_and_go(folder: Path) -> None:
    with serving(folder) as server:
        write_model(folder / "new", linear(EYE), name="new", routing="threshold = 0.6")
        (folder / "other" / "classifier.toml").unlink()
        assert server.client.post("/admin/reload").json() == {"outcome": "ok"}
        assert server.predict("new", inputs=[ROW]).status_code == 200
        assert server.predict("other", inputs=[ROW]).status_code == 404


def test_no_count_goes_back_over_a_reload(folder: Path) -> None:
    with serving(folder, workers=2) as server:
        scrapes = []
        for temperature in (2.0, 3.0, 2.0):
            for _ in range(20):
                server.predict("toy", inputs=[ROW])
                server.predict("other", inputs=[ROW])
            scrapes.append(server.metrics())
            write_calibration(folder / "toy", temperature=temperature)
            assert reload(server).status_code == 200
        scrapes.append(server.metrics())

    rows = [
        [value for name, value in scrape.items() if name.startswith("softgate_rows_total{") and f'"{model}"' in name]
        for scrape in scrapes
        for model in ("other", "toy")
    ]
    # Of a calibration that comes back, too: it goes on where it was.
    assert rows == [[20], [20], [40], [20], [60], [20], [60], [20]]
    for earlier, later in pairwise(scrapes):
        for name in earlier.keys() & later.keys():
            if name.partition("{")[0].endswith(("_total", "_bucket", "_count", "_sum")):
                assert later[name] >= earlier[name], name


def test_a_signal_reloads(folder: Path) -> None:
    with serving(folder, workers=2, variables={}) as server:
        write_calibration(folder / "toy", temperature=2.0)
        server.process.send_signal(signal.SIGHUP)

        until(lambda: confidence(server) == pytest.approx(at(2)), seconds=30)
        assert reload(server).status_code == 404


def test_new_workers_that_are_not_ready_in_time_are_ended(folder: Path) -> None:
    with serving(folder, workers=2, variables=ADMIN | {"SOFTGATE_PROBE_SECONDS": "1"}) as server:
        before = children(server.process.pid)
        write_model(folder / "slow", slow(seconds=2), name="slow", routing="threshold = 0.6")
        write_calibration(folder / "slow", temperature=1.0)
        answer = server.client.post("/admin/reload")

        assert (answer.status_code, answer.json()["detail"]) == (409, "The new workers were not ready within 1 s.")
        until(lambda: children(server.process.pid) == before, seconds=5)


def test_a_signal_to_reload_ends_no_worker(folder: Path) -> None:
    with serving(folder, workers=2, variables={}) as server:
        before = children(server.process.pid)
        for process in [*before, server.process.pid]:
            os.kill(process, signal.SIGHUP)

        until(lambda: verbose(server).get("reload") == "ok", seconds=30)
        assert children(server.process.pid) == before


def test_a_signal_to_reload_is_refused_where_nobody_could(folder: Path) -> None:
    with serving(folder, variables={}) as server:
        server.process.send_signal(signal.SIGHUP)

        until(lambda: verbose(server)["reload"] is not None, seconds=30)
        assert verbose(server)["reload"].startswith("failed Expected a supervisor")


def test_a_server_that_stops_does_not_wait_for_a_reload(folder: Path) -> None:
    with serving(folder, variables=ADMIN | {"SOFTGATE_GRACE_SECONDS": "60"}) as server, ThreadPoolExecutor() as pool:
        write_model(folder / "slow", slow(seconds=3), name="slow", routing="threshold = 0.6")
        before = children(server.process.pid)
        answer = pool.submit(server.client.post, "/admin/reload")
        until(lambda: children(server.process.pid) != before, seconds=20)

        assert server.stop() == 0
        assert answer.result().json()["detail"] == "The server is being stopped."


def test_a_folder_that_is_watched_is_reloaded_when_it_has_come_to_rest(folder: Path) -> None:
    with serving(folder, variables={"SOFTGATE_WATCH_SECONDS": "0.2"}) as server:
        write_calibration(folder / "toy", temperature=2.0)

        until(lambda: confidence(server) == pytest.approx(at(2)), seconds=30)
        assert outcomes(server)[1:] == [0, 0]


def test_the_ops_port_tells_of_the_models_in_force(folder: Path) -> None:
    port = free_port()
    with serving(folder, variables=ADMIN | {"SOFTGATE_OPS_PORT": str(port)}) as server:
        write_calibration(folder / "toy", temperature=2.0)
        assert reload(server).status_code == 200
        server.predict("toy", inputs=[ROW])

        told = httpx2.get(f"http://127.0.0.1:{port}/metrics").text
        assert 'softgate_rows_total{calibration="' + calibration(server) in told


def calibration(server: Served) -> str:
    told: str = server.predict("toy", inputs=[ROW]).json()["calibration"]
    return told


def reloads_under_load(folder: Path, *, n: int, pause_seconds: float = 0.0) -> None:
    """
    Two bundles by turns, of which an answer tells by its calibration and by its confidence.

    How many reloads there were, `n` unless time ran out.
    """
    with serving(folder, workers=2) as server:
        host, port = server.url.removeprefix("http://").split(":")

        def kind(answer: dict[str, Any]) -> str:
            return f"{answer['calibration']} {answer['predictions'][0]['confidence']:.6f}"

        started = time.monotonic()
        with asking(
            (host, int(port)),
            path=PATH,
            body={"inputs": [ROW]},
            n_kept=8,
            n_fresh=8,
            pause_seconds=pause_seconds,
            kind=kind,
        ) as tally:
            for turn in range(n):
                temperature = (2.0, 1.0)[turn % 2]
                write_calibration(folder / "toy", temperature=temperature)
                answer = reload(server)
                assert answer.status_code == 200, answer.text
                # Who asks after that asks the new.
                assert confidence(server) == pytest.approx(at(temperature))
        seconds = time.monotonic() - started
        told = f"{tally.answered} answers, {len(tally.lost)} lost, {tally.kinds}"
        print(f"{n} reloads in {seconds:.0f} s, {told}")

        assert tally.lost == []
        assert {kind.split()[1] for kind in tally.kinds} == {f"{at(1):.6f}", f"{at(2):.6f}"}
        # Each calibration gave one confidence.
        assert len(tally.kinds) == len({kind.split()[0] for kind in tally.kinds}) == 2


def test_no_answer_is_lost_or_mixed_while_models_are_exchanged(folder: Path) -> None:
    reloads_under_load(folder, n=4)


@pytest.mark.soak
def test_no_answer_is_lost_or_mixed_in_a_thousand_reloads(folder: Path) -> None:
    reloads_under_load(folder, n=1000, pause_seconds=0.01)


@pytest.mark.soak
def test_memory_is_back_where_it_was_after_200_reloads(folder: Path) -> None:
    with serving(folder) as server:

        def cycles(n: int) -> float:
            for turn in range(n):
                write_calibration(folder / "toy", temperature=(2.0, 1.0)[turn % 2])
                assert reload(server).status_code == 200
            until(lambda: len(children(server.process.pid)) == 1, seconds=20)
            time.sleep(1)
            family = (server.process.pid, *children(server.process.pid))
            return sum(map(proportional_mib, family))

        before = cycles(20)
        after = cycles(200)

    print(f"{before:.1f} MiB after 20, {after:.1f} MiB after 220")
    assert after - before < 4
