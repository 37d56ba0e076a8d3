"""What is told of rows, checked by hand and against the native protocol's objects."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, softmax

from graphs import LABELS, flat, linear, load_classifier, logarithm, softmax_of, write_calibration, write_model
from softgate.errors import InvalidInput
from softgate.policy.batch import Part
from softgate.policy.classifier import EVERYTHING, Classifier
from softgate.types import Reason, View
from softgate.web.protocols.open_inference.answers import Answered, ReadOut, Unanswered
from softgate.web.protocols.open_inference.datatypes import word
from softgate.web.protocols.open_inference.outputs import (
    OUTPUTS,
    Told,
    Wanted,
    specs,
    told,
    wanted,
)
from softgate.web.protocols.predictions import prediction_objects

EYE = np.eye(4, dtype=np.float32)
ROWS = [[2.0, 1.0, 1.5, 0.0], [0.0, 5.0, 0.0, 0.0]]
OF_ALL = wanted(())
SETS: dict[str, Any] = {"temperature": 2.0, "set_quantile": 0.9, "thresholds": {"default": 0.9}}


@contextmanager
def classifying(
    folder: Path, model: bytes, *, calibration: dict[str, Any] | None = None, **keys: Any
) -> Iterator[Classifier]:
    write_model(folder, model, **keys)
    if calibration is not None:
        write_calibration(folder, **calibration)
    classifier = load_classifier(folder)
    yield classifier
    classifier.close()


def part(classifier: Classifier, rows: Sequence[Any]) -> Part:
    return Part.whole(classifier, classifier.predict_now(classifier.check(rows)))


def by_name(found: Told) -> dict[str, Any]:
    return {tensor.name: tensor.values for tensor in found.tensors}


def ask(classifier: Classifier, rows: Sequence[Any], view: View = EVERYTHING, asked: Sequence[Wanted] = OF_ALL) -> Told:
    return told(Answered(classifier, part(classifier, rows), view), asked)


def test_every_output_of_two_rows(tmp_path: Path) -> None:
    with classifying(tmp_path, linear(EYE), routing="threshold = 0.7") as classifier:
        found = ask(classifier, ROWS)
        native = prediction_objects(classifier, part(classifier, ROWS), EVERYTHING)

    values = by_name(found)
    assert_array_equal(values["logits"], np.array(ROWS, np.float32))
    assert_allclose(values["probabilities"], softmax(ROWS, axis=1), rtol=1e-12)
    assert values["label"].tolist() == ["transfer", "balance"]
    assert values["confidence"].tolist() == [row["confidence"] for row in native]
    assert [json.loads(text) for text in values["decision"]] == [row["decision"] for row in native]
    assert values["prediction_set"].tolist() == ["null", "null"]
    assert found.parameters == {}


def test_a_prediction_set_is_a_list_as_json(tmp_path: Path) -> None:
    with classifying(tmp_path, linear(EYE), routing="", calibration=SETS) as classifier:
        found = ask(classifier, ROWS, asked=[Wanted("prediction_set")])
        native = prediction_objects(classifier, part(classifier, ROWS), EVERYTHING)
        calibration = classifier.calibration_id

    (tensor,) = found.tensors
    assert [json.loads(text) for text in tensor.values] == [row["prediction_set"] for row in native]
    assert json.loads(tensor.values[0])[:2] == ["transfer", "weather"]
    assert found.parameters == {"calibration": calibration}


def test_what_the_metadata_tell_of_the_outputs_is_what_they_are(tmp_path: Path) -> None:
    models = {"float32": linear(EYE), "float16": flat(np.float16, "n", 4), "probabilities": softmax_of(4)}
    for name, model in models.items():
        output = f'kind = "{name}"' if name == "probabilities" else ""
        with classifying(tmp_path / name, model, output=output) as classifier:
            found = ask(classifier, ROWS)
            silent = told(Unanswered(classifier, classifier.fall_back(2, Reason.OVERLOADED)), OF_ALL)
            named = specs(classifier)

        for each in (found, silent):
            assert [tensor.name for tensor in each.tensors] == [spec.name for spec in named] == [*OUTPUTS]
            for spec, tensor in zip(named, each.tensors, strict=True):
                assert (tensor.datatype, tensor.values.dtype) == (word(spec.dtype), spec.dtype)
                assert tensor.shape == (2, *spec.shape[1:])


def test_top_k_leaves_zeros_and_nothing_else_changed(tmp_path: Path) -> None:
    with classifying(tmp_path, linear(EYE)) as classifier:
        whole, cut = (by_name(ask(classifier, ROWS, view)) for view in (EVERYTHING, View(top_k=2)))

    kept = np.array([[True, False, True, False], [True, True, False, False]])
    assert_array_equal(cut["probabilities"], np.where(kept, whole["probabilities"], 0))
    for name in OUTPUTS.keys() - {"probabilities"}:
        assert_array_equal(cut[name], whole[name])


def test_a_temperature_changes_numbers_and_no_decision(tmp_path: Path) -> None:
    with classifying(tmp_path, linear(EYE)) as classifier:
        plain, warm = (by_name(ask(classifier, ROWS, view)) for view in (EVERYTHING, View(temperature=4.0)))

    assert_allclose(warm["probabilities"], softmax(np.array(ROWS) / 4, axis=1), rtol=1e-12)
    assert_array_equal(warm["confidence"], warm["probabilities"].max(axis=1))
    for name in ("logits", "label", "decision", "prediction_set"):
        assert_array_equal(warm[name], plain[name])


@pytest.mark.parametrize("n_classes", [1, 3, 4, 9])
def test_classes_are_told_by_probability_index_and_label(tmp_path: Path, n_classes: int) -> None:
    with classifying(tmp_path, linear(EYE)) as classifier:
        found = by_name(ask(classifier, ROWS, asked=[Wanted("probabilities", n_classes), Wanted("logits", n_classes)]))

    p = softmax(ROWS[0])
    best = [f"{p[column]:f}:{column}:{LABELS[column]}" for column in (0, 2, 1, 3)]
    assert found["probabilities"].shape == (2, min(n_classes, 4))
    assert found["probabilities"][0].tolist() == best[:n_classes]
    assert found["logits"][0, 0] == "2.000000:0:transfer"
    # Of equals the first.
    assert (
        found["logits"][1].tolist()
        == ["5.000000:1:balance", *(f"0.000000:{n}:{LABELS[n]}" for n in (0, 2, 3))][:n_classes]
    )


def test_labels_that_hold_at_once_have_the_first_for_their_label(tmp_path: Path) -> None:
    routing = 'threshold = 0.7\npriority = ["joke"]'
    with classifying(tmp_path, linear(EYE), activation="sigmoid", routing=routing) as classifier:
        values = by_name(ask(classifier, [[4, 6, -2, 3], [0, 0, 0, 0]]))

    assert values["label"].tolist() == ["joke", ""]
    assert_allclose(values["confidence"], [expit(3), 0], rtol=1e-12)
    assert_allclose(values["probabilities"][0], expit([4, 6, -2, 3]), rtol=1e-12)
    assert json.loads(values["decision"][0])["targets"] == ["joke", "balance", "transfer"]
    assert json.loads(values["decision"][1])["reason"] == "uncalibrated"


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("view", [EVERYTHING, View(top_k=2), View(top_k=9)])
@pytest.mark.parametrize("start", [0, 1])
def test_rows_that_are_read_out_already_are_told_alike(tmp_path: Path, activation: str, view: View, start: int) -> None:
    """Between those of others; one of them not finite, and one that no label holds for where several may."""
    rows = [[1, 2, 3, 4], [0.5, 0.5, 0.125, 0.125], [1, 0, -3, 4], [9, 2, 3, 4]]
    asked = [*OF_ALL[1:], Wanted("logits", 2)]
    with classifying(tmp_path, logarithm(4), activation=activation, routing="threshold = 0.7") as classifier:
        batch = part(classifier, rows).batch
        slow = told(Answered(classifier, Part(batch, start, 3), view), asked)
        few = told(ReadOut(classifier, Part(batch, start, 3), view), asked)
        classes = [
            told(way(classifier, Part(batch, start, 3), view), [Wanted("probabilities", 3)])
            for way in (Answered, ReadOut)
        ]

    for each, other in ((slow, few), classes):
        assert each.parameters == other.parameters == {"non_finite_rows": f"[{2 - start}]"}
        for tensor, same in zip(each.tensors, other.tensors, strict=True):
            assert (tensor.name, tensor.datatype, tensor.shape) == (same.name, same.datatype, same.shape)
            assert tensor.values.tolist() == same.values.tolist(), tensor.name


@pytest.mark.parametrize("view", [EVERYTHING, View(top_k=2), View(temperature=2.0)])
def test_a_row_that_is_not_finite_has_no_number_that_looks_like_an_answer(tmp_path: Path, view: View) -> None:
    with classifying(tmp_path, logarithm(4)) as classifier:
        found = ask(classifier, [[1, 0, -3, 4], [1, 2, 3, 4]], view)
        best = by_name(ask(classifier, [[1, 0, -3, 4]], view, [Wanted("probabilities", 1), Wanted("logits", 4)]))

    values = by_name(found)
    assert found.parameters == {"non_finite_rows": "[0]"}
    assert not values["probabilities"][0].any()
    assert values["probabilities"][1].any()
    assert values["label"].tolist() == ["", "joke"]
    assert values["confidence"][0] == 0
    assert json.loads(values["decision"][0])["reason"] == "non_finite"
    # The graph's own numbers stay what they are; a wire that has none for them writes others.
    assert_array_equal(values["logits"][0], np.array([0, -np.inf, np.nan, np.log(4)], np.float32))
    assert best["probabilities"].tolist() == [["0.000000:0:transfer"]]
    assert best["logits"][0, -1] == "nan:2:weather"


def test_rows_without_an_answer_fall_back(tmp_path: Path) -> None:
    with classifying(tmp_path, linear(EYE)) as classifier:
        found = told(Unanswered(classifier, classifier.fall_back(2, Reason.OVERLOADED)), OF_ALL)

    values = by_name(found)
    assert not values["probabilities"].any()
    assert values["label"].tolist() == ["", ""]
    assert json.loads(values["decision"][1]) == {
        "action": "fallback",
        "target": "human",
        "confidence": None,
        "threshold": None,
        "reason": "overloaded",
    }
    assert found.parameters == {"non_finite_rows": "[0,1]"}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ([Wanted("scores")], "In outputs[0]: Expected one of logits, probabilities, label"),
        ([Wanted("label"), Wanted("label")], "Expected each output once"),
        (
            [Wanted("logits"), Wanted("label", 2)],
            "class result not available for output due to unsupported type 'BYTES'",
        ),
        ([Wanted("confidence", 2)], "In outputs[0]: Expected logits or probabilities"),
    ],
)
def test_outputs_that_there_are_not_are_refused(asked: list[Wanted], message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        wanted(asked)

    assert message in str(caught.value)
