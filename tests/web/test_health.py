"""Alive and ready are two questions."""

import json
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2

from graphs import slow, write_model, write_text_model
from servers import Served, command, environment, served, started
from softgate.runtime.quota import usable_cpus


def test_a_server_is_ready_when_its_models_are(server: Served) -> None:
    assert server.client.get("/livez").json() == {"status": "ok"}
    assert server.client.get("/readyz").json() == {"status": "ok"}
    states = dict.fromkeys(("identity", "logarithm", "picky", "words"), "ready")
    assert server.client.get("/readyz?verbose").json() == {"status": "ok", "models": states}


def test_a_ready_model_says_where_and_how_fast_it_runs(server: Served) -> None:
    listed = {model["name"]: model for model in server.client.get("/v1/models").json()["models"]}

    assert {name: (listed[name]["runs_on"], listed[name]["threads"]) for name in ("words", "identity")} == {
        "words": ("mixed", 1),
        "identity": ("loop", 1),
    }
    assert listed["identity"]["parallel_runs"] == 1
    assert listed["words"]["parallel_runs"] in (1, usable_cpus())
    for name, most in (("words", "32"), ("identity", "64")):
        assert list(listed[name]["microseconds_per_row"]) == ["1", most]
        assert all(0 < taken < 1e5 for taken in listed[name]["microseconds_per_row"].values())


def test_while_a_model_loads_the_server_lives_and_says_what_is_missing(tmp_path: Path) -> None:
    write_text_model(tmp_path / "a", name="quick")
    write_model(tmp_path / "b", slow(seconds=0.5), name="slow")
    with (
        started(command("serve", tmp_path, "--port", 0)) as server,
        httpx2.Client(base_url=server.read_until("listening")["url"]) as client,
    ):
        live, ready = client.get("/livez"), client.get("/readyz?verbose")
        early = client.post("/v1/models/slow/predict", json={"inputs": [1, 2, 3, 4]})
        server.read_until("ready")
        late = client.get("/readyz")

    assert live.status_code == 200
    assert ready.status_code == 503
    assert ready.json()["status"] == "not ready"
    assert ready.json()["models"]["slow"] == "loading"
    assert early.status_code == 503
    assert early.json()["code"] == "not_ready"
    assert int(early.headers["retry-after"]) >= 1
    assert late.status_code == 200


def test_the_health_command_answers_with_its_exit_code(tmp_path: Path) -> None:
    with served(write_text_model(tmp_path / "toy")) as server:
        port = server.url.rpartition(":")[2]
        ready = subprocess.run(
            command("health"), env=environment(SOFTGATE_PORT=port), capture_output=True, text=True, check=False
        )
    gone = subprocess.run(command("health", server.url), env=environment(), capture_output=True, text=True, check=False)

    assert (ready.returncode, json.loads(ready.stdout)["models"]) == (0, {"toy": "ready"})
    assert gone.returncode == 1
    assert "No answer from" in gone.stderr


def test_two_runs_of_a_graph_are_under_way_at_a_time_where_the_card_says_so(tmp_path: Path) -> None:
    keys = "[serving]\nparallel_runs = 2\nmax_batch = 1\n"
    folder = write_model(tmp_path / "slow", slow(seconds=1), name="slow", routing=f"threshold = 0.7\n{keys}")
    with served(folder, variables={"SOFTGATE_THREADS": "1"}) as server, ThreadPoolExecutor() as clients:
        answers = [clients.submit(server.predict, "slow", inputs=[1, 2, 3, 4]) for _ in range(2)]
        time.sleep(0.5)
        # Neither is answered, and none waits for the other.
        assert server.metrics()['softgate_queue_rows{calibration="",model="slow",version="1"}'] == 0.0
        assert not any(answer.done() for answer in answers)
        assert [answer.result().status_code for answer in answers] == [200, 200]


def test_a_full_queue_refuses_with_a_time_to_retry(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "slow", slow(seconds=0.5), name="slow", routing="threshold = 0.7")
    card = folder / "classifier.toml"
    card.write_text(card.read_text() + "[serving]\nmax_queue = 1\nmax_batch = 1\nparallel_runs = 1\n")
    with served(folder) as server:
        script = (
            "import asyncio, sys, httpx2\n"
            "async def main():\n"
            "    async with httpx2.AsyncClient(base_url=sys.argv[1], timeout=60) as client:\n"
            "        post = lambda: client.post('/v1/models/slow/predict', json={'inputs': [1, 2, 3, 4]})\n"
            "        answers = await asyncio.gather(*(post() for _ in range(6)))\n"
            "    print(sorted((a.status_code, a.headers.get('retry-after')) for a in answers))\n"
            "asyncio.run(main())\n"
        )
        statuses = subprocess.run(
            [*command()[:1], "-c", script, server.url], capture_output=True, text=True, check=True
        ).stdout

    assert statuses.count("(200, None)") == 2
    assert len(re.findall(r"\(429, '[1-4]'\)", statuses)) == 4
