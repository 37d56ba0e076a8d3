"""A served model whose labels may hold at once."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit

from graphs import LABELS, linear, write_calibration, write_model
from servers import Served, served

ROUTING = 'threshold = 0.7\npriority = ["joke"]'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("models")
    for name in ("several", "fitted"):
        write_model(
            folder / name,
            linear(np.eye(4, dtype=np.float32)),
            name=name,
            activation="sigmoid",
            routing=ROUTING,
            routes={"transfer": "banking", "balance": "banking"},
        )
    write_calibration(folder / "fitted", temperature=2.0)
    write_model(folder / "one", linear(np.eye(4, dtype=np.float32)), name="one")
    with served(folder) as running:
        yield running


def test_the_labels_that_hold_and_where_they_lead(server: Served) -> None:
    (row,) = server.predict("fitted", inputs=[4.0, 6.0, -2.0, 3.0]).json()["predictions"]

    p = expit(np.array([4.0, 6.0, -2.0, 3.0]) / 2)
    assert row["labels"] == ["joke", "balance", "transfer"]
    assert row["label"] == "joke"
    assert row["confidence"] == pytest.approx(p[3])
    assert row["decision"] == {
        "action": "route",
        "target": "joke",
        "confidence": pytest.approx(p[3]),
        "threshold": 0.7,
        "reason": "confident",
        "targets": ["joke", "banking"],
    }


def test_probabilities_are_sigmoids_and_need_not_add_up(server: Served) -> None:
    (row,) = server.predict("several", inputs=[4.0, 6.0, -2.0, 3.0]).json()["predictions"]

    assert list(row["probabilities"]) == ["balance", "transfer", "joke", "weather"]
    assert_allclose(list(row["probabilities"].values()), expit([6.0, 4.0, 3.0, -2.0]), rtol=1e-6)
    assert row["energy"] is None
    assert row["prediction_set"] is None
    assert row["decision"]["reason"] == "uncalibrated"


def test_where_no_label_holds_the_row_falls_back(server: Served) -> None:
    (row,) = server.predict("fitted", inputs=[0.0, 1.0, -2.0, -3.0]).json()["predictions"]

    assert (row["label"], row["confidence"], row["labels"]) == (None, None, [])
    assert row["decision"] == {
        "action": "fallback",
        "target": "human",
        "confidence": pytest.approx(expit(0.5)),
        "threshold": 0.7,
        "reason": "no_label",
        "targets": [],
    }
    assert len(row["probabilities"]) == len(LABELS)


@pytest.mark.parametrize("view", [{"top_p": 0.9}, {"select": "sample", "seed": 1}])
def test_a_share_of_what_does_not_add_up_is_refused(server: Served, view: dict[str, object]) -> None:
    answer = server.predict("several", inputs=[1.0, 2.0, 3.0, 4.0], **view)

    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("Expected neither top_p nor select for several")
    assert server.predict("one", inputs=[1.0, 2.0, 3.0, 4.0], **view).status_code == 200


def test_a_view_changes_no_decision(server: Served) -> None:
    inputs = [4.0, 6.0, -2.0, 3.0]
    (plain,) = server.predict("fitted", inputs=inputs).json()["predictions"]

    for view in ({"top_k": 1}, {"temperature": 20.0}, {"logits": True}):
        (shown,) = server.predict("fitted", inputs=inputs, **view).json()["predictions"]
        assert (shown["labels"], shown["decision"]) == (plain["labels"], plain["decision"])


def test_a_model_of_one_label_a_row_has_no_labels(server: Served) -> None:
    (row,) = server.predict("one", inputs=[1.0, 2.0, 3.0, 4.0]).json()["predictions"]

    assert "labels" not in row
    assert "targets" not in row["decision"]


def test_how_many_hold_is_counted_and_every_one_of_them(server: Served) -> None:
    rows = [[9.0, 9.0, -9.0, -9.0], [-9.0, -9.0, -9.0, -9.0], [9.0, 9.0, 9.0, -9.0]]
    before = server.metrics()

    server.predict("fitted", inputs=rows)

    after = server.metrics()

    def gained(name: str) -> float:
        return after[name] - before[name]

    calibration = server.client.get("/v1/models/fitted").json()["calibration"]
    known = f'calibration="{calibration}"'
    at = 'model="fitted",version="1"'
    assert gained(f"softgate_held_labels_count{{{known},{at}}}") == 3
    assert gained(f"softgate_held_labels_sum{{{known},{at}}}") == 5
    assert not any(name.startswith("softgate_held_labels") and 'model="one"' in name for name in after)
    reason = f'softgate_decisions_total{{action="fallback",{known},model="fitted",reason="no_label",version="1"}}'
    assert gained(reason) == 1
    labels = [f'softgate_predicted_labels_total{{{known},label="{label}",{at}}}' for label in LABELS]
    assert [gained(name) for name in labels] == [2, 2, 1, 0]


def test_candidates_may_be_ranked_by_one_of_the_labels(server: Served) -> None:
    answer = server.client.post(
        "/v1/models/several/rank", json={"inputs": [[1, 0, 0, 0], [3, 0, 0, 9]], "label": "transfer"}
    ).json()

    assert [entry["index"] for entry in answer["ranking"]] == [1, 0]
    assert [entry["probability"] for entry in answer["ranking"]] == pytest.approx(list(expit([3, 1])), rel=1e-6)
