"""The exposition: every count exact, every name well formed."""

import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphs import LABELS, write_text_model
from servers import Served, served
from softgate.numerics.histogram import CONFIDENCE_EDGES
from softgate.types import Action, Reason
from softgate.web.metrics.predictions import DECISIONS, DEGRADED
from tools import tool

TEXTS = ["send money", "account balance", "rain sun rain", "joke laugh", "nothing known", "send rain", "sun"]


def test_a_thousand_requests_later_every_count_is_exact(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    labels: Counter[str] = Counter()
    decisions: Counter[tuple[str, str]] = Counter()
    confidences: list[float] = []
    rows = 0
    with served(write_text_model(tmp_path / "toy"), workers=2) as server:
        for _ in range(1000):
            texts = draws.choice(TEXTS, size=draws.integers(1, 6)).tolist()
            rows += len(texts)
            for prediction in server.predict("toy", inputs=texts, top_k=1).json()["predictions"]:
                labels[prediction["label"]] += 1
                decision = prediction["decision"]
                decisions[decision["action"], decision["reason"]] += 1
                confidences.append(prediction["confidence"])
        for _ in range(7):
            server.predict("toy", inputs=[])
        scrape = server.metrics()

    def count(name: str, **more: str) -> float:
        extra = {"calibration": "", "model": "toy", "version": "1", **more}
        return scrape[
            f"{name}{{{','.join(f'{key}={value!r}' for key, value in sorted(extra.items()))}}}".replace("'", '"')
        ]

    assert count("softgate_requests_total") == 1000
    assert count("softgate_rows_total") == rows
    assert {label: count("softgate_predicted_labels_total", label=label) for label in LABELS} == {
        label: labels[label] for label in LABELS
    }
    for action, reason in DECISIONS:
        counted = count("softgate_decisions_total", action=action.word, reason=reason.word)
        assert counted == decisions[action.word, reason.word]
    for edge in CONFIDENCE_EDGES.tolist():
        below = sum(confidence <= edge for confidence in confidences)
        assert count("softgate_confidence_ratio_bucket", le=repr(edge)) == below
    assert count("softgate_confidence_ratio_count") == rows
    assert count("softgate_confidence_ratio_sum") == pytest.approx(sum(confidences), rel=1e-12)
    assert count("softgate_request_duration_seconds_count") == 1000
    assert count("softgate_queue_duration_seconds_count") == 1000
    assert count("softgate_batch_rows_sum") == rows
    assert count("softgate_batch_rows_count") == count("softgate_graph_duration_seconds_count") <= 1000
    assert count("softgate_queue_rows") == 0
    assert scrape['softgate_errors_total{code="shape_mismatch"}'] == 7
    assert scrape['softgate_http_responses_total{status="200"}'] == 1000
    assert scrape['softgate_http_responses_total{status="400"}'] == 7


def test_promtool_finds_nothing_to_say(server: Served) -> None:
    server.predict("words", inputs="rain")

    checked = subprocess.run(
        [tool("promtool"), "check", "metrics"],
        input=server.client.get("/metrics").content,
        capture_output=True,
        check=False,
    )

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_the_exposition_is_served_as_prometheus_text(server: Served) -> None:
    answer = server.client.get("/metrics")

    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_a_model_is_described_by_what_it_was_verified_by(server: Served) -> None:
    model: dict[str, Any] = server.client.get("/v1/models/words").json()

    labels = f'activation="softmax",calibration="",model="words",sha256="{model["sha256"]}",version="1"'
    assert server.metrics()[f"softgate_model_info{{{labels}}}"] == 1


def test_nothing_that_a_client_sends_becomes_a_label(server: Served) -> None:
    names = set(server.metrics())
    for index in range(20):
        server.predict(f"made-up-{index}", inputs="a")
        server.client.get(f"/path-{index}")
        server.client.request(f"VERB{index}", "/v1/models")

    assert set(server.metrics()) == names


def test_every_pair_of_action_and_reason_that_the_steps_give_is_exported(server: Served) -> None:
    pairs = {name for name in server.metrics() if name.startswith("softgate_decisions_total") and '"words"' in name}

    assert len(pairs) == len(DECISIONS)
    assert {reason for _, reason in (*DECISIONS, *DEGRADED)} == set(Reason)
    assert {action for action, _ in DECISIONS} == set(Action)
