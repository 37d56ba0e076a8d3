import os
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from onnx import helper

from graphs import (
    LABELS,
    flat,
    graph,
    linear,
    load_classifier,
    logarithm,
    one_row,
    softmax_of,
    tensor,
    write_calibration,
    write_model,
    write_text_model,
)
from softgate.errors import CalibrationInvalid, CardInvalid, EngineFailed, GraphInvalid, ModelError
from softgate.runtime.calibration import sha256
from softgate.runtime.golden import Golden, write_golden
from softgate.runtime.repository import Model, find_bundles, read_bundle
from softgate.types import Action, Reason, Rows

EYE = np.eye(4, dtype=np.float32)


def toy(folder: Path, **words: str) -> Path:
    return write_model(folder, linear(EYE), **words)  # type: ignore[arg-type]  # name and routing, both texts


def model(folder: Path) -> Model:
    return Model(read_bundle(folder), threads=1)


def test_a_folder_of_folders_gives_a_bundle_each_by_name(tmp_path: Path) -> None:
    toy(tmp_path / "b", name="second")
    write_text_model(tmp_path / "a", name="first")
    (tmp_path / "notes").mkdir()
    (tmp_path / "README.md").write_text("Two models.")

    assert [bundle.name for bundle in find_bundles(tmp_path)] == ["first", "second"]


def test_a_model_folder_gives_its_one_bundle(tmp_path: Path) -> None:
    folder = write_text_model(tmp_path / "toy")

    (bundle,) = find_bundles(folder)

    assert (bundle.name, bundle.version, bundle.labels, bundle.folder) == ("toy", "1", LABELS, folder)
    assert bundle.model_sha256 == sha256((folder / "1" / "model.onnx").read_bytes())
    assert (bundle.calibration, bundle.golden) == (None, None)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CardInvalid, match=r"holds no model folder; wanted at least one NAME/classifier\.toml\.$"):
        find_bundles(tmp_path)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CardInvalid, match=r"absent: not a folder\.$"):
        find_bundles(tmp_path / "absent")


def test_two_models_of_one_name_are_refused(tmp_path: Path) -> None:
    toy(tmp_path / "a")
    toy(tmp_path / "b")

    with pytest.raises(CardInvalid) as caught:
        find_bundles(tmp_path)

    assert str(caught.value) == f"{tmp_path / 'b'} and {tmp_path / 'a'} are both named toy."


def test_the_highest_version_is_served(tmp_path: Path) -> None:
    folder = toy(tmp_path / "toy")
    for version in ("2", "10", "03", "v99", "1.5", "²"):
        (folder / version).mkdir()
        (folder / version / "model.onnx").write_bytes(linear(EYE * 2))
    (folder / "11").write_text("not a folder")

    assert read_bundle(folder).version == "10"


def test_a_pinned_version_is_served(tmp_path: Path) -> None:
    folder = toy(tmp_path / "toy")
    (folder / "2").mkdir()
    card = folder / "classifier.toml"
    card.write_text(f"version = 1\n{card.read_text()}")

    assert read_bundle(folder).version == "1"


def test_a_pinned_version_that_is_absent_is_named(tmp_path: Path) -> None:
    folder = toy(tmp_path / "toy")
    card = folder / "classifier.toml"
    card.write_text(f"version = 3\n{card.read_text()}")

    with pytest.raises(CardInvalid, match=r"classifier\.toml: version: got 3, wanted one of \[1\]\.$"):
        read_bundle(folder)


@pytest.mark.parametrize("pin", ["", "version = 3\n"])
def test_a_folder_without_versions_is_refused(pin: str, tmp_path: Path) -> None:
    folder = toy(tmp_path / "toy")
    (folder / "1").rename(folder / "one")
    card = folder / "classifier.toml"
    card.write_text(pin + card.read_text())

    with pytest.raises(CardInvalid, match=r"toy: holds no version; wanted a folder named 1 with a model\.onnx"):
        read_bundle(folder)


