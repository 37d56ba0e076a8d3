"""What a new calibration would change, counted again by brute force."""

from pathlib import Path

import pytest

from calibrating import LOGITS, TARGETS, calibrated, examples, model
from graphs import load_classifier
from softgate.policy.decision import target
from softgate.runtime.repository import calibration_beside
from softgate.types import Action
from softgate.workbench.calibrate import change as change_of
from softgate.workbench.calibrate.change import compare
from softgate.workbench.calibrate.files import write


def decided(folder: Path, profile: str | None = None) -> list[tuple[str, str | None]]:
    """Action and target of each row, one request a row, as served."""
    classifier = load_classifier(folder)
    found = [classifier.predict_now(classifier.check([row]), profile=profile).decisions for row in LOGITS.tolist()]
    classifier.close()
    return [
        (
            Action(int(one.action[0])).word,
            target(classifier.routing, int(one.action[0]), int(one.route[0])),
        )
        for one in found
    ]


def test_flips_are_those_of_a_recount(tmp_path: Path) -> None:
    toy = model(tmp_path / "toy", routing="precision = 0.7")
    old = calibrated(toy, examples(), robust=False)
    write(toy.bundle, calibration=old.content, golden=None)
    before = decided(tmp_path / "toy")
    in_force = calibration_beside(toy.bundle)
    new = calibrated(toy, examples(LOGITS[:700].tolist(), TARGETS[:700]))

    change = compare(toy, in_force, new.calibration, old.rows)
    write(toy.bundle, calibration=new.content, golden=None)
    after = decided(tmp_path / "toy")

    assert change.rows == len(LOGITS)
    assert change.changed == sum(a != b for a, b in zip(before, after, strict=True))
    assert sum(rows for _, _, rows in change.flips) == change.changed
    assert change.changed > 0
    assert change.parts[0][0] == "temperature"


def test_against_no_calibration_everything_is_new(tmp_path: Path) -> None:
    toy = model(tmp_path / "toy")
    new = calibrated(toy, examples())

    change = compare(toy, None, new.calibration, new.rows)

    assert {before for _, before, _ in change.parts} == {"none"}
    # Without a calibration and a threshold every row goes to the fallback.
    assert all(before == "fallback to human" for before, _, _ in change.flips)


def test_the_same_calibration_changes_nothing(tmp_path: Path) -> None:
    toy = model(tmp_path / "toy")
    found = calibrated(toy, examples())

    change = compare(toy, found.calibration, found.calibration, found.rows)

    assert (change.changed, list(change.flips)) == (0, [])
    assert [name for name, _, _ in change.parts] == ["temperature"]


def test_every_profile_is_counted_by_its_own_thresholds(tmp_path: Path) -> None:
    routing = "precision = 0.7\n[routing.profiles.strict]\nprecision = 0.85\n[routing.profiles.lax]\nprecision = 0.6"
    toy = model(tmp_path / "toy", routing=routing)
    old = calibrated(toy, examples(), robust=False)
    write(toy.bundle, calibration=old.content, golden=None)
    before = {name: decided(tmp_path / "toy", name) for name in ("default", "strict", "lax")}
    new = calibrated(toy, examples(LOGITS[:700].tolist(), TARGETS[:700]))

    change = compare(toy, old.calibration, new.calibration, old.rows)
    write(toy.bundle, calibration=new.content, golden=None)

    recount = {
        name: sum(a != b for a, b in zip(rows, decided(tmp_path / "toy", name), strict=True))
        for name, rows in before.items()
    }
    assert {"default": change.changed, **change.profiles} == recount
    assert len(set(recount.values())) > 1


def test_of_many_ways_to_change_the_first_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = model(tmp_path / "toy")
    new = calibrated(toy, examples())
    every = compare(toy, None, new.calibration, new.rows)
    monkeypatch.setattr(change_of, "MOST_FLIPS", 2)

    change = compare(toy, None, new.calibration, new.rows)

    assert list(change.flips) == list(every.flips)[:2]
    assert change.changed == every.changed > sum(rows for _, _, rows in change.flips)


def test_another_kind_of_sets_is_told(tmp_path: Path) -> None:
    toy = model(tmp_path / "toy")
    topp, lac = (calibrated(toy, examples(), set_score=kind) for kind in ("topp", "lac"))

    parts = compare(toy, topp.calibration, lac.calibration, topp.rows).parts

    assert ("kind of sets", "topp", "lac") in parts
