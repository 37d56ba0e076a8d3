"""
The models served, exchanged for others while requests go on.

Read anew → tried in a process of its own → loaded by new workers, which warm them and replay the golden rows → when all
are ready, in force: the new workers join the socket, and the old ones leave it and end what they have under way. Every
worker serves one set of bundles from its start to its end, so every answer is of one version and one calibration. Until
the last step nothing has changed for anybody, and whatever goes wrong before is told and forgotten.
"""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from softgate.errors import ReloadFailed, SoftgateError
from softgate.policy.monitor.board import Board
from softgate.runtime.contained import Limits
from softgate.settings import Settings
from softgate.web.children import Children
from softgate.web.crew import Crew, Generation, Worker
from softgate.web.metrics.layout import OUTCOMES, layout, web_counts
from softgate.web.reloads import FAILURE, RELOAD, ROLLBACK, Reloads
from softgate.web.staging import Lineup, Trial, changed, fingerprint, staged, wanted

logger = logging.getLogger("softgate.web")

OK, FAILED, ROLLED_BACK = OUTCOMES
# Those that leave take their time; meanwhile others may come.
GENERATIONS = 4
# How many sets of models, as large as the first, the counts have room for: those of the past keep theirs.
ROOM = 64
NOTHING = Lineup((), {})


