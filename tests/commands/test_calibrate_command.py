"""What the command makes of rows that the model does not take, and of a report that cannot be written."""

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest

from calibrating import LOGITS, TARGETS, model
from graphs import LABELS
from softgate.commands import calibrate
from softgate.errors import DataInvalid


def write_rows(path: Path, rows: Sequence[Sequence[object]]) -> Path:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["a", "b", "c", "d", "label"])
        table.writerows([*row, LABELS[target]] for row, target in zip(rows, TARGETS, strict=False))
    return path


def run(folder: Path, data: Path) -> None:
    calibrate.run(folder, data=data, apart=None, out_of_scope_label=None, golden_from=None, dry_run=False)


def test_a_row_that_the_model_does_not_take_is_named_by_its_line(tmp_path: Path) -> None:
    model(tmp_path / "toy")
    rows: list[Sequence[object]] = [*LOGITS[:100].tolist()]
    rows[74] = ["1e999", 1, 2, 3]

    with pytest.raises(DataInvalid, match=r"^line 76: .* this row, feature 0 does not"):
        run(tmp_path / "toy", write_rows(tmp_path / "data.csv", rows))


def test_a_report_that_cannot_be_written_is_a_warning_beside_a_calibration_in_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model(tmp_path / "toy")
    (tmp_path / "toy" / "1" / "calibration.html").mkdir()

    run(tmp_path / "toy", write_rows(tmp_path / "data.csv", LOGITS.tolist()))

    assert (tmp_path / "toy" / "1" / "calibration.json").is_file()
    assert "calibration.html: cannot be written" in "".join(capsys.readouterr().err.split("\n"))
