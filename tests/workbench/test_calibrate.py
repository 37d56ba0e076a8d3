import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from graphs import LABELS, WORDS, linear, load_classifier, logarithm, write_model, write_text_model
from softgate.errors import DataInvalid, InvalidInput, ModelError
from softgate.numerics.activations import ACTIVATIONS, softmax
from softgate.numerics.temperature import fit_robust_temperature, fit_temperature, fit_temperature_by_brier
from softgate.runtime.golden import read_golden
from softgate.runtime.repository import Model, read_bundle
from softgate.types import Reason
from softgate.workbench.calibrate import Calibrated, calibrate, figures, write
from softgate.workbench.examples import Examples

EYE = np.eye(4, dtype=np.float32)
# Logits of a model that is three times too sure of itself.
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(scale=6, size=(300, 4)).astype(np.float32)
TARGETS = np.array([RNG.choice(4, p=row) for row in softmax(LOGITS / 3)])


def examples(rows: Sequence[Any] = LOGITS.tolist(), targets: NDArray[np.intp] = TARGETS) -> Examples:
    return Examples(rows, [(LABELS[target],) for target in targets], "0" * 64)


def texts() -> Examples:
    """Two words each, labelled by the first of them, or now and then by the second."""
    words = WORDS[2:]
    label_of = {word: LABELS[index // 2] for index, word in enumerate(words)}
    pairs = [(first, second) for first in words for second in words]
    labels = [(label_of[second if number % 3 == 0 else first],) for number, (first, second) in enumerate(pairs)]
    return Examples([" ".join(pair) for pair in pairs], labels, "0" * 64)


def model(folder: Path, *, activation: str = "softmax", routing: str = "threshold = 0.7") -> Model:
    write_model(folder, linear(EYE), activation=activation, routing=routing)
    return Model(read_bundle(folder), threads=1)


def text_model(folder: Path) -> Model:
    return Model(read_bundle(write_text_model(folder)), threads=1)


def calibrated(to: Model, by: Examples, *, golden_rows: Sequence[Any] | None = None, robust: bool = True) -> Calibrated:
    return calibrate(to, by, golden_rows=golden_rows, robust=robust, progress=lambda _: None)


def golden_of(found: Calibrated) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(found.golden)
    return values


@pytest.mark.parametrize("robust", [True, False])
def test_the_temperature_is_the_one_that_numerics_fits(robust: bool, tmp_path: Path) -> None:
    fit = fit_robust_temperature if robust else fit_temperature

    found = calibrated(model(tmp_path / "toy"), examples(), robust=robust)

    assert found.temperature == fit(LOGITS, TARGETS).temperature
    assert 2 < found.temperature < 4
    values = json.loads(found.calibration)
    assert (values["temperature"], values.get("noise")) == (found.temperature, found.noise)
    assert (found.noise is None) is not robust
    assert values["evidence"]["method"] == ("robust" if robust else "plain")


@pytest.mark.parametrize("activation", ["sparsemax", "entmax15"])
def test_an_activation_with_exact_zeros_is_fitted_by_its_brier_score(activation: str, tmp_path: Path) -> None:
    found = calibrated(model(tmp_path / "toy", activation=activation), examples())

    assert (
        found.temperature == fit_temperature_by_brier(LOGITS, TARGETS, activation=ACTIVATIONS[activation]).temperature
    )
    assert json.loads(found.calibration)["evidence"]["method"] == "brier"
    assert found.after["brier"] < found.before["brier"]
    assert "nll" not in found.after


def test_the_evidence_holds_the_figures_before_and_after(tmp_path: Path) -> None:
    found = calibrated(model(tmp_path / "toy"), examples())

    evidence = json.loads(found.calibration)["evidence"]
    assert evidence["data"] == {"sha256": "0" * 64, "rows": 300}
    assert evidence["on_the_rows_fitted"] == {"before": found.before, "after": found.after}
    assert found.before == figures(LOGITS, TARGETS, activation="softmax", temperature=1.0)
    assert found.after["accuracy"] == found.before["accuracy"]
    assert found.after["nll"] < found.before["nll"]
    assert found.after["ece15"] < found.before["ece15"]


def test_rows_beyond_one_batch_are_run_in_order_and_reported(tmp_path: Path) -> None:
    toy, done = model(tmp_path / "toy", routing="[serving]\nmax_batch = 7"), list[int]()

    found = calibrate(toy, examples(), golden_rows=None, robust=True, progress=done.append)

    assert found.temperature == fit_robust_temperature(LOGITS, TARGETS).temperature
    assert done == [7] * 42 + [6]


def test_a_calibrated_folder_loads_and_its_decisions_are_calibrated(tmp_path: Path) -> None:
    toy = text_model(tmp_path / "toy")
    before = load_classifier(tmp_path / "toy")
    found = calibrated(toy, texts())

    write(toy.bundle, found)

    after = load_classifier(tmp_path / "toy")
    predict = {name: one.predict_now(one.check(["joke laugh"])) for name, one in (("before", before), ("after", after))}
    assert predict["before"].decisions.reason[0] == Reason.UNCALIBRATED
    assert predict["after"].decisions.reason[0] != Reason.UNCALIBRATED
    assert after.temperature == found.temperature
    assert after.calibration_id == json.loads(found.calibration)["digest"][:12]
    before.close()
    after.close()


@pytest.mark.parametrize("activation", ["softmax", "sparsemax", "entmax15"])
def test_every_activation_loads_with_its_calibration(activation: str, tmp_path: Path) -> None:
    toy = model(tmp_path / "toy", activation=activation)

    write(toy.bundle, calibrated(toy, examples()))

    loaded = load_classifier(tmp_path / "toy")
    assert loaded.predict_now(loaded.check([[9.0, 0.0, 0.0, 0.0]])).decisions.reason[0] == Reason.CONFIDENT
    loaded.close()


def test_golden_rows_of_numbers_are_rows_of_the_data_from_all_of_it(tmp_path: Path) -> None:
    golden = golden_of(calibrated(model(tmp_path / "toy"), examples()))

    assert golden["rows"] == LOGITS.tolist()[::9][:32]
    assert golden["labels"] == [LABELS[column] for column in LOGITS[::9][:32].argmax(axis=1)]


def test_golden_rows_of_texts_are_made_up_from_the_labels(tmp_path: Path) -> None:
    golden = golden_of(calibrated(text_model(tmp_path / "toy"), texts()))

    assert len(golden["rows"]) == 8
    assert set(golden["rows"]) == set(LABELS)
    assert set(golden["rows"]).isdisjoint(texts().rows)


def test_golden_rows_that_are_given_are_kept_up_to_32(tmp_path: Path) -> None:
    toy, given = text_model(tmp_path / "toy"), [f"send money {number}" for number in range(40)]
    found = calibrated(toy, texts(), golden_rows=given)

    write(toy.bundle, found)

    golden = read_golden(tmp_path / "toy" / "1" / "golden.json")
    assert golden is not None
    assert golden.rows == given[:32]


@pytest.mark.parametrize("n_rows", [0, 7])
def test_too_few_golden_rows_are_refused(n_rows: int, tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match=rf"^Got {n_rows} golden rows, wanted 8 to 32\.$"):
        calibrated(text_model(tmp_path / "toy"), texts(), golden_rows=["joke"] * n_rows)


def test_a_golden_row_without_finite_logits_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "toy", logarithm(4))
    data = examples(np.exp(LOGITS.astype(np.float64)).tolist())

    with pytest.raises(DataInvalid, match=r"^A golden row has a logit that is NaN or infinite; "):
        calibrated(Model(read_bundle(folder), threads=1), data, golden_rows=[[0.0, 1.0, 1.0, 1.0]] * 8)


def test_a_label_that_the_model_lacks_is_named(tmp_path: Path) -> None:
    data = Examples([[0.0] * 4] * 4, [("transfer",), ("refund",), ("joke",), ("cancel",)], "")

    with pytest.raises(DataInvalid) as caught:
        calibrated(model(tmp_path / "toy"), data)

    assert str(caught.value) == "example 2: got the label 'refund', which labels.txt does not hold; 2 such in all."


@pytest.mark.parametrize(("names", "n_labels"), [((), 0), (("transfer", "joke"), 2)])
def test_a_row_of_no_or_several_labels_is_refused_where_it_stands(
    names: tuple[str, ...], n_labels: int, tmp_path: Path
) -> None:
    data = Examples([[0.0] * 4] * 2, [("joke",), names], "", places=["line 2", "line 3"])

    with pytest.raises(DataInvalid, match=rf"^line 3: got {n_labels} labels; 1 such in all\.$"):
        calibrated(model(tmp_path / "toy"), data)


def test_logits_that_are_given_are_not_run_again(tmp_path: Path) -> None:
    given = Examples((), examples().labels, "0" * 64, logits=LOGITS * 2)

    found = calibrated(model(tmp_path / "toy"), given, golden_rows=LOGITS.tolist()[:8])

    assert found.temperature == fit_robust_temperature(LOGITS * 2, TARGETS).temperature
    assert json.loads(found.calibration)["evidence"]["data"]["rows"] == 300


@pytest.mark.parametrize(
    ("rows", "targets", "message"),
    [
        (
            LOGITS.tolist(),
            LOGITS.argmax(axis=1),
            r"^The fitted temperature lies at 0\.05, an end of the range 0\.05 to 20\. ",
        ),
        (
            LOGITS.tolist(),
            LOGITS.argmin(axis=1),
            r"^The fitted temperature lies at 20, an end of the range 0\.05 to 20\. ",
        ),
        (
            [[1.0] * 4] * 9,
            np.zeros(9, np.intp),
            r"^The temperature cannot be fitted: Expected logits that differ within",
        ),
    ],
)
def test_data_that_cannot_carry_a_temperature_are_refused(
    rows: list[list[float]], targets: NDArray[np.intp], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataInvalid, match=message):
        calibrated(model(tmp_path / "toy"), examples(rows, targets))


def test_an_example_that_does_not_fit_is_numbered_among_all(tmp_path: Path) -> None:
    rows = [*LOGITS.tolist()[:99], [1.0]]

    with pytest.raises(InvalidInput, match=r"^Expected 4 features per row; row 99 has 1\.$"):
        calibrated(model(tmp_path / "toy"), examples(rows, TARGETS[:100]))


def test_files_are_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = model(tmp_path / "toy")
    folder = tmp_path / "toy" / "1"
    for name in ("calibration.json", "golden.json"):
        (folder / name).write_text("old")
    found = calibrated(toy, examples())

    def full(source: str, target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(ModelError, match=r"1/golden\.json: cannot be written: No space left on device\.$"):
            write(toy.bundle, found)
    assert {path.name for path in folder.iterdir()} == {"calibration.json", "golden.json", "model.onnx"}
    assert [(folder / name).read_text() for name in ("calibration.json", "golden.json")] == ["old", "old"]

    write(toy.bundle, found)

    assert (folder / "calibration.json").read_bytes() == found.calibration
    assert (folder / "golden.json").read_bytes() == found.golden
    assert {path.name for path in folder.iterdir()} == {"calibration.json", "golden.json", "model.onnx"}
    assert (folder / "calibration.json").stat().st_mode & 0o777 == 0o644


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    toy = model(tmp_path / "toy")
    found = calibrated(toy, examples())
    (tmp_path / "toy").rename(tmp_path / "away")

    with pytest.raises(ModelError, match=r"1/golden\.json: cannot be written: No such file or directory\.$"):
        write(toy.bundle, found)


def confident_errors() -> tuple[NDArray[np.float64], list[tuple[str, ...]]]:
    """Scores whose size says nothing: right nine times in ten, whether small or large."""
    draws = np.random.default_rng(0)
    sizes = draws.uniform(1, 6, size=3000)
    truth = draws.integers(0, 2, size=3000)
    shown = np.where(draws.random(3000) < 0.9, truth, 1 - truth)
    rows = np.stack([np.where(shown == k, sizes, 0.0) for k in (0, 1)], axis=1)
    return rows, [(LABELS[k],) for k in truth]


def test_a_fit_that_takes_confident_errors_for_wrong_labels_is_doubted(tmp_path: Path) -> None:
    rows, labels = confident_errors()
    folder = write_model(tmp_path / "two", linear(np.eye(2, dtype=np.float32)), labels=LABELS[:2])
    two = Model(read_bundle(folder), threads=1)
    found = Examples(rows.tolist(), labels, "0" * 64)

    robust, plain = calibrated(two, found), calibrated(two, found, robust=False)

    assert robust.noise is not None
    assert robust.noise > 0.1
    (doubt,) = robust.doubts
    assert f"--plain is the fit to use: it gives T = {plain.temperature:.4g}." in doubt
    assert plain.doubts == []
    assert plain.after["nll"] < robust.after["nll"]


def test_few_rows_and_a_single_label_are_doubted(tmp_path: Path) -> None:
    every = examples()
    rows = [row for row, label in zip(every.rows, every.labels, strict=True) if label == (LABELS[0],)][:20]
    one = Examples(rows, [(LABELS[0],)] * 20, every.sha256)

    doubts = calibrated(model(tmp_path / "toy"), one, robust=False).doubts

    assert [doubt.split(";")[0] for doubt in doubts] == [
        "From 20 rows T is uncertain by a tenth and more",
        "All rows have one label",
    ]


def test_good_data_raises_no_doubt(tmp_path: Path) -> None:
    logits = np.random.default_rng(0).normal(scale=3, size=(1000, 4)).astype(np.float32)
    folder = write_model(tmp_path / "toy", linear(np.eye(4, dtype=np.float32)))
    for seed in range(10):
        draws = np.random.default_rng(seed)
        labels = [(LABELS[draws.choice(4, p=p)],) for p in softmax(logits)]

        assert (
            calibrated(Model(read_bundle(folder), threads=1), Examples(logits.tolist(), labels, "0" * 64)).doubts == []
        )