def test_a_version_without_a_graph_is_refused(tmp_path: Path) -> None:
    folder = toy(tmp_path / "toy")
    (folder / "1" / "model.onnx").unlink()

    with pytest.raises(GraphInvalid, match=r"1/model\.onnx: cannot be read: No such file or directory\.$"):
        read_bundle(folder)


def test_the_calibration_of_another_model_is_refused(tmp_path: Path) -> None:
    one, other = toy(tmp_path / "one"), write_model(tmp_path / "other", linear(EYE * 2))
    write_calibration(one)
    (other / "1" / "calibration.json").write_bytes((one / "1" / "calibration.json").read_bytes())

    with pytest.raises(CalibrationInvalid, match=r"made for another model\.onnx; "):
        find_bundles(other)


def test_what_is_about_to_be_written_again_is_not_read(tmp_path: Path) -> None:
    folder = toy(tmp_path / "toy")
    (folder / "1" / "calibration.json").write_text("{")
    (folder / "1" / "golden.json").write_text("{")

    bundle = read_bundle(folder, calibrated=False)

    assert (bundle.calibration, bundle.golden) == (None, None)


def test_reading_and_loading_change_nothing_on_disk(tmp_path: Path) -> None:
    folder = write_text_model(tmp_path / "toy")
    write_calibration(folder)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    model(folder)

    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_bundle_outlives_its_folder(tmp_path: Path) -> None:
    folder = write_text_model(tmp_path / "toy")
    bundle = read_bundle(folder)
    os.rename(folder, tmp_path / "away")

    loaded = Model(bundle, threads=1)

    assert_array_equal(loaded.logits(Rows(["send joke"])), [[3, 1, 0, 4]])


def test_more_rows_than_a_batch_run_in_parts_and_come_back_in_order(tmp_path: Path) -> None:
    folder = toy(tmp_path / "toy", routing="[serving]\nmax_batch = 3")
    rows = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)

    assert_array_equal(model(folder).logits(Rows(rows)), rows)


def test_a_model_says_whether_it_has_an_energy(tmp_path: Path) -> None:
    logits = toy(tmp_path / "logits")
    shares = softmax_of(len(LABELS))
    probabilities = write_model(tmp_path / "probabilities", shares, output='kind = "probabilities"')

    assert model(logits).has_energy
    assert not model(probabilities).has_energy


def test_labels_that_do_not_fit_the_graph_are_refused_with_its_folder(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "toy", linear(EYE), labels=LABELS[:3])

    with pytest.raises(GraphInvalid) as caught:
        model(folder)

    assert str(caught.value) == (
        f"{folder}: The graph gives logits float32 [any, 4]; wanted 3 columns, one per line of labels.txt."
    )


def test_a_graph_that_fails_on_made_up_rows_is_not_ready(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "toy", one_row(4), labels=LABELS)

    with pytest.raises(EngineFailed, match="toy: onnxruntime failed while it ran the graph"):
        model(folder)


def test_an_error_of_a_load_is_the_operators(tmp_path: Path) -> None:
    folder = toy(tmp_path / "toy")
    (folder / "1" / "model.onnx").write_bytes(b"garbage")

    with pytest.raises(ModelError, match=r"toy: onnxruntime does not load the graph: "):
        model(folder)


def test_logits_that_are_not_finite_do_not_keep_a_model_from_loading(tmp_path: Path) -> None:
    assert not np.isfinite(
        model(write_model(tmp_path / "toy", logarithm(4))).logits(Rows(np.zeros((1, 4), "f4")))
    ).any()


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("n_rows", [1, 2, 4, 5, 9])
def test_a_graph_that_takes_so_many_rows_at_a_time_answers_any_number(batch: int, n_rows: int, tmp_path: Path) -> None:
    # The rows of a batch must not see each other, nor the stand-ins that fill it up.
    folder = write_model(tmp_path / "toy", flat(np.float32, batch, 4))
    classifier = load_classifier(folder)
    rows = np.random.default_rng(n_rows).normal(size=(n_rows, 4)).astype(np.float32)

    scores = classifier.predict_now(classifier.check(rows.tolist())).scores

    assert classifier.model.fixed_batch == batch
    assert_array_equal(scores.logits, rows)
    for row, expected in zip(rows.tolist(), scores.probabilities, strict=True):
        assert_array_equal(classifier.predict_now(classifier.check([row])).scores.probabilities, [expected])


