import json

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import softmax

from servers import Served

NUMBERS = [0.5, 3.0, -1.0, 0.0]


def test_an_answer_has_the_documented_shape(server: Served) -> None:
    answer = server.predict("words", inputs=["send money"], id="abc").json()

    assert list(answer) == ["id", "model", "version", "calibration", "predictions"]
    assert (answer["id"], answer["model"], answer["version"], answer["calibration"]) == ("abc", "words", "1", None)
    (prediction,) = answer["predictions"]
    assert prediction["label"] == next(iter(prediction["probabilities"])) == "transfer"
    assert prediction["decision"] == {
        "action": "route",
        "target": "banking",
        "confidence": pytest.approx(softmax([5, 2, 0, 0])[:2].sum()),
        "threshold": 0.7,
        "reason": "uncalibrated",
    }


def test_probabilities_are_the_softmax_of_the_logits_most_probable_first(server: Served) -> None:
    (prediction,) = server.predict("identity", inputs=NUMBERS, logits=True).json()["predictions"]

    assert prediction["logits"] == NUMBERS
    assert list(prediction["probabilities"]) == ["balance", "transfer", "joke", "weather"]
    expected = np.sort(softmax(NUMBERS))[::-1]
    assert_allclose(list(prediction["probabilities"].values()), expected, rtol=1e-12)
    assert prediction["margin"] == pytest.approx(expected[0] - expected[1])
    assert prediction["entropy"] == pytest.approx(-(expected * np.log(expected)).sum())
    assert prediction["energy"] == pytest.approx(np.log(np.exp(NUMBERS).sum()))


def test_one_row_and_a_list_of_one_row_are_the_same(server: Served) -> None:
    for model, row in (("words", "rain sun"), ("identity", NUMBERS)):
        assert server.predict(model, inputs=row).json() == server.predict(model, inputs=[row]).json()


def test_a_batch_answers_its_rows_in_order(server: Served) -> None:
    texts = ["joke", "rain", "account balance", "", "send money"]

    batch = server.predict("words", inputs=texts).json()["predictions"]

    assert batch == [server.predict("words", inputs=text).json()["predictions"][0] for text in texts]


def test_a_view_changes_what_is_shown_and_not_the_decision(server: Served) -> None:
    plain = server.predict("identity", inputs=NUMBERS).json()["predictions"][0]

    for view in ({"top_k": 2}, {"top_p": 0.5}, {"temperature": 5.0}, {"select": "sample", "seed": 4}):
        shown = server.predict("identity", inputs=NUMBERS, **view).json()["predictions"][0]
        assert shown["decision"] == plain["decision"]
        assert shown != plain


def test_a_cut_is_not_renormalised(server: Served) -> None:
    whole = server.predict("identity", inputs=NUMBERS).json()["predictions"][0]["probabilities"]
    cut = server.predict("identity", inputs=NUMBERS, top_k=2).json()["predictions"][0]["probabilities"]

    assert list(cut.items()) == list(whole.items())[:2]


def test_the_temperature_asked_for_is_applied_before_the_cut(server: Served) -> None:
    (shown,) = server.predict("identity", inputs=NUMBERS, temperature=2.0, top_k=1).json()["predictions"]

    assert_allclose(list(shown["probabilities"].values()), [softmax(np.array(NUMBERS) / 2).max()], rtol=1e-12)


def test_a_sample_without_a_seed_still_answers_one_of_the_classes_shown(server: Served) -> None:
    (shown,) = server.predict("identity", inputs=NUMBERS, select="sample", top_k=2).json()["predictions"]

    assert shown["label"] in shown["probabilities"]
    assert shown["confidence"] == shown["probabilities"][shown["label"]]


def test_logits_that_are_not_finite_fall_back_in_valid_json(server: Served) -> None:
    before = server.metrics()
    answer = server.predict("logarithm", inputs=[[1.0, 0.0, -3.0, 4.0], [1.0, 2.0, 3.0, 4.0]], logits=True)
    after = server.metrics()

    # parse_constant sees NaN and Infinity, which JSON does not have.
    bad, good = json.loads(answer.text, parse_constant=pytest.fail)["predictions"]
    nulls = ("label", "confidence", "margin", "entropy", "energy", "prediction_set")
    assert [bad[key] for key in nulls] == [None] * len(nulls)
    assert bad["probabilities"] == {}
    assert bad["logits"] == [0.0, None, None, pytest.approx(np.log(4))]
    assert bad["decision"] == {
        "action": "fallback",
        "target": "human",
        "confidence": None,
        "threshold": 0.7,
        "reason": "non_finite",
    }
    assert good["label"] == "joke"
    name = (
        'softgate_decisions_total{action="fallback",calibration="",model="logarithm",reason="non_finite",version="1"}'
    )
    assert after[name] - before[name] == 1


def test_a_version_may_be_named(server: Served) -> None:
    answer = server.client.post("/v1/models/words/versions/1/predict", json={"inputs": "rain"})

    assert answer.json() == server.predict("words", inputs="rain").json()


def test_unicode_comes_through(server: Served) -> None:
    answer = server.predict("words", inputs=["сколько денег 💶", "\u202eright to left", "e\u0301"], id="ё-💶")

    assert answer.status_code == 200
    assert answer.json()["id"] == "ё-💶"


def test_a_request_id_of_a_harmless_form_is_kept_and_any_other_replaced(server: Served) -> None:
    def answered(identity: str) -> str:
        headers = [(b"x-request-id", identity.encode())]
        answer = server.client.post("/v1/models/words/predict", json={"inputs": "rain"}, headers=headers)
        return str(answer.headers["x-request-id"])

    assert answered("trace-42.a_B") == "trace-42.a_B"
    for harmful in ("a b", "<script>", "x" * 65, "ü", ""):
        assert answered(harmful) != harmful
