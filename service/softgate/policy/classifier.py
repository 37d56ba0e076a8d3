"""
The use case: rows in, predictions out. Protocols call only this.

A thin shell: it runs a model's graph on threads of its own or on the event loop, merges what has queued up into one
batch, has it scored and decided in one go, and counts it.
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softgate.errors import InvalidInput, NotReady, ShapeMismatch, TooManyRows
from softgate.policy.batch import Batch, Part, Query
from softgate.policy.decision import decide, decide_labels, profile_row, routing
from softgate.policy.label_keys import LabelKeys
from softgate.policy.monitor.counts import Monitor
from softgate.policy.one_row import OneRow
from softgate.policy.placement import cheapest, is_short, most_runs, n_tried, side_by_side, started
from softgate.policy.readout import Readout, read_out, unanswered
from softgate.policy.scoring import MOST_RANKED, Shown, laid_out, score, show
from softgate.runtime.admission import Admission
from softgate.runtime.batcher import Batcher
from softgate.runtime.card import AUTO, LOOP, MIXED, THREAD
from softgate.runtime.jobs import Job
from softgate.runtime.repository import Model
from softgate.types import Predictions, Reason, Rows, View

EVERYTHING = View()
# Up to so many rows of a batch, counting them one by one is faster than numpy's calls, measured.
FEW_ROWS = 10


class Classifier:
    """One version of one model, ready to answer."""

    def __init__(self, model: Model, monitor: Monitor, *, clock: Callable[[], float], max_rows: int) -> None:
        card, calibration = model.bundle.card, model.bundle.calibration
        self.model = model
        self.name, self.version = model.bundle.name, model.bundle.version
        self.labels = model.bundle.labels
        self.calibration_id = None if calibration is None else calibration.id
        self.temperature, self._bias = laid_out(calibration)
        self.routing = routing(card.routing, calibration, self.labels, multi_label=card.multi_label)
        self.degrades = card.routing.degraded
        """Whether a protocol that tells decisions tells some where the model cannot answer."""
        self._decide = decide_labels if card.multi_label else decide
        self.monitor = monitor
        self._activation = card.activation
        self.names = np.array(self.labels, dtype=object)
        """The labels, to be looked up by many columns at once."""
        self.keys = LabelKeys(self.labels) if len(self.labels) > MOST_RANKED else None
        self.columns = {label: column for column, label in enumerate(self.labels)}
        self.one_row = OneRow.fitting(
            activation=card.activation,
            temperature=self.temperature,
            bias=self._bias,
            routing=self.routing,
            names=self.labels,
            with_energy=model.has_energy,
        )
        """The short way for a batch of one row; None where there is none."""
        self._clock = clock
        self.max_rows = max_rows
        """Of one request."""
        self._threads = self._n_threads(1)
        self.runs_on = THREAD if card.serving.run_on == AUTO else card.serving.run_on
        """LOOP, THREAD or MIXED; `place` settles what the card leaves open."""
        self._batcher: Batcher[Query, Part] = Batcher(
            self._answer,
            executor=self._threads,
            clock=clock,
            max_rows=card.serving.max_batch,
            max_delay_seconds=card.serving.max_delay_ms / 1000,
            admission=Admission(
                max_batch=card.serving.max_batch,
                max_queue=card.serving.max_queue,
                max_seconds=card.serving.max_queue_ms / 1000,
                seconds_per_row=model.pace.seconds_per_row,
            ),
            depth=monitor.counts["queue_rows"],
        )
        self.parallel_runs = 1
        """How many runs of the graph may be under way at a time; `place` settles it."""
        self._run_on(self.runs_on)

    def check(self, values: Sequence[object]) -> Rows:
        """The rows of a request, decoded and not yet trusted. Raises InvalidInput."""
        self.check_number(len(values))
        return self.model.input.check(values)

    def check_tensors(self, tensors: Sequence[NDArray[Any]]) -> Rows:
        """The same of arrays, one for each of the input's tensors, of its type and shape. Raises InvalidInput."""
        self.check_number(len(tensors[0]))
        return self.model.input.check_tensors(tensors)

    def check_number(self, n_rows: int) -> None:
        """Of the rows of a request, before anything is made of them. Raises ShapeMismatch and TooManyRows."""
        if n_rows == 0:
            raise ShapeMismatch("Expected at least 1 row; got none.")
        if n_rows > self.max_rows:
            raise TooManyRows(f"Expected at most {self.max_rows} rows per request; got {n_rows}.")

    async def predict(
        self, rows: Rows, *, profile: str | None = None, counted: bool = True, expires_at: float = math.inf
    ) -> Predictions:
        """
        Scored, decided and, unless it is no traffic, counted.

        Raises UnknownProfile, Overloaded, EngineFailed and, by the clock at `expires_at`, DeadlineExceeded.
        """
        query = Query(rows, profile_row(self.routing, profile), counted=counted)
        part = await self._batcher.submit(query, n_rows=len(rows), group=_group(rows), expires_at=expires_at)
        return part.predictions

    def admit(self, *, seconds_left: float) -> None:
        """Whether a request would be taken, before anything is made of its body. Raises Overloaded."""
        self._batcher.admit(seconds_left=seconds_left)

    def put(
        self,
        rows: Rows,
        done: Callable[[Part | BaseException], None],
        *,
        profile: str | None,
        counted: bool,
        view: View | None = None,
        expires_at: float = math.inf,
    ) -> Job[Query, Part]:
        """
        The same for a caller who is called back, always later, on the event loop. `done` must not raise.

        What has not begun to run when the clock says `expires_at` gets DeadlineExceeded. `view`: what the answer
        shows, where it tells nothing else.
        """
        query = Query(rows, profile_row(self.routing, profile), counted=counted, view=view)
        return self._batcher.put(query, n_rows=len(rows), group=_group(rows), done=done, expires_at=expires_at)

    def predict_now(self, rows: Rows, *, profile: str | None = None) -> Predictions:
        """The same for a caller without an event loop, on the caller's thread; nothing is counted."""
        return self.replay(self.model.logits(rows), profile=profile)

    def replay(self, logits: NDArray[np.floating], *, profile: str | None = None) -> Predictions:
        """
        What `predict` makes of rows of these logits, shape (n_rows, n_classes); the graph is not run.

        Any float type that holds them exactly will do: scores are float64 either way. Raises UnknownProfile.
        """
        return self.decided(logits, profile_row(self.routing, profile))

    def decided(self, logits: NDArray[np.floating], profile: NDArray[np.intp] | int) -> Predictions:
        """`profile`: the row of the threshold table, of each row or of all."""
        scores = score(
            logits,
            activation=self._activation,
            temperature=self.temperature,
            bias=self._bias,
            with_energy=self.model.has_energy,
        )
        profiles = profile if isinstance(profile, np.ndarray) else np.full(len(logits), profile, dtype=np.intp)
        return Predictions(scores, self._decide(scores, self.routing, profiles))

    def show(self, predictions: Predictions, view: View = EVERYTHING) -> Shown:
        """Raises InvalidInput for a view that labels which may hold at once do not have."""
        if predictions.decisions.held is not None and (view.top_p is not None or view.select != "argmax"):
            raise InvalidInput(
                f"Expected neither top_p nor select for {self.name}: "
                "its labels may hold at the same time, so their probabilities do not add up to 1."
            )
        return show(predictions.scores, view, activation=self._activation, bias=self._bias)

    def read_out(self, predictions: Predictions, view: View = EVERYTHING) -> Readout:
        """Raises what `show` raises."""
        return read_out(
            self.show(predictions, view),
            predictions.decisions,
            fitted=predictions.scores.probabilities,
            names=self.names,
            routing=self.routing,
        )

    def fall_back(self, n_rows: int, reason: Reason) -> Readout:
        """Rows that the graph has not answered, sent to the fallback for this reason, and counted."""
        readout = unanswered(n_rows, reason, multi_label=self.model.bundle.card.multi_label)
        self.monitor.readout(readout)
        return readout

    def shares_ranking(self, view: View) -> bool:
        """Whether what `view` shows are the leading labels of what is shown without it."""
        return view.cuts_only and (view.top_k is None or len(self.labels) <= MOST_RANKED)

    def close(self) -> None:
        """Turn away what waits, let the runs under way end, then the threads. On the event loop, if there is one."""
        self._batcher.abandon(NotReady(f"{self.name} is being stopped."))
        self._threads.shutdown()

    def place(self, *, threads: int) -> None:
        """
        Run where it costs least, and as many runs side by side as pay, unless the card says so.

        `threads`: how many there may be for all runs together. Measured, so before the first request.
        """
        model, card = self.model, self.model.bundle.card

        def decided(rows: Rows) -> None:
            self.decided(model.logits(rows), 0)

        if card.serving.run_on == AUTO and not model.doubts:
            self._run_on(cheapest(model.input, card, decided, clock=self._clock))
        if self.runs_on == LOOP:
            return
        n_runs, pace = card.serving.parallel_runs or 1, 1.0
        samples = None if model.doubts else model.input.samples(n_tried(model.pace, card.serving.max_batch))
        if not card.serving.parallel_runs and samples is not None:
            run = partial(decided, model.input.check(samples))
            n_runs, pace = side_by_side(most_runs(threads, model.pace.threads), run, clock=self._clock)
        self._threads, self.parallel_runs = started(self._n_threads, n_runs)
        self._batcher.run_side_by_side(self.parallel_runs, self._threads, pace=pace)

    def _n_threads(self, n: int) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(n, thread_name_prefix=f"softgate-{self.name}")

    def _run_on(self, where: str) -> None:
        self.runs_on = where
        if where == LOOP:
            self._batcher.stay_on_loop()
        elif where == MIXED:
            self._batcher.keep_short_on_loop(_is_short_and_single)

    def _answer(self, jobs: Sequence[Job[Query, Part]]) -> Sequence[Part | Exception]:
        started = self._clock()
        try:
            rows = Rows.join([job.payload.rows for job in jobs])
            logits = self.model.logits(rows)
        except Exception as exc:
            if len(jobs) == 1:
                return [exc]
            # A row that the graph chokes on fails alone, whatever the error says: by halves its companions go free.
            middle = len(jobs) // 2
            return [*self._answer(jobs[:middle]), *self._answer(jobs[middle:])]
        ended = self._clock()
        self.monitor.batch(
            rows=len(rows),
            graph_seconds=ended - started,
            queue_seconds=[started - job.queued_at for job in jobs],
            ended=ended,
        )
        return self._counted(jobs, logits)

    def _counted(self, jobs: Sequence[Job[Query, Part]], logits: NDArray[np.floating]) -> Sequence[Part]:
        profiles = [job.payload.profile for job in jobs]
        one_profile = len(set(profiles)) == 1
        profile = profiles[0] if one_profile else np.repeat(profiles, [job.n_rows for job in jobs])
        batch = Batch(self, logits, profile)
        parts, start = [], 0
        for job in jobs:
            parts.append(Part(batch, start, start + job.n_rows))
            start += job.n_rows
        if all(job.payload.counted for job in jobs):
            if len(logits) <= FEW_ROWS and len(self.labels) <= MOST_RANKED:
                self.monitor.readout(batch.readout)
            elif (view := jobs[0].payload.view) is not None and (readout := batch.shorten(view)) is not None:
                self.monitor.readout(readout)
            else:
                self.monitor.predictions(batch.predictions)
        else:
            for job, part in zip(jobs, parts, strict=True):
                if job.payload.counted:
                    self.monitor.predictions(part.predictions)
        return parts


def _is_short_and_single(query: Query) -> bool:
    return is_short(query.rows)


def _group(rows: Rows) -> object:
    """Rows that may share a run: texts with texts, arrays with arrays of their width and type."""
    return (rows.values.shape[1:], rows.values.dtype) if isinstance(rows.values, np.ndarray) else None
