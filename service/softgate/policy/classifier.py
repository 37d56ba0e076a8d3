"""
The use case: rows in, predictions out. Protocols call only this.

`score` and `show` are pure; `Classifier` is the thin shell that runs a model's graph on a thread of its own, merges
what has queued up into one batch, decides it in one vectorised call and counts it.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from softgate.errors import InvalidInput, ShapeMismatch, TooManyRows
from softgate.numerics.activations import ACTIVATIONS
from softgate.numerics.confidence import energy, entropy, entropy_of_labels, margin, max_probability
from softgate.numerics.selection import sample, top_k, top_p
from softgate.numerics.temperature import apply_temperature
from softgate.policy.decision import decide, decide_labels, profile_row, routing
from softgate.policy.monitor.counts import Monitor
from softgate.runtime.batcher import Batcher, Job
from softgate.runtime.calibration import Calibration
from softgate.runtime.card import AUTO, LOOP, MULTI_LABEL, THREAD
from softgate.runtime.repository import Model
from softgate.types import Floats, Indices, Predictions, Rows, Scores, View

EVERYTHING = View()
# Of a full batch, decided; a thread's wake-up and hand-over take about as long.
LONGEST_ON_LOOP_SECONDS = 500e-6
N_TRIALS = 5


@dataclass(frozen=True, slots=True)
class Query:
    """One request's rows, and the row of the threshold table they are decided by."""

    rows: Rows
    profile: int
    counted: bool
    """Whether its answers count as traffic: labels, confidence, decisions."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Predictions as a request asked to see them."""

    scores: Scores
    """At the temperature asked for; `label` and `confidence` of the class selected."""
    order: Indices
    """Shape (n_rows, n_shown): classes, most probable first."""
    keep: Indices
    """Shape (n_rows,): how many of `order` to show."""


def laid_out(calibration: Calibration | None) -> tuple[float | Floats, Floats | None]:
    """The temperature, or one per label, and the bias, as `score` takes them."""
    if calibration is None:
        return 1.0, None
    temperature, bias = calibration.temperature, calibration.bias
    return (
        np.array(temperature) if isinstance(temperature, tuple) else temperature,
        None if bias is None else np.array(bias),
    )


def scale(logits: NDArray[np.floating], *, temperature: float | Floats, bias: Floats | None) -> Floats:
    """What the activation is of: z / T + b, shape (n_rows, n_classes)."""
    # A float64 logit may be finite and yet leave the range when a temperature below 1 divides it.
    with np.errstate(over="ignore"):
        scaled = apply_temperature(logits, temperature)
        if bias is not None:
            scaled += bias
    return scaled


def score(
    logits: NDArray[np.floating],
    *,
    activation: str,
    temperature: float | Floats,
    with_energy: bool,
    bias: Floats | None = None,
) -> Scores:
    """Scores of a batch of logits, shape (n_rows, n_classes), at a temperature, or one per label, and with a bias."""
    scaled = scale(logits, temperature=temperature, bias=bias)
    finite = np.all(np.isfinite(scaled), axis=1)
    # A row that is not finite is decided by that alone; zeros keep its NaN out of the arithmetic.
    safe = logits
    if not finite.all():
        safe, scaled = (np.where(finite[:, None], values, 0) for values in (logits, scaled))
    familiarity = None
    if with_energy:
        assert not isinstance(temperature, np.ndarray), "Labels with a temperature each have no energy in common."
        # Of the raw logits: a bias says how common a class is, not how familiar a row.
        familiarity = energy(safe, temperature)
    probabilities = ACTIVATIONS[activation](scaled)
    return Scores(
        logits=logits,
        finite=finite,
        probabilities=probabilities,
        label=probabilities.argmax(axis=1),
        confidence=max_probability(probabilities),
        margin=margin(probabilities),
        entropy=(entropy_of_labels if activation == MULTI_LABEL else entropy)(probabilities),
        energy=familiarity,
    )


