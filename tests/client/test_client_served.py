"""The client and a real server."""

import asyncio
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from calibrating import calibrated, examples
from calibrating import model as toy_model
from graphs import LABELS, linear, logarithm, picky, write_calibration, write_model, write_text_model
from pictures import in_base64
from servers import Served, served
from softgate.client import AsyncClient, Client
from softgate.errors import (
    EngineFailed,
    SoftgateError,
    TooManyRows,
    UnknownModel,
    UnknownProfile,
    UnknownVersion,
)

DIGITS = Path(__file__).parents[2] / "models" / "digits"
NAMES = [f"Überweisung {number} „ß“ 💶" for number in range(10_000)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("models")
    eye = np.eye(4, dtype=np.float32)
    write_text_model(folder / "words", name="words")
    write_model(folder / "logarithm", logarithm(4), name="logarithm")
    write_model(folder / "picky", picky(), name="picky")
    write_model(folder / "broken", picky(), name="broken", routing="threshold = 0.7\ndegraded = true")
    write_model(folder / "missing", linear(eye), name="missing", keys="missing = true")
    write_model(folder / "several", linear(eye), name="several", activation="sigmoid", routes={"joke": "fun"})
    write_calibration(folder / "several", temperature=2.0)
    write_model(folder / "many", linear(np.ones((1, 10_000), dtype=np.float32)), name="many", labels=NAMES)
    asking = toy_model(folder / "asking", name="asking", routing="precision = 0.8\nclarify = 3")
    (folder / "asking" / "1" / "calibration.json").write_bytes(calibrated(asking, examples()).content)
    (folder / "digits").symlink_to(DIGITS)
    with served(folder, variables={"SOFTGATE_MAX_ROWS": "100"}) as running:
        yield running


@pytest.fixture
def client(server: Served) -> Iterator[Client]:
    with Client(server.url, model="words") as client:
        yield client


def test_a_prediction_says_what_the_api_says(server: Served, client: Client) -> None:
    found = client.predict("send money", id="abc", logits=True)

    answer = server.predict("words", inputs=["send money"], logits=True).json()
    (told,) = answer["predictions"]
    assert dict(found.probabilities) == told["probabilities"]
    assert list(found.probabilities) == list(told["probabilities"])
    for name in ("label", "confidence", "margin", "entropy", "energy", "prediction_set"):
        assert getattr(found, name) == told[name], name
    for name, value in told["decision"].items():
        assert getattr(found.decision, name) == value, name
    assert list(found.logits or ()) == told["logits"]
    assert (found.id, found.model, found.version, found.calibration) == ("abc", "words", "1", None)
    assert (found.labels, found.decision.targets, found.decision.candidates) == (None, None, ())


def test_both_flavours_tell_the_same(server: Served, client: Client) -> None:
    rows = ["send money", "rain sun", "joke", ""] * 30

    async def awaited() -> list[object]:
        async with AsyncClient(server.url, model="words") as other:
            assert await other.ready()
            assert await other.models() == client.models()
            assert await other.predict("rain") == client.predict("rain")
            return [one async for one in other.predict_many(rows, batch_size=7, top_k=2)]

    assert asyncio.run(awaited()) == list(client.predict_many(rows, batch_size=64, top_k=2))


def test_the_models_are_told(client: Client) -> None:
    named = {model.name: model for model in client.models()}

    assert named["several"].activation == "sigmoid"
    assert (named["many"].n_labels, named["many"].ready, named["many"].version) == (10_000, True, "1")
    assert client.ready()


def test_ten_thousand_names_of_any_letters(client: Client) -> None:
    found = client.predict([1.0], model="many")

    assert len(found.probabilities) == 10_000
    assert found.probabilities.keys() == set(NAMES)
    assert math.fsum(found.probabilities.values()) == pytest.approx(1)


def test_a_nan_of_the_graph_is_a_fallback_without_numbers(client: Client) -> None:
    found = client.predict([-1.0, 1, 1, 1], model="logarithm")

    assert (found.decision.action, found.decision.reason, found.decision.target) == ("fallback", "non_finite", "human")
    assert (found.label, found.confidence, found.margin, found.entropy, found.energy) == (None,) * 5
    assert (found.decision.confidence, found.prediction_set, dict(found.probabilities)) == (None, None, {})


def test_a_number_that_is_not_known_is_one_to_the_graph(client: Client) -> None:
    row = np.array([1, np.nan, 2, 3], dtype=np.float32)

    assert client.predict(row, model="missing").decision.reason == "non_finite"


def test_arrays_are_rows(client: Client) -> None:
    rows = 9 * np.eye(4, dtype=np.float32)

    assert [one.label for one in client.predict_many(rows, model="missing", batch_size=3)] == list(LABELS)


def test_the_bytes_of_an_image_are_a_row(server: Served, client: Client) -> None:
    image = (DIGITS / "digit.png").read_bytes()

    found = client.predict(image, model="digits")

    assert found.label == "3"
    (told,) = server.predict("digits", inputs=in_base64(image)).json()["predictions"]
    assert dict(found.probabilities) == told["probabilities"]


def test_several_labels_may_hold(client: Client) -> None:
    found = client.predict([4.0, 6.0, -2.0, 3.0], model="several")

    assert found.labels == ("balance", "transfer", "joke")
    assert found.decision.targets == ("balance", "transfer", "fun")


def test_where_to_ask_back_there_are_candidates(client: Client) -> None:
    found = client.predict([1.0, 1.0, -9.0, -9.0], model="asking")

    assert (found.decision.action, found.decision.target) == ("clarify", None)
    assert {one.target for one in found.decision.candidates} == {"transfer", "balance"}
    assert found.decision.candidates[0].labels["transfer"] == found.decision.candidates[0].confidence
    assert set(found.prediction_set or ()) == {"transfer", "balance"}


def test_a_model_that_fails_may_fall_back(client: Client) -> None:
    found = client.predict([9], model="broken")

    assert (found.decision.action, found.decision.reason, found.label) == ("fallback", "model_unavailable", None)


def test_the_server_s_errors_are_ours(client: Client) -> None:
    with pytest.raises(UnknownModel) as unknown:
        client.predict("rain", model="nobody")
    assert (unknown.value.status, unknown.value.code) == (404, "unknown_model")
    assert unknown.value.request_id

    with pytest.raises(UnknownVersion):
        client.predict("rain", version=7)
    with pytest.raises(UnknownProfile):
        client.predict("rain", profile="bold")
    with pytest.raises(EngineFailed):
        client.predict([9], model="picky")
    with pytest.raises(TooManyRows) as many:
        list(client.predict_many(["rain"] * 101, batch_size=101))
    assert many.value.rows == range(101)


def test_half_a_letter_is_the_server_s_to_refuse(client: Client) -> None:
    with pytest.raises(SoftgateError) as caught:
        client.predict("\ud83d")

    assert (caught.value.status, caught.value.code) == (400, "malformed_body")


def test_the_same_seed_draws_the_same(client: Client) -> None:
    rows = ["send balance rain joke"] * 40

    def drawn(seed: int) -> list[str | None]:
        return [
            one.label for one in client.predict_many(rows, batch_size=8, select="sample", temperature=20, seed=seed)
        ]

    assert drawn(1) == drawn(1)
    assert len({tuple(drawn(1)[start : start + 8]) for start in range(0, 40, 8)}) > 1
