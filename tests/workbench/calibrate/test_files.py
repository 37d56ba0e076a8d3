"""What stands in the folder afterwards: whole files, and golden rows that are nobody's text."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from calibrating import DIGEST, LOGITS, TARGETS, examples, model
from graphs import LABELS, logarithm, write_model, write_text_model
from softgate.errors import DataInvalid, ModelError
from softgate.runtime.repository import Model, read_bundle
from softgate.workbench.calibrate.files import golden_rows, stand_ins, write
from softgate.workbench.examples import Examples

GIVEN = Path("given.txt")


def text_model(folder: Path) -> Model:
    return Model(read_bundle(write_text_model(folder)), threads=1)


def golden(of: Model, by: Examples, given: Sequence[Any] | None = None) -> dict[str, Any]:
    content = stand_ins(of, by) if given is None else golden_rows(of, GIVEN, given)
    assert content is not None
    values: dict[str, Any] = json.loads(content)
    return values


TEXTS = Examples(["send money", "rain sun"] * 10, [("transfer",), ("weather",)] * 10, DIGEST)


def test_golden_rows_of_numbers_are_rows_of_the_data_from_all_of_it(tmp_path: Path) -> None:
    found = golden(model(tmp_path / "toy"), examples())

    assert found["rows"] == LOGITS.tolist()[::37][:32]
    assert found["labels"] == [LABELS[column] for column in LOGITS[::37][:32].argmax(axis=1)]


def test_golden_rows_of_texts_are_made_up_from_the_labels(tmp_path: Path) -> None:
    found = golden(text_model(tmp_path / "toy"), TEXTS)

    assert len(found["rows"]) == 8
    assert set(found["rows"]) == set(LABELS)
    assert set(found["rows"]).isdisjoint(TEXTS.rows)


def test_golden_rows_that_are_given_are_kept_up_to_32(tmp_path: Path) -> None:
    given = [f"send money {number}" for number in range(40)]

    assert golden(text_model(tmp_path / "toy"), TEXTS, given)["rows"] == given[:32]


@pytest.mark.parametrize("make", [model, text_model], ids=["numbers", "texts"])
def test_logits_alone_give_no_golden_rows_and_leave_those_that_are_there(
    tmp_path: Path, make: Callable[[Path], Model]
) -> None:
    toy = make(tmp_path / "toy")
    (tmp_path / "toy" / "1" / "golden.json").write_text("old")

    assert stand_ins(toy, Examples((), [("joke",)], DIGEST, logits=LOGITS[:1])) is None
    write(toy.bundle, calibration=b"new", golden=None)

    assert (tmp_path / "toy" / "1" / "golden.json").read_text() == "old"


@pytest.mark.parametrize("n_rows", [0, 7])
def test_too_few_golden_rows_are_refused(n_rows: int, tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match=rf"^given\.txt: got {n_rows} golden rows, wanted 8 to 32\.$"):
        golden_rows(text_model(tmp_path / "toy"), GIVEN, ["joke"] * n_rows)


def test_a_golden_row_without_finite_logits_is_refused(tmp_path: Path) -> None:
    toy = Model(read_bundle(write_model(tmp_path / "toy", logarithm(4))), threads=1)

    with pytest.raises(DataInvalid, match=r"^A golden row has a logit that is NaN or infinite; "):
        golden_rows(toy, GIVEN, [[0.0, 1.0, 1.0, 1.0]] * 8)


def test_golden_rows_of_another_kind_are_refused_by_the_name_of_their_file(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match=r"^given\.txt: got golden rows that the model does not take, .*row 0 has 5"):
        golden_rows(model(tmp_path / "toy"), GIVEN, ["hello"] * 8)


def test_too_few_rows_of_the_data_give_no_golden_rows(tmp_path: Path) -> None:
    assert stand_ins(model(tmp_path / "toy"), examples(LOGITS[:7].tolist(), TARGETS[:7])) is None


def test_files_are_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = model(tmp_path / "toy")
    folder = tmp_path / "toy" / "1"
    for name in ("calibration.json", "golden.json"):
        (folder / name).write_text("old")

    def full(source: str, target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(ModelError, match=r"1/golden\.json: cannot be written: No space left on device\.$"):
            write(toy.bundle, calibration=b"new", golden=b"new")
    assert {path.name for path in folder.iterdir()} == {"calibration.json", "golden.json", "model.onnx"}
    assert [(folder / name).read_text() for name in ("calibration.json", "golden.json")] == ["old", "old"]

    write(toy.bundle, calibration=b"new", golden=b"newer")

    assert (folder / "calibration.json").read_bytes() == b"new"
    assert (folder / "golden.json").read_bytes() == b"newer"
    assert {path.name for path in folder.iterdir()} == {"calibration.json", "golden.json", "model.onnx"}
    assert (folder / "calibration.json").stat().st_mode & 0o777 == 0o644


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    toy = model(tmp_path / "toy")
    (tmp_path / "toy").rename(tmp_path / "away")

    with pytest.raises(ModelError, match=r"1/golden\.json: cannot be written: No such file or directory\.$"):
        write(toy.bundle, calibration=b"new", golden=b"new")
