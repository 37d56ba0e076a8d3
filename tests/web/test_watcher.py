"""The shell around the watch: what it logs, what it saves, and that nothing stops it."""

import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphs import linear, write_calibration, write_model
from softgate.policy.monitor.board import Board
from softgate.policy.monitor.watch import Event
from softgate.runtime.counts import Counts
from softgate.runtime.repository import Bundle, read_bundle
from softgate.runtime.state_file import NAME
from softgate.web.metrics.layout import layout
from softgate.web.watcher import SAVE_SECONDS, Watcher
from watched import Fleet, logits, referenced

AFRESH = "drift detectors start afresh"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return referenced(tmp_path_factory.mktemp("model") / "toy", logits(2000))


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict[str, Any]]]:
    """What was logged since the last call, as it would be written."""
    caplog.set_level(logging.INFO, logger="softgate.monitor")

    def taken() -> list[dict[str, Any]]:
        found = [{"level": record.levelname, **vars(record)} for record in caplog.records]
        caplog.clear()
        return found

    return taken


Log = Callable[[], list[dict[str, Any]]]


def messages(log: Log) -> list[str]:
    return [record["message"] for record in log()]


@contextmanager
def watching(fleet: Fleet, state_dir: Path | None) -> Iterator[tuple[Watcher, Clock]]:
    clock = Clock()
    watcher = Watcher(fleet.board, state_dir, clock=clock)
    try:
        yield watcher, clock
    finally:
        watcher.close()


def tick(watcher: Watcher, clock: Clock, seconds: float = 1.0) -> None:
    clock.now += seconds
    watcher.tick()