def show(scores: Scores, view: View, *, activation: str, bias: Floats | None = None) -> Shown:
    """Cut and select: temperature first, then top_k, then top_p. The cut is not renormalised."""
    if view.temperature is not None:
        warm = score(scores.logits, activation=activation, temperature=view.temperature, bias=bias, with_energy=False)
        # Energy is a score at the fitted temperature, whatever the answer shows.
        scores = replace(warm, energy=scores.energy)
    probabilities = scores.probabilities
    n_classes = probabilities.shape[1]
    order = top_k(probabilities, n_classes if view.top_k is None else view.top_k)
    keep = np.full(len(order), order.shape[1], dtype=np.intp)
    if view.top_p is None and view.select == "argmax":
        return Shown(scores, order, keep)
    ranked = np.take_along_axis(probabilities, order, axis=1)
    if view.top_p is not None:
        keep = top_p(ranked, view.top_p)
    if view.select == "sample":
        position = sample(ranked, keep, seed=view.seed or 0)[:, None]
        scores = replace(
            scores,
            label=np.take_along_axis(order, position, axis=1)[:, 0],
            confidence=np.take_along_axis(ranked, position, axis=1)[:, 0],
        )
    return Shown(scores, order, keep)


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
        self._decide = decide_labels if card.multi_label else decide
        self.monitor = monitor
        self._activation = card.activation
        self._clock = clock
        self._max_rows = max_rows
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"softgate-{self.name}")
        self.runs_on = THREAD if card.serving.run_on == AUTO else card.serving.run_on
        """LOOP or THREAD; `place` settles what the card leaves open."""
        self._batcher: Batcher[Query, Predictions] = Batcher(
            self._answer,
            executor=self._thread,
            clock=clock,
            max_rows=card.serving.max_batch,
            max_queue=card.serving.max_queue,
            max_delay_seconds=card.serving.max_delay_ms / 1000,
            depth=monitor.counts["queue_rows"],
        )
        if self.runs_on == LOOP:
            self._batcher.stay_on_loop()

    def check(self, values: Sequence[object]) -> Rows:
        """The rows of a request, decoded and not yet trusted. Raises InvalidInput."""
        if not values:
            raise ShapeMismatch("Expected at least 1 row; got none.")
        if len(values) > self._max_rows:
            raise TooManyRows(f"Expected at most {self._max_rows} rows per request; got {len(values)}.")
        return self.model.input.check(values)

    async def predict(self, rows: Rows, *, profile: str | None = None, counted: bool = True) -> Predictions:
        """Scored, decided and, unless it is no traffic, counted. Raises UnknownProfile, Overloaded and EngineFailed."""
        query = Query(rows, profile_row(self.routing, profile), counted)
        return await self._batcher.submit(query, n_rows=len(rows), group=_group(rows))

    def predict_now(self, rows: Rows, *, profile: str | None = None) -> Predictions:
        """The same for a caller without an event loop, on the caller's thread; nothing is counted."""
        return self.replay(self.model.logits(rows), profile=profile)

    def replay(self, logits: NDArray[np.floating], *, profile: str | None = None) -> Predictions:
        """
        What `predict` makes of rows of these logits, shape (n_rows, n_classes); the graph is not run.

        Any float type that holds them exactly will do: scores are float64 either way. Raises UnknownProfile.
        """
        return self._decided(logits, np.full(len(logits), profile_row(self.routing, profile)))

    def show(self, predictions: Predictions, view: View = EVERYTHING) -> Shown:
        """Raises InvalidInput for a view that labels which may hold at once do not have."""
        if predictions.decisions.held is not None and (view.top_p is not None or view.select != "argmax"):
            raise InvalidInput(
                f"Expected neither top_p nor select for {self.name}: "
                "its labels may hold at the same time, so their probabilities do not add up to 1."
            )
        return show(predictions.scores, view, activation=self._activation, bias=self._bias)

    def close(self) -> None:
        """Let the run under way end, then end the thread."""
        self._thread.shutdown()

    def place(self) -> None:
        """
        Run on the loop, unless the card says otherwise, if that keeps it for no longer than a thread takes to be woken.

        Measured, so before the first request. Texts and images vary in length, and a long one would hold up everybody.
        """
        card = self.model.bundle.card
        samples = self.model.input.samples(card.serving.max_batch) if card.input.kind == "tensor" else None
        if card.serving.run_on != AUTO or samples is None or self.model.doubts:
            return
        rows = self.model.input.check(samples)
        taken = []
        for _ in range(N_TRIALS):
            started = self._clock()
            self._decided(self.model.logits(rows), np.zeros(len(rows), dtype=np.intp))
            taken.append(self._clock() - started)
        # A clock that stands still has measured nothing.
        if 0 < min(taken) <= LONGEST_ON_LOOP_SECONDS:
            self.runs_on = LOOP
            self._batcher.stay_on_loop()

    def _answer(self, jobs: Sequence[Job[Query, Predictions]]) -> Sequence[Predictions | Exception]:
        started = self._clock()
        try:
            rows = Rows.join([job.payload.rows for job in jobs])
            logits = self.model.logits(rows)
        except Exception as exc:
            # A row that the graph chokes on fails alone: its companions are run again without it.
            return [exc] if len(jobs) == 1 else [answer for job in jobs for answer in self._answer([job])]
        graph_seconds = self._clock() - started
        sizes = [job.n_rows for job in jobs]
        predictions = self._decided(logits, np.repeat([job.payload.profile for job in jobs], sizes))
        self.monitor.batch(
            rows=len(rows), graph_seconds=graph_seconds, queue_seconds=[started - job.queued_at for job in jobs]
        )
        stops = np.cumsum(sizes).tolist()
        parts = [predictions.part(stop - size, stop) for size, stop in zip(sizes, stops, strict=True)]
        if all(job.payload.counted for job in jobs):
            self.monitor.predictions(predictions)
        else:
            for job, part in zip(jobs, parts, strict=True):
                if job.payload.counted:
                    self.monitor.predictions(part)
        return parts

    def _decided(self, logits: NDArray[np.floating], profile: NDArray[np.intp]) -> Predictions:
        scores = score(
            logits,
            activation=self._activation,
            temperature=self.temperature,
            bias=self._bias,
            with_energy=self.model.has_energy,
        )
        return Predictions(scores, self._decide(scores, self.routing, profile))


def _group(rows: Rows) -> object:
    """Rows that may share a run: texts with texts, arrays with arrays of their width and type."""
    return (rows.values.shape[1:], rows.values.dtype) if isinstance(rows.values, np.ndarray) else None
