"""
The shipped multi-label classifier, end to end: over HTTP against plain onnxruntime and scipy.

The figures of its card are out-of-fold: models/hotel-requests/evaluate.py trains twenty times and says them beside
scikit-learn's.
"""

import json
import tomllib
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from scipy.special import expit
from tokenizers import Tokenizer

from servers import served
from softgate.client import Client

MODEL = Path(__file__).parents[2] / "models" / "hotel-requests"
LABELS = (MODEL / "labels.txt").read_text().splitlines()
SENTENCES = (MODEL / "examples.txt").read_text().splitlines()
CARD = (MODEL / "README.md").read_text()
CALIBRATION = json.loads((MODEL / "1" / "calibration.json").read_text())
TEMPERATURE, THRESHOLD = CALIBRATION["temperature"], CALIBRATION["thresholds"]["default"]
SEVERAL = "I need to check out earlier than planned and cancel the dinner booking"


def test_every_sentence_is_answered_as_offline() -> None:
    session = onnxruntime.InferenceSession(MODEL / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    tokenizer.no_padding()

    with served(MODEL) as server, Client(server.url, model="hotel-requests") as client:
        predictions = list(client.predict_many(SENTENCES))

    for sentence, prediction in zip(SENTENCES, predictions, strict=True):
        (logits,) = session.run(["logits"], {"input_ids": np.array([tokenizer.encode(sentence).ids or [0]])})
        expected = dict(zip(LABELS, expit(logits[0].astype(np.float64) / TEMPERATURE), strict=True))
        assert prediction.probabilities == pytest.approx(expected, abs=1e-5)
        assert set(prediction.labels or ()) == {label for label, p in expected.items() if p >= THRESHOLD}


def test_a_sentence_of_several_intents_has_several_labels() -> None:
    with served(MODEL) as server, Client(server.url, model="hotel-requests") as client:
        several, none = client.predict(SEVERAL), client.predict("ямщик, не гони лошадей")

    assert {"booking", "cancel_close_leave_freeze", "check_out", "restaurant"} <= set(several.labels or ())
    assert several.label == (several.labels or ())[0]
    assert several.decision.action == "route"
    assert len(several.decision.targets or ()) > 1
    assert (none.label, none.labels, none.decision.action) == (None, (), "fallback")


def test_the_promise_is_in_the_card_with_what_was_seen_when_it_was_made() -> None:
    promise = CALIBRATION["evidence"]["promises"]["default"]
    routing = tomllib.loads((MODEL / "classifier.toml").read_text())["routing"]

    assert "threshold" not in routing
    assert (promise["precision"], promise["risk"]) == (routing["precision"], routing["risk"]) == (0.85, 0.1)
    assert promise["lower_bound"] >= promise["precision"]
    assert f"T = {TEMPERATURE:.4f}, threshold {THRESHOLD:.4f}" in CARD
    assert f"{promise['errors']} errors among {promise['accepted']} routed rows" in CARD
    assert f"routes {promise['held_out']['coverage']:.4f} of the rows" in CARD
    assert f"{promise['held_out']['precision']:.4f} of these right" in CARD
    routed, right = promise["accepted"] / promise["rows"], 1 - promise["errors"] / promise["accepted"]
    assert f"| promise of 0.85, the card's | {THRESHOLD:.4f} | {routed:.4f} | {right:.4f} |" in CARD


def test_it_is_calibrated_by_the_cards_command_on_rows_that_were_out_of_fold() -> None:
    evidence = CALIBRATION["evidence"]

    assert f"\n    {evidence['command']}\n" in CARD
    assert (evidence["data"]["rows"], evidence["data"]["multi_label"]) == (1009, True)
    # On the rows that the shipped graph has learnt from it would be half of this.
    assert 0.95 < TEMPERATURE < 1.05


def test_golden_rows_are_the_examples() -> None:
    assert json.loads((MODEL / "1" / "golden.json").read_text())["rows"] == SENTENCES