def test_a_graph_of_any_number_of_rows_has_no_fixed_batch(tmp_path: Path) -> None:
    assert model(toy(tmp_path / "toy")).fixed_batch is None


@pytest.mark.parametrize("batch", [1, 4])
def test_golden_rows_of_a_graph_that_takes_so_many_at_a_time_are_replayed(batch: int, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "toy", flat(np.float32, batch, 4))
    rows = (np.eye(4)[[0, 1, 2, 3, 0, 1, 2, 3, 0]] * 3).tolist()
    labels = [LABELS[row.index(3.0)] for row in rows]
    (folder / "1" / "golden.json").write_bytes(write_golden(Golden(rows, np.array(rows), labels)))

    model(folder)


def test_a_graph_whose_inputs_hold_different_numbers_of_rows_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "y"], ["logits"])]
    sources = [tensor("x", np.float32, 1, 4), tensor("y", np.float32, "batch", 4)]
    folder = write_model(tmp_path / "toy", graph(nodes, sources, [tensor("logits", np.float32, "batch", 4)]))

    with pytest.raises(
        GraphInvalid, match=r"toy: The graph takes x float32 \[1, 4\], y float32 \[any, 4\]; wanted a fi"
    ):
        model(folder)


def test_a_graph_that_gives_another_number_of_rows_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Concat", ["x", "x"], ["logits"], axis=0)]
    twice = graph(nodes, [tensor("x", np.float32, "batch", 4)], [tensor("logits", np.float32, "rows", 4)])

    with pytest.raises(GraphInvalid, match=r"toy: The graph gave 2 rows for 1\.$"):
        model(write_model(tmp_path / "toy", twice))


def test_several_inputs_of_one_graph_make_one_row(tmp_path: Path) -> None:
    nodes = [helper.make_node("Concat", ["x", "y"], ["logits"], axis=1)]
    sources = [tensor("x", np.float32, "batch", 1), tensor("y", np.float32, "batch", 3)]
    folder = write_model(tmp_path / "toy", graph(nodes, sources, [tensor("logits", np.float32, "batch", 4)]))
    classifier = load_classifier(folder)

    rows = classifier.check([[1, 2, 3, 4], {"y": [6, 7, 8], "x": 5}])

    assert_array_equal(classifier.predict_now(rows).scores.logits, [[1, 2, 3, 4], [5, 6, 7, 8]])


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("infinity", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("kind", ["logits", "probabilities", "log_probabilities"])
def test_a_row_that_is_not_finite_is_never_an_answer(
    kind: str, infinity: float, activation: str, tmp_path: Path
) -> None:
    # An infinity cannot be sent: a division by the zero of a made-up row, or the logarithm of it, gives one.
    nodes = [
        helper.make_node("Div", ["features", "features"], ["ones"]),
        helper.make_node("Mul", ["ones", "by"], ["y"]),
    ]
    constants = {"by": np.array([[0.25, 0.25, 0.25, infinity]], dtype=np.float32)}
    sources, results = [tensor("features", np.float32, "batch", 4)], [tensor("y", np.float32, "batch", 4)]
    folder = write_model(
        tmp_path / "toy", graph(nodes, sources, results, constants), activation=activation, output=f'kind = "{kind}"'
    )
    classifier = load_classifier(folder)

    predictions = classifier.predict_now(classifier.check([[1.0, 1.0, 1.0, 1.0]]))

    # The logarithm of a probability that underflowed is minus infinity, and no mistake.
    underflow = kind == "log_probabilities" and infinity == -np.inf
    assert predictions.scores.finite.tolist() == [underflow]
    if not underflow:
        assert (predictions.decisions.action[0], predictions.decisions.reason[0]) == (
            Action.FALLBACK,
            Reason.NON_FINITE,
        )
