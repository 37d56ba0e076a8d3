"""The shipped multi-label classifier, end to end: over HTTP against plain onnxruntime and scipy."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from scipy.special import expit
from tokenizers import Tokenizer

from servers import served

MODEL = Path(__file__).parents[2] / "models" / "hotel-requests"
LABELS = (MODEL / "labels.txt").read_text().splitlines()
SENTENCES = (MODEL / "examples.txt").read_text().splitlines()
THRESHOLD = 0.34
SEVERAL = "I need to check out earlier than planned and cancel the dinner booking"


def test_every_sentence_is_answered_as_offline() -> None:
    session = onnxruntime.InferenceSession(MODEL / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    tokenizer.no_padding()

    with served(MODEL) as server:
        predictions = server.predict("hotel-requests", inputs=SENTENCES).json()["predictions"]

    for sentence, prediction in zip(SENTENCES, predictions, strict=True):
        (logits,) = session.run(["logits"], {"input_ids": np.array([tokenizer.encode(sentence).ids or [0]])})
        expected = dict(zip(LABELS, expit(logits[0].astype(np.float64)), strict=True))
        assert prediction["probabilities"] == pytest.approx(expected, abs=1e-5)
        assert set(prediction["labels"]) == {label for label, p in expected.items() if p >= THRESHOLD}


def test_a_sentence_of_several_intents_has_several_labels() -> None:
    with served(MODEL) as server:
        (several,) = server.predict("hotel-requests", inputs=SEVERAL).json()["predictions"]
        (none,) = server.predict("hotel-requests", inputs="ямщик, не гони лошадей").json()["predictions"]

    assert {"booking", "cancel_close_leave_freeze", "check_out", "restaurant"} <= set(several["labels"])
    assert several["label"] == several["labels"][0]
    assert several["decision"]["action"] == "route"
    assert len(several["decision"]["targets"]) > 1
    assert (none["label"], none["labels"], none["decision"]["action"]) == (None, [], "fallback")