def saved(folder: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads((folder / NAME).read_text())["model/toy/1"]["detectors"]
    return found


def alarm(fleet: Fleet, *, seed: int = 0) -> None:
    fleet.answer(logits(50, scale=1.0, seed=seed))


def test_it_steps_once_a_second_however_often_it_is_called(bundle: Bundle) -> None:
    fleet = Fleet(bundle)
    with watching(fleet, None) as (watcher, clock):
        fleet.answer(logits(10))

        for _ in range(9):
            tick(watcher, clock, 0.1)
        assert fleet.report().detectors[0].rows == 0
        tick(watcher, clock, 0.2)

        assert fleet.report().detectors[0].rows == 10
        assert fleet.board.updated_at == pytest.approx(time.time(), abs=60)


def test_an_alarm_and_its_acknowledgement_are_logged_with_the_evidence(bundle: Bundle, log: Log) -> None:
    fleet = Fleet(bundle)
    with watching(fleet, None) as (watcher, clock):
        log()
        alarm(fleet)
        tick(watcher, clock)

        (record,) = log()
        assert (record["level"], record["message"]) == ("WARNING", "drift_alarm")
        assert (record["model"], record["version"], record["detector"]) == ("toy", "1", "confidence_falling")
        assert record["evidence"] >= record["budget"] == 20_000
        assert (record["rows"], record["alarms"]) == (50, 1)

        fleet.acknowledge("confidence_falling")
        tick(watcher, clock)

        (record,) = log()
        assert (record["level"], record["message"]) == ("INFO", "drift_acknowledged")
        assert record["detector"] == "confidence_falling"


def test_an_alarm_is_saved_at_once_and_evidence_every_few_seconds(bundle: Bundle, tmp_path: Path) -> None:
    fleet = Fleet(bundle)
    with watching(fleet, tmp_path) as (watcher, clock):
        fleet.answer(logits(5))
        tick(watcher, clock)
        assert not (tmp_path / NAME).exists()

        tick(watcher, clock, SAVE_SECONDS)
        assert saved(tmp_path)["confidence_falling"]["rows"] == 5

        alarm(fleet)
        tick(watcher, clock)
        assert saved(tmp_path)["confidence_falling"]["alarm"] == 1

        fleet.acknowledge("confidence_falling")
        tick(watcher, clock)
        assert saved(tmp_path)["confidence_falling"]["alarm"] == 0


def test_what_has_not_changed_is_not_written_again(bundle: Bundle, tmp_path: Path) -> None:
    fleet = Fleet(bundle)
    with watching(fleet, tmp_path) as (watcher, clock):
        fleet.answer(logits(5))
        tick(watcher, clock, SAVE_SECONDS)
        before = (tmp_path / NAME).stat().st_ino

        for _ in range(5):
            tick(watcher, clock, SAVE_SECONDS)

        assert (tmp_path / NAME).stat().st_ino == before


def test_rows_of_the_last_moment_are_in_what_is_saved_at_the_end(bundle: Bundle, tmp_path: Path) -> None:
    fleet = Fleet(bundle)
    with watching(fleet, tmp_path) as (watcher, clock):
        tick(watcher, clock)
        fleet.answer(logits(7))

    assert saved(tmp_path)["confidence_falling"]["rows"] == 7


def test_a_restart_keeps_alarm_and_evidence(bundle: Bundle, tmp_path: Path, log: Log) -> None:
    first, second = Fleet(bundle), Fleet(bundle)
    with watching(first, tmp_path) as (watcher, clock):
        assert [(record["message"], record["reason"]) for record in log()] == [(AFRESH, "there is no saved state")]
        alarm(first)
        tick(watcher, clock)
        first.answer(logits(5, scale=1.0, seed=3))

    with watching(second, tmp_path):
        assert log()[1:] == []
        assert second.report().detectors == first.report().detectors
    assert second.report().alarm
    assert second.report().detectors[0].evidence > 0


def test_without_a_folder_the_fresh_start_is_logged(bundle: Bundle, log: Log) -> None:
    with watching(Fleet(bundle), None):
        (record,) = log()

    assert (record["level"], record["message"], record["reason"]) == ("INFO", AFRESH, "no --state-dir is given")


def test_a_broken_state_is_logged_and_the_detectors_start_afresh(bundle: Bundle, tmp_path: Path, log: Log) -> None:
    for content, reason in (
        (b"{", f"{tmp_path / NAME} is not JSON"),
        (b'{"model/toy/1": []}', "toy: the saved state has another form"),
        (b'{"model/toy/1": {"calibration": "x"}}', "toy: the saved state is of another calibration"),
    ):
        (tmp_path / NAME).write_bytes(content)
        fleet = Fleet(bundle)
        with watching(fleet, tmp_path) as (watcher, clock):
            (record,) = log()
            assert (record["level"], record["message"], record["reason"]) == ("WARNING", AFRESH, reason)
            alarm(fleet)
            tick(watcher, clock)
            assert saved(tmp_path)["confidence_falling"]["alarms"] == 1
        log()


def test_models_without_detectors_say_nothing(tmp_path: Path, log: Log) -> None:
    plain = read_bundle(write_model(tmp_path / "plain", linear(np.eye(4, dtype=np.float32))))
    with watching(Fleet(plain), tmp_path / "state") as (watcher, clock):
        tick(watcher, clock, SAVE_SECONDS)

        assert log() == []
        assert not (tmp_path / "state" / NAME).exists()


def test_a_reference_that_cannot_be_bet_against_is_told(tmp_path: Path, log: Log) -> None:
    folder = write_model(tmp_path / "toy", linear(np.eye(4, dtype=np.float32)))
    held = {"upper_edges": [0.5, 1.0], "counts": [3, 4, 0], "mean": 0.6, "standard_deviation": 0.2}
    mix = {"labels": [7, 0, 0, 0], "routes": [7], "decisions": {"route confident": 7}}
    write_calibration(folder, reference={"rows": 7, "label_confidence": held, **mix})

    bundle = read_bundle(folder)
    Watcher(Board([bundle], Counts(layout([bundle]), n_rows=1), now=0.0), None)

    (record,) = log()
    assert (record["level"], record["message"], record["model"]) == ("WARNING", "drift is not watched", "toy")


def test_a_folder_that_vanishes_is_counted_logged_once_and_used_again_when_it_is_back(
    bundle: Bundle, tmp_path: Path, log: Log
) -> None:
    fleet, folder = Fleet(bundle), tmp_path / "state"
    with watching(fleet, folder) as (watcher, clock):
        shutil.rmtree(folder)
        log()
        for seed in range(3):
            fleet.answer(logits(5, seed=seed))
            tick(watcher, clock, SAVE_SECONDS)

        assert messages(log) == ["the monitor's state is not saved"]
        assert fleet.board.write_failures == 3
        assert "softgate_monitor_state_write_failures_total 3" in fleet.scrape()
        folder.mkdir()
        tick(watcher, clock, SAVE_SECONDS)
        assert saved(folder)["confidence_falling"]["rows"] == 15
        assert fleet.board.write_failures == 3
        shutil.rmtree(folder)
        fleet.answer(logits(5))
        tick(watcher, clock, SAVE_SECONDS)
        assert messages(log) == ["the monitor's state is not saved"]


class Failing:
    """A watch whose step fails until it is mended."""

    def __init__(self) -> None:
        self.mended = False
        self.steps = 0

    def step(self, *, now: float, unix_time: float) -> Sequence[Event]:
        self.steps += 1
        if not self.mended:
            raise RuntimeError("out of luck")
        return []

    def saved(self) -> Mapping[str, Any]:
        return {}


def test_a_step_that_fails_is_logged_once_and_tried_again(bundle: Bundle, log: Log) -> None:
    """Whoever calls has more to do: the supervisor would leave its workers alone."""
    with watching(Fleet(bundle), None) as (watcher, clock):
        failing = Failing()
        watcher._watch = failing  # type: ignore[assignment]
        log()
        for _ in range(3):
            tick(watcher, clock)
        (record,) = log()
        assert (record["level"], record["message"]) == ("ERROR", "the monitor's step failed")
        assert "out of luck" in str(record["exc_info"])

        failing.mended = True
        tick(watcher, clock)
        failing.mended = False
        tick(watcher, clock)

        assert messages(log) == ["the monitor's step failed"]
        assert failing.steps == 5


def test_a_log_that_fails_stops_nothing(bundle: Bundle) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.msg == "drift_alarm":
                raise OSError("no log")

    fleet, logger, broken = Fleet(bundle), logging.getLogger("softgate.monitor"), Broken()
    with watching(fleet, None) as (watcher, clock):
        logger.addHandler(broken)
        try:
            alarm(fleet)
            tick(watcher, clock)
        finally:
            logger.removeHandler(broken)
    assert fleet.report().alarm


def test_its_own_thread_ends_before_the_last_save(bundle: Bundle, tmp_path: Path) -> None:
    fleet = Fleet(bundle)
    watcher = Watcher(fleet.board, tmp_path)
    watcher.start()
    fleet.answer(logits(9))

    watcher.close()

    assert "softgate-watch" not in [thread.name for thread in threading.enumerate()]
    assert saved(tmp_path)["confidence_falling"]["rows"] == 9


def test_a_jump_of_the_wall_clock_moves_no_step(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet(bundle)
    with watching(fleet, None) as (watcher, clock):
        tick(watcher, clock)
        monkeypatch.setattr(time, "time", lambda: 0.0)
        fleet.answer(logits(10))
        tick(watcher, clock)

        assert fleet.report().detectors[0].rows == 10
        assert fleet.board.updated_at == 0.0


def test_a_process_that_was_stopped_for_hours_takes_one_step(bundle: Bundle) -> None:
    fleet = Fleet(bundle)
    with watching(fleet, None) as (watcher, clock):
        for seed in range(10):
            fleet.answer(logits(20, seed=seed))
        tick(watcher, clock, 7200.0)

        assert fleet.report().detectors[0].rows == 200
        assert not fleet.report().alarm


def test_a_forked_worker_acknowledges_and_its_parent_s_watch_takes_note(bundle: Bundle) -> None:
    fleet = Fleet(bundle)
    with watching(fleet, None) as (watcher, clock):
        alarm(fleet)
        tick(watcher, clock)
        worker = os.fork()
        if worker == 0:
            on = fleet.report().alarm
            fleet.acknowledge("confidence_falling")
            os._exit(0 if on else 1)
        assert os.waitpid(worker, 0)[1] == 0

        tick(watcher, clock)

        assert not fleet.report().alarm
