"""Which output of a graph carries the answer, and how its columns become logits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit

from graphs import load_classifier, write_model, zipped
from softgate.errors import GraphInvalid
from softgate.numerics.activations import softmax
from softgate.runtime.outputs import OUTPUTS, Head
from softgate.runtime.repository import Model, read_bundle
from softgate.types import Rows, TensorSpec

ABC = ("a", "b", "c")
COLUMN = st.floats(-700, 700)
one_logits = arrays(np.float64, (5, 1), elements=COLUMN)


def spec(name: str, *shape: int | None, dtype: type[np.generic] = np.float32) -> TensorSpec:
    return TensorSpec(name, np.dtype(dtype), shape)


def maps_of(dtype: type[np.generic] = np.object_) -> TensorSpec:
    return TensorSpec("maps", np.dtype(dtype), (None,), maps=True)


LABEL, TEXT_LABEL = spec("label", None, dtype=np.int64), spec("label", None, dtype=np.object_)


def head(
    *specs: TensorSpec,
    kind: str = "logits",
    tensor: str | None = None,
    labels: Sequence[str] = ABC,
    independent: bool = False,
) -> Head:
    return Head(specs, kind=kind, tensor=tensor, labels=labels, independent=independent)


def logits(made: Head, output: Any) -> np.typing.NDArray[np.floating]:
    return made.logits(made.values(output))


@pytest.mark.parametrize(
    ("specs", "name"),
    [
        ([spec("scores", None, 3)], None),
        ([spec("scores", None, 3)], "scores"),
        ([spec("scores", 1, None)], None),
        ([spec("scores", None, None, dtype=np.float16)], None),
        ([LABEL, spec("scores", None, 3)], "scores"),
        ([LABEL, spec("scores", None, 3)], None),
        ([TEXT_LABEL, spec("scores", None, 3, dtype=np.float64)], None),
        ([spec("scores", None, 3), spec("other", None, 3)], "scores"),
        ([spec("hidden", None, None, 7), spec("scores", None, 3)], None),
    ],
)
def test_the_output_with_a_column_per_class_is_found(specs: list[TensorSpec], name: str | None) -> None:
    assert head(*specs, tensor=name).spec.name == "scores"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("independent", [False, True])
@pytest.mark.parametrize("kind", OUTPUTS)
@pytest.mark.parametrize("n_columns", [1, 2])
def test_the_type_of_the_logits_is_known_beforehand(
    kind: str, dtype: type[np.generic], independent: bool, n_columns: int
) -> None:
    labels = ABC[: n_columns if independent else 2]
    made = head(spec("scores", None, n_columns, dtype=dtype), kind=kind, labels=labels, independent=independent)

    assert made.dtype == logits(made, np.full((3, n_columns), 0.25, dtype)).dtype


@pytest.mark.parametrize("label", [LABEL, TEXT_LABEL])
@pytest.mark.parametrize("name", [None, "maps"])
def test_maps_beside_a_label_are_found(label: TensorSpec, name: str | None) -> None:
    assert head(label, maps_of(), tensor=name).spec.name == "maps"


@pytest.mark.parametrize(
    ("specs", "name", "message"),
    [
        (
            [spec("logits", None, 3), spec("probabilities", None, 3)],
            None,
            "The graph gives logits float32 [any, 3], probabilities float32 [any, 3]; "
            "wanted one output of floats, or output.tensor to choose one.",
        ),
        (
            [LABEL, spec("scores", None, 3)],
            "logits",
            "The graph gives label int64 [any], scores float32 [any, 3]; wanted floats in the output logits.",
        ),
        (
            [LABEL, spec("scores", None, 3)],
            "label",
            "The graph gives label int64 [any], scores float32 [any, 3]; wanted floats in the output label.",
        ),
        (
            [LABEL],
            None,
            "The graph gives label int64 [any]; wanted one output of floats, or output.tensor to choose one.",
        ),
        (
            [maps_of(), spec("scores", None, 3)],
            None,
            "The graph gives maps, a map per row, scores float32 [any, 3]; "
            "wanted one output of floats, or output.tensor to choose one.",
        ),
        (
            [spec("scores", None, 4)],
            "scores",
            "The graph gives scores float32 [any, 4]; wanted 3 columns, one per line of labels.txt.",
        ),
        (
            [spec("scores", None, 1)],
            None,
            "The graph gives scores float32 [any, 1]; wanted 3 columns, one per line of labels.txt.",
        ),
        (
            [spec("scores", None)],
            None,
            "The graph gives scores float32 [any]; wanted 3 columns, one per line of labels.txt.",
        ),
    ],
)
def test_another_output_is_refused(specs: list[TensorSpec], name: str | None, message: str) -> None:
    with pytest.raises(GraphInvalid) as caught:
        head(*specs, tensor=name)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("shape", "labels", "independent", "kind", "has_energy"),
    [
        ((None, 3), 3, False, "logits", True),
        ((None, None), 3, False, "logits", True),
        ((None, 2), 2, False, "logits", True),
        ((None, 3), 3, False, "probabilities", False),
        ((None, 3), 3, False, "log_probabilities", False),
        ((None, 3), 3, True, "logits", False),
        ((None, 1), 2, False, "logits", False),
        ((None,), 2, False, "logits", False),
        # It may turn out to be one logit.
        ((None, None), 2, False, "logits", False),
        ((None, 1), 1, True, "logits", False),
        ((None, 1), 2, False, "probabilities", False),
    ],
)
def test_only_scores_with_rivals_have_an_energy(
    shape: tuple[int | None, ...], labels: int, independent: bool, kind: str, has_energy: bool
) -> None:
    names = [f"label {number}" for number in range(labels)]

    assert head(spec("x", *shape), kind=kind, labels=names, independent=independent).has_energy == has_energy


@pytest.mark.parametrize(("kind", "has_energy"), [("logits", True), ("probabilities", False)])
@pytest.mark.parametrize("labels", [ABC, ("a", "b")])
def test_maps_have_an_energy_as_columns_do(kind: str, has_energy: bool, labels: Sequence[str]) -> None:
    assert head(maps_of(), kind=kind, labels=labels).has_energy == has_energy


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_columns_of_scores_stay_as_they_are(dtype: type[np.floating]) -> None:
    scores = np.array([[1, 2, 3], [-4, 5, 60000]], dtype=dtype)

    found = logits(head(spec("x", None, 3, dtype=dtype)), scores)

    assert found.dtype == dtype
    assert_array_equal(found, scores)


@given(one_logits)
def test_one_logit_stands_for_two_classes(scores: Any) -> None:
    for shape, output in (((None, 1), scores), ((None, None), scores), ((None,), scores[:, 0])):
        found = logits(head(spec("x", *shape, dtype=np.float64), labels=("no", "yes")), output)

        assert_array_equal(found, np.hstack([scores * 0, scores]))
        assert_allclose(softmax(found), np.hstack([expit(-scores), expit(scores)]), rtol=1e-12)


@given(arrays(np.float64, (5, 1), elements=st.floats(0, 1)))
def test_one_probability_is_that_of_the_second_of_two_classes(p: Any) -> None:
    made = head(spec("x", None, 1), kind="probabilities", labels=("no", "yes"))

    assert_allclose(softmax(logits(made, p)), np.hstack([1 - p, p]), rtol=0, atol=3e-12)


def test_one_log_probability_is_that_of_the_second_of_two_classes() -> None:
    made = head(spec("x", None, 1), kind="log_probabilities", labels=("no", "yes"))

    found = softmax(logits(made, np.array([[np.log(0.25)], [0.0], [-np.inf]])))

    assert_allclose(found, np.array([[0.75, 0.25], [0.0, 1.0], [1.0, 0.0]]), rtol=0, atol=3e-12)


@pytest.mark.parametrize("kind", OUTPUTS)
def test_two_columns_of_two_classes_are_not_padded(kind: str) -> None:
    p: Any = np.array([[0.25, 0.75]])
    values = p if kind == "probabilities" else np.log(p)

    found = logits(head(spec("x", None, 2), kind=kind, labels=("no", "yes")), values)

    assert_allclose(softmax(found), p)


@pytest.mark.parametrize("shape", [(None, 1), (None,)])
def test_one_label_that_stands_for_itself_is_not_padded(shape: tuple[int | None, ...]) -> None:
    scores = np.array([[2.0], [-1.0]]).reshape(2, *shape[1:])

    for kind, values in (("logits", scores), ("probabilities", expit(scores))):
        found = logits(head(spec("x", *shape), kind=kind, labels=("spam",), independent=True), values)
        assert_allclose(found, [[2], [-1]])


def test_two_labels_that_stand_for_themselves_are_not_padded() -> None:
    made = head(spec("x", None, 2), labels=("a", "b"), independent=True)

    assert_array_equal(logits(made, np.array([[1.0, 2.0]])), [[1, 2]])
    with pytest.raises(GraphInvalid, match=r"wanted 2 columns, one per line of labels\.txt\.$"):
        head(spec("x", None, 1), labels=("a", "b"), independent=True)


@pytest.mark.parametrize("shape", [(2, 4), (2, 1), (2,), (2, 3, 1), (2, 0)])
def test_columns_that_only_the_run_shows_are_counted_then(shape: tuple[int, ...]) -> None:
    with pytest.raises(GraphInvalid, match=r"^The graph gave an output of shape \(2, .*\); wanted 3 columns, one per "):
        head(spec("x", None, None)).values(np.zeros(shape, dtype=np.float32))


def test_maps_become_columns_in_the_order_of_the_labels() -> None:
    made = head(maps_of(), labels=("c", "a", "b"))

    found = logits(made, [{"a": 1.0, "b": 2.0, "c": 3.0}, {"c": 6.0, "b": 5.0, "a": 4.0}])

    assert_array_equal(found, [[3, 1, 2], [6, 4, 5]])
    assert_array_equal(logits(made, [{"b": 8.0, "c": 9.0, "a": 7.0}]), [[9, 7, 8]])


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        (("-1", "2", "10"), [1, 2, 3]),
        (("10", "-1", "2"), [3, 1, 2]),
        # Other names for the numbers: in ascending order of these.
        (ABC, [1, 2, 3]),
    ],
)
def test_maps_of_numbers_become_columns_by_number(labels: Sequence[str], wanted: list[int]) -> None:
    made = head(maps_of(np.int64), labels=labels)

    assert_array_equal(logits(made, [{10: 3.0, -1: 1.0, 2: 2.0}]), [wanted])


@pytest.mark.parametrize(
    ("example", "dtype", "labels", "message"),
    [
        ({"a": 1.0, "b": 2.0}, np.object_, ABC, "The graph names 2 classes; labels.txt has 3 lines."),
        ({0: 1.0, 1: 2.0, 2: 1.0, 3: 1.0}, np.int64, ABC, "The graph names 4 classes; labels.txt has 3 lines."),
        # A typo must not move every class to another column.
        ({"a": 1.0, "b": 2.0, "d": 3.0}, np.object_, ABC, "The graph names no class c, which labels.txt does."),
        ({"x": 1.0, "y": 2.0, "z": 3.0}, np.object_, ABC, "The graph names no class a, which labels.txt does."),
        ({1: 1.0, 2: 2.0, 3: 3.0}, np.int64, "012", "The graph names no class 0, which labels.txt does."),
    ],
)
def test_maps_of_other_classes_are_refused(
    example: dict[Any, float], dtype: type[np.generic], labels: Sequence[str], message: str
) -> None:
    with pytest.raises(GraphInvalid) as caught:
        head(maps_of(dtype), labels=labels).values([example])

    assert str(caught.value) == message


def test_maps_of_one_label_and_of_two() -> None:
    assert_array_equal(logits(head(maps_of(), labels=("a",), independent=True), [{"a": 2.0}]), [[2]])
    assert_array_equal(logits(head(maps_of(), labels=("b", "a")), [{"a": 2.0, "b": 1.0}]), [[1, 2]])


@pytest.mark.parametrize("scored", [False, True])
@pytest.mark.parametrize(
    ("keys", "labels"),
    [
        (["pear", "apple", "fig"], ("fig", "pear", "apple")),
        ([2, 0, 1], ("1", "2", "0")),
        ([7, 8, 9], ("seven", "eight", "nine")),
    ],
)
def test_a_pipeline_with_a_zip_map_answers_by_name(
    keys: list[str] | list[int], labels: tuple[str, ...], scored: bool, tmp_path: Path
) -> None:
    model = zipped(keys, scored=scored)
    folder = write_model(tmp_path / "toy", model, labels=labels, output='kind = "probabilities"')
    p = np.array([[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]])
    features = np.log(p).astype(np.float32)
    order = [0, 1, 2] if labels[0] == "seven" else [list(map(str, keys)).index(label) for label in labels]

    classifier = load_classifier(folder)

    scores = classifier.predict_now(classifier.check(features.tolist())).scores
    assert_allclose(scores.probabilities, p[:, order], rtol=1e-6)
    assert scores.energy is None
    found = [labels[column] for column in scores.label]
    assert found == ["seven", "nine"] if labels[0] == "seven" else [str(keys[0]), str(keys[2])]


def test_a_zip_map_that_does_not_fit_the_labels_is_refused_at_load(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "toy", zipped(["a", "b", "d"]), labels=ABC, output='kind = "probabilities"')

    with pytest.raises(GraphInvalid, match=r"toy: The graph names no class c, which labels\.txt does\.$"):
        Model(read_bundle(folder), threads=1)


def test_the_output_that_the_card_names_is_the_one_that_answers(tmp_path: Path) -> None:
    folder = write_model(
        tmp_path / "toy", zipped(["a", "b", "c"]), labels=ABC, output='kind = "probabilities"\ntensor = "maps"'
    )

    found = Model(read_bundle(folder), threads=1).logits(Rows(np.zeros((2, 3), dtype=np.float32)))

    assert_allclose(softmax(found), np.full((2, 3), 1 / 3))
