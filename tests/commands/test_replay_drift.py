"""`softgate replay --drift`: what the alarm would have done, and when."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from graphs import linear, load_classifier, write_model
from references import write_referenced
from servers import command, environment
from softgate.commands.replay import MOST_ALARMS, alarms
from softgate.policy.monitor.offline import Offline, Raised

CALM = np.random.default_rng(0).normal(scale=4, size=(2000, 4))
MIXED = np.concatenate([CALM[:500], CALM[500:800] / 50])


def calibrated(folder: Path) -> Path:
    write_model(folder, linear(np.eye(4, dtype=np.float32)))
    write_referenced(folder, CALM, thresholds={"default": 0.5}, gate=2.0)
    return folder


def run(*arguments: object, code: int = 0) -> "subprocess.CompletedProcess[str]":
    ended = subprocess.run(
        command("replay", *arguments), capture_output=True, text=True, env=environment(), check=False, timeout=60
    )
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended


def test_alarms_are_told_by_their_rows(tmp_path: Path) -> None:
    folder = calibrated(tmp_path / "toy")
    np.savez(tmp_path / "mixed.npz", logits=MIXED)

    ended = run(folder, tmp_path / "mixed.npz", "--drift")

    classifier = load_classifier(folder)
    offline = Offline(classifier.model.bundle)
    offline.add(classifier.replay(MIXED))
    assert offline.raised
    assert all(500 < raised.row <= 800 for raised in offline.raised)
    told = ended.stdout.partition("Alarms, had somebody looked after every row")[2].split("\n")
    assert [line.strip() for line in told if line.strip()] == list(alarms(offline.raised))
    assert "ALARM confidence falling" in ended.stdout
    assert not ended.stdout.startswith("{")
    assert "800 rows: " in ended.stderr


def test_ordinary_rows_alarm_nobody(tmp_path: Path) -> None:
    folder = calibrated(tmp_path / "toy")
    np.savez(tmp_path / "calm.npz", logits=CALM)

    ended = run(folder, tmp_path / "calm.npz", "--drift", "--output", tmp_path / "lines.jsonl")

    assert "No drift" in ended.stdout
    assert ended.stdout.rstrip().endswith("none")
    assert len((tmp_path / "lines.jsonl").read_text().splitlines()) == len(CALM)


@pytest.mark.parametrize("size", [1, 7, 800])
def test_the_alarms_do_not_depend_on_the_blocks(tmp_path: Path, size: int) -> None:
    classifier = load_classifier(calibrated(tmp_path / "toy"))
    together, apart = (Offline(classifier.model.bundle) for _ in range(2))

    together.add(classifier.replay(MIXED))
    for start in range(0, len(MIXED), size):
        apart.add(classifier.replay(MIXED[start : start + size]))

    assert sorted(together.raised, key=str) == sorted(apart.raised, key=str)
    assert [state.alarms for state in together.report().detectors] == [
        state.alarms for state in apart.report().detectors
    ]


def test_rows_that_are_not_finite_are_passed_over_and_keep_their_place(tmp_path: Path) -> None:
    classifier = load_classifier(calibrated(tmp_path / "toy"))
    plain, pierced = (Offline(classifier.model.bundle) for _ in range(2))
    holes = np.insert(MIXED, np.arange(0, 500, 5), np.nan, axis=0)

    plain.add(classifier.replay(MIXED))
    pierced.add(classifier.replay(holes))

    assert [raised.row - 100 for raised in pierced.raised] == [raised.row for raised in plain.raised]


def test_a_model_without_a_reference_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "toy", linear(np.eye(4, dtype=np.float32)))
    np.savez(tmp_path / "calm.npz", logits=CALM)

    ended = run(tmp_path / "toy", tmp_path / "calm.npz", "--drift", code=2)

    assert "has no reference to compare with" in ended.stderr


def test_of_many_alarms_the_first_are_told() -> None:
    raised = [Raised("confidence_falling", row, 1) for row in range(1, 1001)]

    told = list(alarms(raised))

    assert len(told) == MOST_ALARMS + 1
    assert told[0] == "row 1: confidence falling, 1 rows after it started"
    assert told[-1] == f"and {1000 - MOST_ALARMS} more"
