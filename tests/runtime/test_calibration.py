import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphs import linear, word_tokenizer, write_calibration, write_model, write_text_model
from softgate.errors import CalibrationInvalid
from softgate.runtime.calibration import Calibration, Names, read_calibration, seal
from softgate.runtime.repository import read_bundle

PARTS: dict[str, Any] = {
    "format": 1,
    "bound_to": {"model.onnx": "a"},
    "temperature": 1.5,
    "noise": 0.02,
    "gate": -3.5,
    "set_quantile": 0.9,
    "thresholds": {"default": 0.7, "high_risk": 0.95},
    "evidence": {"rows": 3100, "name": "naïve"},
}
BOUND = PARTS["bound_to"]
NAMES = Names("softmax", multi_label=False, labels=("a", "b"), thresholds=("a", "b"), profiles=("default",))


def written(folder: Path, values: dict[str, Any]) -> Path:
    path = folder / "calibration.json"
    path.write_bytes(seal(values))
    return path


def read(path: Path) -> Calibration:
    calibration = read_calibration(path, BOUND, names=NAMES)
    assert calibration is not None
    return calibration


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_what_was_sealed_is_read_again(tmp_path: Path) -> None:
    calibration = read(written(tmp_path, PARTS))

    assert (calibration.temperature, calibration.noise) == (1.5, 0.02)
    assert (calibration.gate, calibration.set_quantile) == (-3.5, 0.9)
    assert calibration.thresholds == {"default": 0.7, "high_risk": 0.95}
    assert calibration.evidence == PARTS["evidence"]


@pytest.mark.parametrize("missing", [{}, {"gate": None, "set_quantile": None}])
def test_a_calibration_may_lack_parts(missing: dict[str, Any], tmp_path: Path) -> None:
    kept = {key: PARTS[key] for key in ("format", "bound_to", "temperature", "noise")}

    calibration = read(written(tmp_path, {**kept, **missing}))

    assert (calibration.gate, calibration.set_quantile, calibration.thresholds) == (None, None, {})


def test_no_file_is_no_calibration(tmp_path: Path) -> None:
    assert read_calibration(tmp_path / "calibration.json", BOUND, names=NAMES) is None


def test_the_id_is_the_start_of_the_digest_of_the_canonical_json_without_the_digest(tmp_path: Path) -> None:
    path = written(tmp_path, PARTS)
    values = json.loads(path.read_bytes())
    del values["digest"]
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    assert read(path).id == hashlib.sha256(text.encode("utf-8")).hexdigest()[:12]


def test_the_layout_of_the_file_is_no_part_of_the_promise(tmp_path: Path) -> None:
    path = written(tmp_path, PARTS)
    before = read(path)

    path.write_text(json.dumps(json.loads(path.read_bytes()), sort_keys=True))

    assert read(path) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"temperature": 1.5', '"temperature": 1.4'),
        ('"default": 0.7', '"default": 0.6'),
        ('"rows": 3100', '"rows": 31000'),
        ('"digest": "', '"digest": "0'),
        ('"digest": ', '"digset": '),
        ('"digest": ', '"digest": 5, "more": '),
        ('"noise"', '"extra": 1, "noise"'),
    ],
)
def test_an_edit_is_refused(old: str, new: str, tmp_path: Path) -> None:
    path = written(tmp_path, PARTS)
    edit(path, old, new)

    with pytest.raises(CalibrationInvalid, match=r"calibration\.json: the file was edited: its digest is [0-9a-f]{12}"):
        read_calibration(path, BOUND, names=NAMES)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"3", b"\xff", b'{"temperature": NaN}'])
def test_what_is_no_json_object_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    path.write_bytes(content)

    with pytest.raises(CalibrationInvalid, match=r"calibration\.json: not a JSON object"):
        read_calibration(path, BOUND, names=NAMES)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(CalibrationInvalid, match=r": cannot be read: Is a directory\."):
        read_calibration(tmp_path, BOUND, names=NAMES)


@pytest.mark.parametrize("key", ["format", "bound_to", "temperature"])
def test_a_missing_key_is_named(key: str, tmp_path: Path) -> None:
    path = written(tmp_path, {name: value for name, value in PARTS.items() if name != key})

    with pytest.raises(CalibrationInvalid, match=rf"calibration\.json: {key}: missing; wanted "):
        read_calibration(path, BOUND, names=NAMES)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", 2, "format: got 2, wanted an integer from 1 to 1."),
        ("temperature", 0.01, "temperature: got 0.01, wanted a number from 0.05 to 20."),
        ("temperature", 21, "temperature: got 21, wanted a number from 0.05 to 20."),
        ("temperature", True, "temperature: got True, wanted a number from 0.05 to 20."),
        ("noise", -0.1, "noise: got -0.1, wanted a number from 0 to 1."),
        ("gate", "low", "gate: got 'low', wanted a finite number."),
        ("gate", 10**400, f"gate: got {'1' + '0' * 56}..., wanted a finite number."),
        ("set_quantile", 1.5, "set_quantile: got 1.5, wanted a number from 0 to 1, or a list of 2 of them."),
        ("thresholds", {"default": 2}, "thresholds.default: got 2, wanted a number from 0 to 1."),
        ("thresholds", 0.7, "thresholds: got 0.7, wanted a table."),
        ("bound_to", [], "bound_to: got [], wanted a table."),
        ("evidence", "none", "evidence: got 'none', wanted a table."),
    ],
)
def test_a_value_out_of_range_is_named(key: str, value: object, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, {**PARTS, key: value})

    with pytest.raises(CalibrationInvalid) as caught:
        read_calibration(path, BOUND, names=NAMES)

    assert str(caught.value) == f"{path}: {message}"


