import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from graphs import linear, write_model
from softgate.numerics.alarm import is_alarm, start, step
from softgate.policy.monitor.detectors import detectors
from softgate.runtime.repository import Bundle, read_bundle
from watched import UNIX_TIME, Fleet, Logits, logits, referenced

FALLING, RISING, OUT_OF_SCOPE = "confidence_falling", "confidence_rising", "out_of_scope_rising"
UNSURE = 1.0
"""Scale of logits that are far less sure than the reference's."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return referenced(tmp_path_factory.mktemp("model") / "toy", logits(2000), gate=0.5)


def drifted(n_rows: int, *, seed: int = 9) -> Logits:
    return logits(n_rows, scale=UNSURE, seed=seed)


def test_rows_like_the_reference_raise_nothing(bundle: Bundle) -> None:
    fleet = Fleet(bundle)

    for seed in range(100):
        fleet.answer(logits(20, seed=100 + seed))
        assert fleet.step() == []

    assert fleet.alarms() == {FALLING: False, RISING: False, OUT_OF_SCOPE: False}
    assert [state.rows for state in fleet.report().detectors] == [2000] * 3


def test_an_alarm_tells_model_detector_and_evidence(bundle: Bundle) -> None:
    fleet = Fleet(bundle)
    fleet.step()
    fleet.answer(drifted(50))

    (event,) = fleet.step()

    assert event.name == "drift_alarm"
    fields = dict(event.fields)
    assert fields.pop("evidence") >= fields["budget"] == 30_000
    assert fields == {
        "model": "toy",
        "version": "1",
        "calibration": bundle.calibration.id if bundle.calibration else None,
        "detector": FALLING,
        "rows": 50,
        "budget": 30_000.0,
        "alarms": 1,
    }
    json.dumps(dict(event.fields), allow_nan=False)
    state = fleet.report().detectors[0]
    assert (state.alarm, state.raised_at, state.alarms) == (True, UNIX_TIME + 2, 1)
    assert (state.evidence, state.rows) == (0.0, 0)
    assert fleet.report().alarm


def test_an_alarm_stays_on_and_is_counted_again_while_the_change_lasts(bundle: Bundle) -> None:
    fleet = Fleet(bundle)
    fleet.answer(drifted(50))
    fleet.step()

    for seed in range(3):
        fleet.answer(drifted(50, seed=seed))
        assert fleet.step() == []
    for seed in range(20):
        fleet.answer(logits(50, seed=seed))
        assert fleet.step() == []

    state = fleet.report().detectors[0]
    assert (state.alarm, state.alarms, state.raised_at) == (True, 4, UNIX_TIME + 1)


def test_an_acknowledgement_switches_the_alarm_off_and_starts_the_detector_again(bundle: Bundle) -> None:
    fleet = Fleet(bundle, workers=2)
    fleet.answer(drifted(50))
    fleet.step()
    fleet.answer(drifted(5))
    fleet.step()
    gathered = fleet.report().detectors[0]
    assert 0 < gathered.evidence < 1

    fleet.acknowledge(FALLING, worker=1)
    (event,) = fleet.step()

    assert event.name == "drift_acknowledged"
    assert event.fields["detector"] == FALLING
    assert event.fields["rows"] == gathered.rows == 5
    assert event.fields["evidence"] == pytest.approx(gathered.evidence * gathered.budget)
    state = fleet.report().detectors[0]
    assert (state.alarm, state.raised_at, state.evidence, state.rows, state.alarms) == (False, None, 0.0, 0, 1)
    assert fleet.step() == []


def test_an_alarm_that_was_acknowledged_comes_back_with_another_event(bundle: Bundle) -> None:
    fleet = Fleet(bundle)
    fleet.answer(drifted(50))
    fleet.step()

    fleet.acknowledge(FALLING)
    fleet.answer(drifted(50))

    assert [event.name for event in fleet.step()] == ["drift_acknowledged", "drift_alarm"]
    state = fleet.report().detectors[0]
    assert (state.alarm, state.alarms, state.raised_at) == (True, 2, UNIX_TIME + 2)


def test_an_acknowledgement_of_one_detector_leaves_the_others_alone(bundle: Bundle) -> None:
    fleet = Fleet(bundle)
    fleet.answer(np.full((50, 4), -3.0) + drifted(50) / 10)
    fleet.step()
    assert fleet.alarms() == {FALLING: True, RISING: False, OUT_OF_SCOPE: True}

    fleet.acknowledge(OUT_OF_SCOPE)
    fleet.step()

    assert fleet.alarms() == {FALLING: True, RISING: False, OUT_OF_SCOPE: False}


def test_an_acknowledgement_without_an_alarm_throws_no_evidence_away(bundle: Bundle) -> None:
    """Or whoever may send one could keep a detector from ever alarming."""
    fleet = Fleet(bundle)
    fleet.answer(drifted(5))
    fleet.step()
    before = fleet.report().detectors[0]

    fleet.acknowledge(FALLING)

    assert fleet.step() == []
    assert before.evidence > 0
    assert fleet.report().detectors[0] == before
    fleet.answer(drifted(50))
    assert [event.name for event in fleet.step()] == ["drift_alarm"]


def test_the_counts_of_four_workers_are_bet_on_as_one(bundle: Bundle) -> None:
    together, alone = Fleet(bundle, workers=4), Fleet(bundle)

    for number in range(8):
        rows = logits(40, scale=3.5, seed=number)
        alone.answer(rows)
        for worker in range(4):
            together.answer(rows[worker * 10 : worker * 10 + 10], worker=worker)
        alone.step()
        together.step()

    found, expected = (fleet.watched().states for fleet in (together, alone))
    assert (found["rows"] == 320).all()
    assert_array_equal(found, expected)


def test_evidence_is_that_of_the_plain_detector_at_any_step(bundle: Bundle) -> None:
    fleet = Fleet(bundle)
    evidence = [start() for _ in detectors(bundle)]

    for number in range(30):
        rows = logits(1 + number % 7, scale=3.8, seed=number)
        before = fleet.counts.total()
        fleet.answer(rows)
        watched = fleet.watched()
        added = fleet.board.view(fleet.counts.total() - before, watched)
        for place, detector in enumerate(watched.detectors):
            counts = detector.counts(added, watched.axes).astype(np.intp)
            evidence[place] = step(evidence[place], counts, detector.values, mean_bound=detector.mean_bound)
            assert not is_alarm(evidence[place], budget=detector.budget)
        fleet.step()

    assert_array_equal(fleet.watched().states["evidence"], evidence)


def test_a_step_without_rows_changes_nothing_but_its_time(bundle: Bundle) -> None:
    fleet = Fleet(bundle)
    fleet.answer(drifted(3))
    fleet.step()
    before = fleet.watched().states.copy()

    fleet.step(3600.0)

    assert_array_equal(fleet.watched().states, before)
    assert fleet.board.updated_at == UNIX_TIME + 3601


def test_rows_that_are_not_finite_are_no_evidence(bundle: Bundle) -> None:
    fleet = Fleet(bundle)
    fleet.answer(np.full((100, 4), np.nan))

    assert fleet.step() == []
    assert (fleet.watched().states["rows"] == 0).all()


def test_rows_beyond_what_a_sum_holds_do_not_stop_the_watch(bundle: Bundle) -> None:
    fleet = Fleet(bundle)
    fleet.answer(np.array([[1e300, 0.0, 0.0, 0.0]]))
    fleet.step()
    fleet.answer(np.array([[1e300, 0.0, 0.0, 0.0]]))

    assert fleet.step() == []
    assert (fleet.watched().states["rows"] == 2).all()


def test_a_model_without_detectors_is_left_alone(tmp_path: Path) -> None:
    fleet = Fleet(read_bundle(write_model(tmp_path / "toy", linear(np.eye(4, dtype=np.float32)))))
    fleet.answer(drifted(50))

    assert fleet.step() == []
    assert fleet.watch.saved() == {}
    assert fleet.watch.restore({}) == []


@pytest.fixture
def alarmed(bundle: Bundle) -> Fleet:
    """With an alarm and some evidence since."""
    fleet = Fleet(bundle)
    fleet.answer(drifted(50))
    fleet.step()
    fleet.answer(drifted(5))
    fleet.step()
    return fleet


def test_a_restored_watch_goes_on_as_if_nothing_had_happened(bundle: Bundle, alarmed: Fleet) -> None:
    saved = json.loads(json.dumps(alarmed.watch.saved(), allow_nan=False))
    after = Fleet(bundle)

    assert after.watch.restore(saved) == []

    assert after.report().detectors == alarmed.report().detectors
    assert after.report().alarm
    for fleet in (alarmed, after):
        fleet.answer(drifted(7))
        fleet.step()
    assert_array_equal(after.watched().states, alarmed.watched().states)
    after.acknowledge(FALLING)
    assert [event.name for event in after.step()] == ["drift_acknowledged"]


def test_what_is_saved_does_not_grow_with_traffic(alarmed: Fleet) -> None:
    before = len(json.dumps(alarmed.watch.saved()))

    for seed in range(200):
        alarmed.answer(drifted(100, seed=seed))
        alarmed.step()

    assert len(json.dumps(alarmed.watch.saved())) < 1.5 * before < 3000


def test_a_model_of_another_calibration_starts_afresh(tmp_path: Path, alarmed: Fleet) -> None:
    other = Fleet(referenced(tmp_path / "toy", logits(2000, seed=1), gate=0.5))

    assert other.watch.restore(alarmed.watch.saved()) == ["toy: the saved state is of another calibration"]

    assert not other.report().alarm
    assert (other.watched().states["rows"] == 0).all()


@pytest.mark.parametrize("saved", [{}, {"model/other/1": {"calibration": "x"}}, {"model/toy/1": None}])
def test_a_model_that_was_not_saved_starts_afresh(bundle: Bundle, saved: Mapping[str, Any]) -> None:
    assert Fleet(bundle).watch.restore(saved) == ["toy: there is no saved state"]


Edit = Callable[[dict[str, Any]], object]

MALFORMED: dict[str, Edit] = {
    "a number for a table": lambda state: state.update(detectors=7),
    "a list for a table": lambda state: state.update(detectors=[1, 2]),
    "no detectors": lambda state: state.pop("detectors"),
    "a detector less": lambda state: state["detectors"].pop(RISING),
    "evidence missing": lambda state: state["detectors"][RISING].pop("evidence"),
    "evidence too short": lambda state: state["detectors"][RISING]["evidence"].pop(),
    "evidence too long": lambda state: state["detectors"][RISING]["evidence"].append(0.0),
    "evidence a number": lambda state: state["detectors"][RISING].update(evidence=1.0),
    "evidence a text": lambda state: state["detectors"][RISING].update(evidence="x"),
    "evidence nested": lambda state: state["detectors"][RISING].update(evidence=[[0.0] * 8]),
    "evidence not a number": lambda state: state["detectors"][RISING]["evidence"].__setitem__(2, float("nan")),
    "evidence infinite": lambda state: state["detectors"][RISING]["evidence"].__setitem__(0, float("inf")),
    "evidence negative": lambda state: state["detectors"][RISING]["evidence"].__setitem__(0, -1e-9),
    "evidence null": lambda state: state["detectors"][RISING]["evidence"].__setitem__(0, None),
    "evidence beyond a float": lambda state: state["detectors"][RISING]["evidence"].__setitem__(0, 10**400),
    "evidence whose mean overflows": lambda state: state["detectors"][RISING].update(evidence=[1.7e308] * 8),
    "rows negative": lambda state: state["detectors"][RISING].update(rows=-1.0),
    "rows not a number": lambda state: state["detectors"][RISING].update(rows=float("nan")),
    "rows beyond an integer": lambda state: state["detectors"][RISING].update(rows=1e300),
    "rows a list": lambda state: state["detectors"][RISING].update(rows=[1]),
    "alarms missing": lambda state: state["detectors"][RISING].pop("alarms"),
    "alarms beyond an integer": lambda state: state["detectors"][RISING].update(alarms=10**30),
    "alarm a table": lambda state: state["detectors"][RISING].update(alarm={}),
    "time infinite": lambda state: state["detectors"][RISING].update(raised_at=float("inf")),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_state_of_another_form_is_left_alone_whole(bundle: Bundle, alarmed: Fleet, what: str) -> None:
    saved = json.loads(json.dumps(alarmed.watch.saved()))
    MALFORMED[what](saved["model/toy/1"])
    fleet = Fleet(bundle)

    assert fleet.watch.restore(saved) == ["toy: the saved state has another form"]

    assert not any(fleet.watched().states[field].any() for field in fleet.watched().states.dtype.names or ())


@pytest.mark.parametrize("saved", [7, "text", [], True])
def test_a_model_saved_as_no_table_starts_afresh(bundle: Bundle, saved: object) -> None:
    assert Fleet(bundle).watch.restore({"model/toy/1": saved}) == ["toy: the saved state has another form"]


def test_models_are_restored_each_by_itself(tmp_path: Path, bundle: Bundle, alarmed: Fleet) -> None:
    other = referenced(tmp_path / "other", logits(500), name="other")
    fleet = Fleet(bundle, other)

    assert fleet.watch.restore(alarmed.watch.saved()) == ["other: there is no saved state"]

    assert fleet.report("toy").alarm
    assert not fleet.report("other").alarm


def test_another_budget_keeps_the_evidence(tmp_path: Path, bundle: Bundle, alarmed: Fleet) -> None:
    """The budget is the card's, and no calibration is bound to it."""
    folder = tmp_path / "toy"
    stricter = referenced(folder, logits(2000), gate=0.5, card="[monitoring]\nalarm_every = 100000\n")
    fleet = Fleet(stricter)

    assert fleet.watch.restore(alarmed.watch.saved()) == []

    before, after = alarmed.report().detectors[0], fleet.report().detectors[0]
    assert after.evidence == pytest.approx(before.evidence / 10)
    assert after.alarm