class Exchange:
    def __init__(
        self,
        board: Board,
        settings: Settings,
        *,
        folder: Path,
        crew: Crew,
        children: Children,
        reloads: Reloads,
        in_force: Callable[[Board], None],
    ) -> None:
        """`in_force` is called with the board of models that have taken over."""
        self.current = Generation(board, range(settings.workers))
        self.coming: Generation | None = None
        self._leaving: Generation | None = None
        """Told to leave the socket, and perhaps still on it."""
        self._settings = settings
        self._folder = folder
        self._crew = crew
        self._children = children
        self._reloads = reloads
        self._in_force = in_force
        self._own = web_counts(board.counts, worker=board.counts.n_rows - 1)
        self._orders: list[str] = []
        self._lineup = NOTHING
        self._previous: Lineup | None = None
        self._trial: Trial | None = None
        self._outcome = OK
        self._said = ""
        """Why a coming worker failed, as it says."""
        self._until = 0.0
        """When coming workers are no longer waited for."""
        self._looked = time.monotonic()
        self._seen = self._served = fingerprint(folder)

    def order(self, what: str) -> None:
        self._orders.append(what)

    @property
    def is_under_way(self) -> bool:
        return self._trial is not None or self.coming is not None or self._leaving is not None

    def step(self) -> None:
        """Go on with what is under way, or begin with what is ordered."""
        self._take_orders()
        self._watch()
        if self.coming is not None:
            if all(self.coming.counts(row).is_ready for row in self.coming.rows):
                self._exchange(self.coming)
            elif time.monotonic() > self._until:
                self._fail(f"The new workers were not ready within {self._settings.probe_seconds:g} s.")
        elif self._leaving is not None:
            # Until then a client that comes after this reload's answer could still be taken by one of the old.
            if all(worker.counts.has_left for worker in self._crew.of(self._leaving).values()):
                self._leaving = None
                self._end(self._outcome)
        elif self._trial is None and self._orders and self._free_rows() is not None:
            self._begin()

    def stop(self) -> None:
        """The server ends: whoever waits for a reload is told so."""
        if self._trial is not None:
            self._trial.end()
        if self._leaving is not None:
            self._end(self._outcome)
        elif self._reloads.begun != self._reloads.ended:
            self._fail("The server is being stopped.")

    def buried(self, process: int, worker: Worker | None, exit_code: int) -> None:
        """Notes the death of a process that is none of the current generation."""
        if self._trial is not None and process == self._trial.process:
            reason, self._trial = self._trial.reason(exit_code), None
            self._load() if reason is None else self._fail(reason)
        elif worker is not None and worker.generation is self.coming:
            self._take_orders()
            self._fail(self._said or f"A new worker ended with exit code {exit_code}.")

    def _take_orders(self) -> None:
        for order in self._reloads.take_orders():
            if order.startswith(FAILURE):
                self._said = order.removeprefix(FAILURE)
            else:
                self._orders.append(order)

    def _watch(self) -> None:
        """A change that has come to rest is an order: files that are being written are not read half."""
        now, every = time.monotonic(), self._settings.watch_seconds
        if not every or now - self._looked < every:
            return
        self._looked = now
        found = fingerprint(self._folder)
        if found != self._served and found == self._seen:
            self._served = found
            self._orders.append(RELOAD)
        self._seen = found

    def _begin(self) -> None:
        self._reloads.begin()
        # Whoever orders and finds that nothing has begun yet may count on being among these.
        self._take_orders()
        orders, self._orders = self._orders, []
        self._said, self._outcome = "", ROLLED_BACK if ROLLBACK in orders else OK
        try:
            if self._outcome == ROLLED_BACK:
                self._roll_back()
            else:
                self._stage(orders)
        except SoftgateError as exc:
            self._fail(str(exc), code=exc.code)
        except Exception as exc:
            # Whatever is wrong with the folder, the supervisor goes on.
            logger.exception("the models cannot be read")
            self._fail(f"The models cannot be read: {exc}.")

    def _roll_back(self) -> None:
        if self._previous is None:
            raise ReloadFailed("Nothing was served before.")
        self._lineup = self._previous
        self._load()

    def _stage(self, orders: Sequence[str]) -> None:
        served = _lineup(self.current)
        self._lineup = staged(self._folder, served, wanted(orders), pinned=self._settings.models_digest)
        new = changed(self._lineup.bundles, served.bundles)
        if not new:
            if len(self._lineup.bundles) == len(served.bundles):
                self._end(OK)
            else:
                self._load()
            return
        limits = Limits(memory_bytes=self._settings.probe_memory_mb * 2**20, seconds=self._settings.probe_seconds)
        self._trial = Trial(self._children, new, limits)

    def _load(self) -> None:
        rows, board, lineup = self._free_rows(), self.current.board, self._lineup
        assert rows is not None, "Looked for before anything was begun."
        try:
            counts = board.counts.following(layout(lineup.bundles, follows=board.counts.layout))
        except ValueError as exc:
            self._fail(f"There is no room for more counts; start the server again. {exc}")
            return
        self.coming = Generation(board.following(lineup.bundles, counts, unloaded=lineup.unloaded), rows)
        self._until = time.monotonic() + self._settings.probe_seconds
        for row in rows:
            self.coming.counts(row).vacate()
            self._crew.start(self.coming, row)

    def _free_rows(self) -> range | None:
        taken, n = {worker.row for worker in self._crew.workers.values()}, self._settings.workers
        blocks = (range(first, first + n) for first in range(0, GENERATIONS * n, n))
        return next((rows for rows in blocks if taken.isdisjoint(rows) and rows != self.current.rows), None)

    def _exchange(self, coming: Generation) -> None:
        leaving, self.current, self.coming = self.current, coming, None
        self._leaving = leaving
        for row in coming.rows:
            coming.counts(row).admit()
        self._crew.dismiss(self._crew.of(leaving))
        self._previous = _lineup(leaving)
        self._in_force(coming.board)

    def _fail(self, reason: str, *, code: str = ReloadFailed.code) -> None:
        if self.coming is not None:
            self._crew.kill(self._crew.of(self.coming))
            self.coming = None
        logger.error("reload failed", extra={"reason": reason})
        self._end(FAILED, code, reason)

    def _end(self, outcome: str, code: str = "", reason: str = "") -> None:
        self._lineup = NOTHING
        self._own.reloaded(outcome)
        self._reloads.end(outcome, code, reason)
        if outcome != FAILED:
            versions = [f"{bundle.name} {bundle.version}" for bundle in self.current.board.bundles]
            logger.info("reloaded", extra={"outcome": outcome, "models": ", ".join(versions)})


def _lineup(generation: Generation) -> Lineup:
    return Lineup(generation.board.bundles, generation.board.unloaded)