PROMISED = 'precision = 0.9\nrisk = 0.1\nout_of_scope = 0.05\ncoverage = 0.9\nthreshold = 0.7\nabstain = "bin"'
MORE = '\n[routing.profiles.bold]\nprecision = 0.5\nrisk = 0.3\n[output]\nkind = "logits"'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A calibrated model of texts whose card says all that a calibration depends on."""
    model = write_text_model(tmp_path / "toy", routing=PROMISED + MORE)
    write_calibration(model)
    return model


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ('activation = "softmax"', 'activation = "sparsemax"', "classifier.toml activation"),
        ('kind = "text"', 'kind = "text"\nmax_tokens = 9', "classifier.toml [input]"),
        ('kind = "logits"', 'kind = "probabilities"', "classifier.toml [output]"),
        ('"balance" = "banking"', "", "classifier.toml [routing.routes]"),
        ("precision = 0.5", "precision = 0.6", "classifier.toml [routing.profiles]"),
        ("precision = 0.9", "precision = 0.8", "classifier.toml routing.precision"),
        ("risk = 0.1", "risk = 0.2", "classifier.toml routing.risk"),
        ("out_of_scope = 0.05", "out_of_scope = 0.06", "classifier.toml routing.out_of_scope"),
        ("coverage = 0.9", "coverage = 0.99", "classifier.toml routing.coverage"),
    ],
)
def test_a_change_of_the_card_that_voids_the_promise_is_refused_by_name(
    folder: Path, old: str, new: str, name: str
) -> None:
    edit(folder / "classifier.toml", old, new)

    with pytest.raises(CalibrationInvalid, match=rf"made for another {re.escape(name)}; what it promises"):
        read_bundle(folder)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("threshold = 0.7", "threshold = 0.8"),
        ("threshold = 0.7", ""),
        ('fallback = "human"', 'fallback = "desk"'),
        ('abstain = "bin"', ""),
        ("coverage", "clarify = 2\ncoverage"),
        ("coverage", "thresholds = {banking = 0.9}\ncoverage"),
        ('name = "toy"', 'name = "tiny"'),
        ("[output]", "[serving]\nmax_batch = 2\n[monitoring]\nalarm_every = 500\n[output]"),
    ],
)
def test_a_change_of_the_card_that_touches_no_promise_is_none_of_the_calibration(
    folder: Path, old: str, new: str
) -> None:
    edit(folder / "classifier.toml", old, new)

    assert read_bundle(folder).calibration is not None


@pytest.mark.parametrize("name", ["model.onnx", "labels.txt", "tokenizer.json"])
def test_another_file_is_refused_by_name(folder: Path, name: str) -> None:
    path = folder / ("1/model.onnx" if name == "model.onnx" else name)
    path.write_bytes(path.read_bytes() + b"\n")
    if name == "labels.txt":
        path.write_text("balance\ntransfer\nweather\njoke\n")

    with pytest.raises(CalibrationInvalid, match=f"made for another {name}; what it promises"):
        read_bundle(folder)


def test_a_tokenizer_that_went_or_came_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    (folder / "tokenizer.json").unlink()
    numbers = write_model(tmp_path / "numbers", linear(np.eye(4, dtype=np.float32)))
    write_calibration(numbers)
    (numbers / "tokenizer.json").write_text(word_tokenizer())

    for changed in (folder, numbers):
        with pytest.raises(CalibrationInvalid, match=r"made for another tokenizer\.json; "):
            read_bundle(changed)


def test_all_that_changed_is_named_at_once(folder: Path) -> None:
    edit(folder / "classifier.toml", "risk = 0.1", "risk = 0.2")
    (folder / "1" / "model.onnx").write_bytes(b"")

    with pytest.raises(CalibrationInvalid, match=r"another classifier\.toml routing\.risk, another model\.onnx; what"):
        read_bundle(folder)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("threshold = 0.7", "threshold = 0.6"),
        ('kind = "text"', 'kind = "text"\nmax_tokens = 512'),
        ('name = "toy"', 'name = "toy"\nversion = 1'),
    ],
)
def test_a_default_spelt_out_and_what_no_promise_depends_on_void_nothing(old: str, new: str, folder: Path) -> None:
    edit(folder / "classifier.toml", old, new)

    assert read_bundle(folder).calibration is not None
