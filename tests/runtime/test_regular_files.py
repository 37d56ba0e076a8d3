"""A model folder whose files are none: refused, and not waited for."""

import os
from pathlib import Path

import pytest

from graphs import write_calibration, write_text_model
from softgate.errors import ModelError
from softgate.runtime.repository import read_bundle

NAMES = ("classifier.toml", "labels.txt", "tokenizer.json", "1/model.onnx", "1/calibration.json", "1/golden.json")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, name: str, kind: str) -> None:
    folder = write_text_model(tmp_path / "toy")
    write_calibration(folder, temperature=1.0)
    path = folder / name
    path.unlink(missing_ok=True)
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()

    with pytest.raises(ModelError, match=r"no regular file|[Ii]s a directory"):
        read_bundle(folder)


def test_a_card_without_a_bottom_is_refused(tmp_path: Path) -> None:
    folder = write_text_model(tmp_path / "toy")
    (folder / "classifier.toml").write_text("a = " + "[" * 100_000)

    with pytest.raises(ModelError):
        read_bundle(folder)
