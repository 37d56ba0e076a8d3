"""Lets the watch step once a second, logs what it finds and saves what a restart needs."""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from softgate.policy.monitor.board import Board
from softgate.policy.monitor.watch import RAISED, Event, Watch
from softgate.runtime.state_file import StateFile

logger = logging.getLogger("softgate.monitor")

STEP_SECONDS = 1.0
# Evidence of so many seconds is lost when the machine dies; an alarm is saved at once.
SAVE_SECONDS = 10.0


class Watcher:
    """Belongs to one process: the supervisor, or the worker that is alone."""

    def __init__(self, board: Board, state_dir: Path | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: the one the board was made with. Raises StartupFailed where the folder cannot be used."""
        self._board = board
        self._clock = clock
        self._watch = Watch(board)
        self._file = None if state_dir is None else StateFile(state_dir)
        self._stepped = self._saved_at = clock()
        self._saved: Mapping[str, Any] = {}
        # What goes wrong once a second is logged once.
        self._unsaved = self._failing = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._tell_unwatched()
        self._restore()

    def tick(self) -> None:
        """Step if it is time; never raises, for the process that calls it has more to do."""
        now = self._clock()
        if now - self._stepped < STEP_SECONDS:
            return
        self._stepped = now
        try:
            events = self._watch.step(now=now, unix_time=time.time())
            _log(events)
            if events or now - self._saved_at >= SAVE_SECONDS:
                self._save(now)
        except Exception:
            if not self._failing:
                logger.exception("the monitor's step failed")
            self._failing = True
        else:
            self._failing = False

    def follow(self, board: Board) -> None:
        """Go on with a board that follows ours. Not while there is a thread."""
        self._board = board
        self._watch.follow(board)

    def start(self) -> None:
        """Tick on a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="softgate-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Step and save for the last time."""
        self._stop.set()
        if self._thread is not None:
            # Two that save at once would write into one file.
            self._thread.join()
        self._stepped = -math.inf
        self.tick()
        self._save(self._clock())
        if self._file is not None:
            self._file.close()

    def _run(self) -> None:
        while not self._stop.wait(STEP_SECONDS / 4):
            self.tick()

    def _tell_unwatched(self) -> None:
        for name, watched in self._board.watched.items():
            if watched.reference is not None and not watched.detectors:
                logger.warning(
                    "drift is not watched",
                    extra={"model": name, "reason": "its reference has other edges; run softgate calibrate again"},
                )

    def _restore(self) -> None:
        if not any(watched.detectors for watched in self._board.watched.values()):
            return
        if self._file is None:
            logger.info("drift detectors start afresh", extra={"reason": "no --state-dir is given"})
            return
        saved, reason = self._file.read()
        if reason is not None:
            logger.warning("drift detectors start afresh", extra={"reason": reason})
            return
        for why in self._watch.restore(saved):
            logger.warning("drift detectors start afresh", extra={"reason": why})
        self._saved = self._watch.saved()

    def _save(self, now: float) -> None:
        if self._file is None:
            return
        self._saved_at = now
        values = self._watch.saved()
        if values == self._saved:
            return
        try:
            self._file.write(values)
        except (OSError, ValueError) as exc:
            self._board.count_write_failure()
            if not self._unsaved:
                logger.error("the monitor's state is not saved", extra={"reason": str(exc)})
            self._unsaved = True
        else:
            self._saved, self._unsaved = values, False


def _log(events: Sequence[Event]) -> None:
    for event in events:
        level = logging.WARNING if event.name == RAISED else logging.INFO
        logger.log(level, event.name, extra=dict(event.fields))
