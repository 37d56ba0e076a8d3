"""Files of weights beside a graph: listed in the card, read once, and part of what a calibration is bound to."""

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import external
from external import CONTENT, FILES, NAME, WEIGHTS, write_beside
from graphs import linear, write_calibration, write_model
from softgate.errors import CalibrationInvalid, CardInvalid, GraphInvalid
from softgate.runtime.beside import read_beside
from softgate.runtime.calibration import digests, sha256
from softgate.runtime.contained import Limits
from softgate.runtime.probe import probe
from softgate.runtime.repository import Bundle, Model, read_bundle
from softgate.types import ModelFiles, Rows

LIMITS = Limits(256 * 2**20, 5.0)


def logits(bundle: Bundle) -> np.typing.NDArray[np.floating]:
    return Model(bundle, threads=1).logits(Rows(np.eye(2, dtype=np.float32)))


def test_a_listed_file_gives_the_graph_its_weights(tmp_path: Path) -> None:
    bundle = read_bundle(write_beside(tmp_path / "toy"))

    assert bundle.model == ModelFiles(external.linear_beside(), FILES)
    assert_array_equal(logits(bundle), WEIGHTS)


def test_what_is_served_is_what_was_read(tmp_path: Path) -> None:
    bundle = read_bundle(write_beside(tmp_path / "toy"))
    (tmp_path / "toy" / "1" / NAME).write_bytes(bytes(len(CONTENT)))

    assert_array_equal(logits(bundle), WEIGHTS)


def test_a_graph_of_one_file_has_no_more_than_one_digest(tmp_path: Path) -> None:
    bundle = read_bundle(write_model(tmp_path / "toy", linear(np.eye(4, dtype=np.float32))))

    assert digests(bundle.model) == {"model.onnx": bundle.model_sha256}


def test_a_file_that_the_card_does_not_list_is_refused_with_the_remedy(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "toy", external.linear_beside(), labels=("no", "yes"))
    (folder / "1" / NAME).write_bytes(CONTENT)

    with pytest.raises(GraphInvalid, match=rf'List it in the card: external_data = \["{NAME}"\]\.$'):
        Model(read_bundle(folder), threads=1)


@pytest.mark.parametrize(
    "name",
    ["../weights.bin", "/etc/passwd", "deep/weights.bin", "..", ".", "a\\b", " ", "model.onnx", "labels.txt",
     "classifier.toml activation", "a\nb", "x" * 256],
)  # fmt: skip
def test_a_name_that_is_not_plain_is_a_mistake_of_the_card(tmp_path: Path, name: str) -> None:
    folder = write_beside(tmp_path / "toy", listed=[name])

    with pytest.raises(CardInvalid, match=r"external_data: got .*, wanted the plain name of a file beside model\.onnx"):
        read_bundle(folder)


@pytest.mark.parametrize("value", ['"model.onnx.data"', "[]", "[1]", '["a", "a"]'])
def test_anything_but_a_list_of_names_is_a_mistake_of_the_card(tmp_path: Path, value: str) -> None:
    folder = write_beside(tmp_path / "toy")
    card = folder / "classifier.toml"
    card.write_text(card.read_text().replace(f'["{NAME}"]', value))

    with pytest.raises(CardInvalid, match=r"external_data: got .*, wanted a list of different strings"):
        read_bundle(folder)


def missing(path: Path) -> None:
    path.unlink()


def folder_of_that_name(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link_out(path: Path) -> None:
    path.rename(path.parents[2] / "elsewhere.bin")
    path.symlink_to("../../elsewhere.bin")


def link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (missing, "there is no such file"),
        (folder_of_that_name, "is no regular file"),
        (pipe, "is no regular file"),
        (link_out, "leads out of its folder"),
        (link_to_itself, "cannot be read"),
    ],
)
def test_what_is_no_file_of_the_folder_is_refused_by_name(tmp_path: Path, spoil: object, words: str) -> None:
    folder = write_beside(tmp_path / "toy")
    spoil(folder / "1" / NAME)  # type: ignore[operator]  # one of the functions above

    with pytest.raises(GraphInvalid, match=words) as caught:
        read_bundle(folder)
    assert str(caught.value).startswith(f"{folder / '1' / NAME}: ")


def test_a_link_within_the_folder_is_followed(tmp_path: Path) -> None:
    """As Kubernetes mounts the files of a volume."""
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / NAME).write_bytes(CONTENT)
    (tmp_path / NAME).symlink_to(f"..data/{NAME}")

    assert read_beside(tmp_path, [NAME]) == FILES


def test_a_calibration_is_bound_to_the_files(tmp_path: Path) -> None:
    folder = write_beside(tmp_path / "toy")
    write_calibration(folder)
    assert read_bundle(folder).calibration is not None
    (folder / "1" / NAME).write_bytes(bytes(len(CONTENT)))

    with pytest.raises(CalibrationInvalid, match=rf"made for another {NAME};"):
        read_bundle(folder)


def test_a_calibration_of_a_graph_in_one_file_is_void_for_one_in_two(tmp_path: Path) -> None:
    folder = write_beside(tmp_path / "toy")
    write_calibration(folder)
    card = folder / "classifier.toml"
    card.write_text(card.read_text().partition("\n")[2])

    with pytest.raises(CalibrationInvalid, match=rf"made for another {NAME};"):
        read_bundle(folder)


def test_the_probe_runs_the_graph_with_its_files(tmp_path: Path) -> None:
    bundle = read_bundle(write_beside(tmp_path / "toy"))

    probe(bundle, LIMITS)
    (bundle.folder / "1" / NAME).write_bytes(bytes(len(CONTENT)))
    with pytest.raises(GraphInvalid, match=rf"toy: {NAME} changed while the graph was tried"):
        probe(bundle, LIMITS)


def test_the_digest_of_a_file_is_that_of_its_bytes() -> None:
    assert digests(ModelFiles(b"graph", FILES)) == {"model.onnx": sha256(b"graph"), NAME: sha256(CONTENT)}
