"""A digest over all that is served, pinned outside the models."""

import json
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from external import NAME, write_beside
from graphs import LABELS, linear, word_tokenizer, write_calibration, write_model
from servers import command, environment
from softgate.errors import DigestMismatch, ModelError
from softgate.runtime.golden import Golden, write_golden
from softgate.runtime.pinned import bundle_digest, models_digest, verify
from softgate.runtime.repository import find_bundles, read_bundle

N_MUTANTS = 2500
EYE = np.eye(4, dtype=np.float32)


def toy(folder: Path, **words: str) -> Path:
    """With every part that a model folder may have, but for the weights beside the graph."""
    write_model(folder, linear(EYE), tokenizer=word_tokenizer(), **words)  # type: ignore[arg-type]  # name: a text
    rows = np.tile(EYE, (2, 1))
    golden = Golden(rows.tolist(), rows.astype(np.float64), [LABELS[row % 4] for row in range(8)])
    (folder / "1" / "golden.json").write_bytes(write_golden(golden))
    write_calibration(folder)
    return folder


def card(folder: Path) -> None:
    path = folder / "classifier.toml"
    path.write_text(path.read_text().replace("threshold = 0.7", "threshold = 0.8"))


def labels(folder: Path) -> None:
    path = folder / "labels.txt"
    path.write_text("\n".join(reversed(path.read_text().split())))
    write_calibration(folder)


def tokenizer(folder: Path) -> None:
    path = folder / "tokenizer.json"
    path.write_text(path.read_text() + "\n")
    write_calibration(folder)


def graph(folder: Path) -> None:
    (folder / "1" / "model.onnx").write_bytes(linear(2 * EYE))
    write_calibration(folder)


def calibration(folder: Path) -> None:
    write_calibration(folder, temperature=1.5)


def golden(folder: Path) -> None:
    path = folder / "1" / "golden.json"
    path.write_text(path.read_text().replace("1.0", "1.5", 1))


def no_golden(folder: Path) -> None:
    (folder / "1" / "golden.json").unlink()


def version(folder: Path) -> None:
    (folder / "1").rename(folder / "2")


@pytest.mark.parametrize("change", [card, labels, tokenizer, graph, calibration, golden, no_golden, version])
def test_every_part_of_a_model_counts(tmp_path: Path, change: Callable[[Path], None]) -> None:
    folder = toy(tmp_path / "toy")
    pinned = models_digest(find_bundles(folder))
    change(folder)

    with pytest.raises(
        DigestMismatch, match=rf"got sha256:[0-9a-f]{{64}}, wanted {pinned}; toy \d has [0-9a-f]{{12}}\.$"
    ):
        verify(find_bundles(folder), pinned)


def test_the_weights_beside_a_graph_count(tmp_path: Path) -> None:
    folder = write_beside(tmp_path / "toy")
    before = bundle_digest(read_bundle(folder))
    path = folder / "1" / NAME
    path.write_bytes(path.read_bytes()[::-1])

    assert bundle_digest(read_bundle(folder)) != before


def test_how_a_file_is_written_does_not_count(tmp_path: Path) -> None:
    folder = toy(tmp_path / "toy")
    before = bundle_digest(read_bundle(folder))
    path = folder / "classifier.toml"
    path.write_text(f"# A remark.\n{path.read_text()}")
    path = folder / "1" / "golden.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=2))

    assert bundle_digest(read_bundle(folder)) == before


def test_a_model_more_or_less_counts(tmp_path: Path) -> None:
    toy(tmp_path / "a", name="a")
    one = models_digest(find_bundles(tmp_path))
    toy(tmp_path / "b", name="b")

    assert models_digest(find_bundles(tmp_path)) != one
    verify(find_bundles(tmp_path), None)


def test_serve_starts_with_what_digest_prints_and_with_nothing_else(tmp_path: Path) -> None:
    toy(tmp_path / "toy")
    printed = subprocess.run(command("digest", tmp_path), env=environment(), capture_output=True, text=True, check=True)
    each, pinned = printed.stdout.splitlines()
    assert each == f"{bundle_digest(read_bundle(tmp_path / 'toy'))}  toy 1"
    verify(find_bundles(tmp_path), pinned)

    card(tmp_path / "toy")
    line = command("serve", tmp_path, "--port", 0, "--models-digest", pinned)
    refused = subprocess.run(line, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 1
    assert f"wanted {pinned}" in refused.stderr.replace("\n", " ")


def mutants(content: bytes, n: int) -> Iterator[bytes]:
    """As a bad disk, a torn copy and an enemy make them."""
    draw = random.Random(6)
    for number in range(n):
        place = draw.randrange(len(content))
        match number % 5:
            case 0:
                yield content[:place]
            case 1:
                yield content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]
            case 2:
                yield content[:place] + bytes(64) + content[place + 64 :]
            case 3:
                yield content[:place] + draw.randbytes(8) + content[place:]
            case _:
                other = draw.randrange(len(content))
                yield content[:place] + content[other : other + 32] + content[place + 32 :]


def test_no_mutant_of_a_graph_passes_its_digest(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "toy", linear(np.random.default_rng(1).normal(size=(4, 4)).astype(np.float32)))
    pinned = models_digest(find_bundles(folder))
    path = folder / "1" / "model.onnx"
    content, passed = path.read_bytes(), []
    for mutant in mutants(content, N_MUTANTS):
        path.write_bytes(mutant)
        try:
            verify(find_bundles(folder), pinned)
        except ModelError:
            continue
        passed.append(mutant)

    assert [mutant for mutant in passed if mutant != content] == []
