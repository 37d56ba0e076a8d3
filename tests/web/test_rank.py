"""`POST /v1/models/{model}/rank`, of a server of its own: its counts are looked at."""

from collections.abc import Iterator

import httpx2
import numpy as np
import pytest
from scipy.special import softmax

from graphs import LABELS, linear, logarithm, write_calibration, write_model, write_text_model
from servers import Served, served

SECRET = "marmalade-4711"
ROWS = [[0.0, 1.0, 2.0, 3.0], [0.0, 9.0, 2.0, 3.0], [1.0, 5.0, 2.0, 1.0]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("models")
    write_text_model(folder / "words", name="words")
    write_model(folder / "identity", linear(np.eye(4, dtype=np.float32)), name="identity")
    write_model(
        folder / "several", linear(np.eye(2, dtype=np.float32)), name="several", labels=("a", "b"), activation="sigmoid"
    )
    write_model(folder / "logarithm", logarithm(4), name="logarithm")
    # Two features added up are the logit of yes.
    write_model(folder / "one", linear(np.ones((2, 1), dtype=np.float32)), name="one", labels=("no", "yes"))
    warm = write_model(folder / "warm", linear(np.ones((2, 1), dtype=np.float32)), name="warm", labels=("no", "yes"))
    write_calibration(warm, temperature=2.0)
    with served(folder) as running:
        yield running


def ask(server: Served, model: str, **body: object) -> httpx2.Response:
    return server.client.post(f"/v1/models/{model}/rank", json=body)


def ranking(response: httpx2.Response) -> list[tuple[int, float | None]]:
    assert response.status_code == 200, response.text
    return [(entry["index"], entry["probability"]) for entry in response.json()["ranking"]]


def refusal(response: httpx2.Response) -> str:
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    assert SECRET not in response.text
    return str(response.json()["detail"])


def test_by_label_the_most_probable_candidate_comes_first(server: Served) -> None:
    response = ask(server, "identity", inputs=ROWS, label="balance", id="abc")

    answer = response.json()
    assert list(answer) == ["id", "model", "version", "calibration", "label", "ranking"]
    assert [answer[key] for key in ("id", "model", "version", "calibration", "label")] == [
        "abc",
        "identity",
        "1",
        None,
        "balance",
    ]
    found = ranking(response)
    expected = softmax(ROWS, axis=1)[:, 1]
    assert [index for index, _ in found] == [1, 2, 0]
    assert [p for _, p in found] == pytest.approx(expected[[1, 2, 0]].tolist(), rel=1e-6)


def test_labels_that_may_hold_at_once_do_not_order_each_other(server: Served) -> None:
    # Both probabilities round to 1.
    found = ranking(ask(server, "several", inputs=[[-10, 50], [100, 60]], label="b"))

    assert [index for index, _ in found] == [1, 0]


def test_the_probability_is_that_of_predict(server: Served) -> None:
    predictions = server.predict("identity", inputs=ROWS).json()["predictions"]

    for label in LABELS:
        found = ranking(ask(server, "identity", inputs=ROWS, label=label))
        assert dict(found) == {row: predictions[row]["probabilities"][label] for row in range(3)}


def test_candidates_of_a_one_logit_graph_compete(server: Served) -> None:
    found = ranking(ask(server, "one", inputs=[[0, 0], [1, 1], [0, 1]]))

    assert [index for index, _ in found] == [1, 2, 0]
    assert [p for _, p in found] == pytest.approx(softmax([2, 1, 0]).tolist(), rel=1e-6)
    assert sum(p or 0 for _, p in found) == pytest.approx(1)


def test_the_fitted_temperature_applies(server: Served) -> None:
    response = ask(server, "warm", inputs=[[0, 0], [1, 1], [0, 1]])

    assert response.json()["calibration"] is not None
    assert [p for _, p in ranking(response)] == pytest.approx(softmax([1, 0.5, 0]).tolist(), rel=1e-6)


def test_with_a_label_they_do_not(server: Served) -> None:
    found = ranking(ask(server, "one", inputs=[[0, 0], [0, 0]], label="yes"))

    assert found == [(0, 0.5), (1, 0.5)]


def test_top_k_shows_the_first_and_does_not_renormalise(server: Served) -> None:
    rows = [[0, 0], [1, 1], [0, 1]]
    whole = ranking(ask(server, "one", inputs=rows))

    assert ranking(ask(server, "one", inputs=rows, top_k=2)) == whole[:2]
    assert ranking(ask(server, "one", inputs=rows, top_k=50)) == whole


def test_a_row_alone_is_ranked_too(server: Served) -> None:
    assert ranking(ask(server, "one", inputs=[3, 4])) == [(0, 1.0)]


def test_a_candidate_that_gives_no_number_is_last_with_null(server: Served) -> None:
    found = ranking(ask(server, "logarithm", inputs=[[-1, 1, 1, 1], [1, 1, 1, 1], [1, 2, 1, 1]], label="balance"))

    assert [index for index, _ in found] == [2, 1, 0]
    assert found[-1] == (0, None)


def test_a_version_may_be_named(server: Served) -> None:
    named = server.client.post("/v1/models/one/versions/1/rank", json={"inputs": [[0, 1]]})

    assert named.json() == ask(server, "one", inputs=[[0, 1]]).json()
    assert server.client.post("/v1/models/one/versions/2/rank", json={"inputs": [[0, 1]]}).status_code == 404


def test_a_query_is_paired_with_each_candidate(server: Served) -> None:
    texts = ["money", "rain sun", "joke"]
    pairs = server.predict("words", inputs=[["sun", text] for text in texts]).json()["predictions"]

    found = ranking(ask(server, "words", query="sun", inputs=texts, label="weather"))

    assert [index for index, _ in found] == [1, 0, 2]
    assert dict(found) == {row: pairs[row]["probabilities"]["weather"] for row in range(3)}


def test_pairs_may_be_sent_as_they_are(server: Served) -> None:
    texts = ["money", "rain sun", "joke"]

    sent = ask(server, "words", inputs=[["sun", text] for text in texts], label="weather").json()

    assert sent["ranking"] == ask(server, "words", query="sun", inputs=texts, label="weather").json()["ranking"]


def test_without_a_label_several_classes_cannot_be_ranked(server: Served) -> None:
    assert "Expected a label to rank by" in refusal(ask(server, "identity", inputs=ROWS))


def test_an_unknown_label_is_refused_without_an_echo(server: Served) -> None:
    assert refusal(ask(server, "identity", inputs=ROWS, label=SECRET)).startswith("Expected a label of identity")
    refusal(ask(server, "one", inputs=[[0, 1]], label=SECRET))


@pytest.mark.parametrize(
    ("model", "body", "words"),
    [
        ("identity", {"inputs": ROWS, "label": "joke", "query": SECRET}, "takes no pairs of texts"),
        ("words", {"inputs": [["a", SECRET]], "label": "joke", "query": "a"}, "a text for each candidate"),
        ("words", {"inputs": [SECRET], "label": "joke", SECRET: 1}, "label"),
        ("words", {"inputs": [SECRET], "label": "joke", "top_k": 0}, "top_k"),
        ("words", {"label": "joke"}, "inputs"),
        ("words", {"inputs": [], "label": "joke"}, "at least 1 row"),
        ("identity", {"inputs": [[1, 2]], "label": "joke"}, "4 features"),
    ],
)
def test_a_request_that_does_not_fit_is_refused(
    server: Served, model: str, body: dict[str, object], words: str
) -> None:
    assert words in refusal(ask(server, model, **body))


def test_an_unknown_model_is_not_found(server: Served) -> None:
    assert ask(server, "nothing", inputs=[[1]]).status_code == 404


def test_candidates_are_no_decisions(server: Served) -> None:
    server.predict("identity", inputs=ROWS)
    before = server.metrics()

    ranking(ask(server, "identity", inputs=ROWS, label="balance"))

    after = server.metrics()
    counted = ("softgate_decisions_total", "softgate_predicted_labels_total", "softgate_confidence_ratio")
    names = [name for name in after if name.startswith(counted)]
    assert names
    assert [after[name] for name in names] == [before[name] for name in names]
