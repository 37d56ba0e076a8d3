"""Lines of the checklist that a model's answers tell: to rows made up, golden, extreme, alone and in a batch."""

import resource
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softgate.errors import InvalidInput, SoftgateError
from softgate.numerics.activations import ACTIVATIONS
from softgate.policy.scoring import laid_out, scale, score
from softgate.runtime.repository import Bundle, Model
from softgate.types import ModelFiles
from softgate.workbench import duration
from softgate.workbench.extremes import extreme_rows
from softgate.workbench.graph import GraphFacts, files_beside, graph_facts

OK, WARNING, FAILED = "ok", "warning", "failed"
# A batch adds in another order than a single row does; float32 differs by about 1e-7 per addition.
BATCH_TOLERANCE = 1e-5
LARGE_LOGIT = 1e4
TIMED_BATCHES = (1, 8, 32)
TIMED_SECONDS = 0.3
# Of a variant's probabilities from the original's: above the first a person should look, above the second not serve it.
NOTABLE_DIFFERENCE, LARGE_DIFFERENCE = 0.01, 0.05
CALIBRATE = "Run softgate calibrate on labelled rows that the model has not seen."


@dataclass(frozen=True, slots=True)
class Line:
    check: str
    status: str
    sentence: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """A model folder that loads."""

    bundle: Bundle
    facts: GraphFacts
    model: Model
    samples: Sequence[Any]
    """Made-up rows and golden rows, as a client would send them."""

    def logits(self, rows: Sequence[Any]) -> NDArray[np.floating]:
        return self.model.logits(self.model.input.check(rows))

    def probabilities(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        temperature, bias = laid_out(self.bundle.calibration)
        return ACTIVATIONS[self.bundle.card.activation](scale(logits, temperature=temperature, bias=bias))


def _probabilities(subject: Subject) -> Iterator[Line]:
    logits = subject.logits(subject.samples)
    logits = logits[np.isfinite(logits).all(axis=1)]
    if not len(logits):
        told = f"None of {len(subject.samples)} rows gives numbers: every request would fall back."
        yield Line("probabilities", FAILED, told, "Find out which operator makes the NaN or the infinity.")
        return
    p = subject.probabilities(logits)
    inside = bool(((p >= 0) & (p <= 1)).all())
    adds_up = subject.bundle.card.multi_label or bool((np.abs(p.sum(axis=1) - 1) <= 1e-6).all())
    if not (inside and adds_up):
        yield Line("probabilities", FAILED, "The probabilities of a row leave 0 to 1, or do not add up to 1.")
    else:
        total = "lie in 0 to 1" if subject.bundle.card.multi_label else "lie in 0 to 1 and add up to 1"
        yield Line("probabilities", OK, f"On {len(p)} rows they {total}.")


def _finite(subject: Subject) -> Iterator[Line]:
    rows = extreme_rows(subject.bundle.card.input.kind, subject.samples)
    refused, failed, bad = 0, 0, 0
    for row in rows:
        try:
            bad += not np.isfinite(subject.logits([row])).all()
        except InvalidInput:
            refused += 1
        except SoftgateError:
            failed += 1
    told = f"{len(rows)} extreme and fuzzed rows"
    if failed:
        yield Line("extreme rows", WARNING, f"Of {told} the graph failed on {failed}: such requests get a 500.")
    elif bad:
        yield Line(
            "extreme rows",
            WARNING,
            f"Of {told}, {bad} {'gives' if bad == 1 else 'give'} a NaN or an infinity: such rows fall back.",
        )
    else:
        yield Line(
            "extreme rows", OK, f"{told}: none gives a NaN, {refused} {'is' if refused == 1 else 'are'} refused."
        )


def _large_logits(subject: Subject) -> Iterator[Line]:
    draw = np.random.default_rng(0)
    logits = draw.choice([-LARGE_LOGIT, LARGE_LOGIT, 0.0], size=(64, len(subject.bundle.labels)))
    temperature, bias = laid_out(subject.bundle.calibration)
    scores = score(
        logits,
        activation=subject.bundle.card.activation,
        temperature=temperature,
        bias=bias,
        with_energy=subject.model.has_energy,
    )
    finite = scores.finite.all() and np.isfinite(scores.probabilities).all()
    status = OK if finite else FAILED
    yield Line("extreme logits", status, f"Logits of ±{LARGE_LOGIT:g} {'stay' if finite else 'do not stay'} finite.")


def _batch(subject: Subject) -> Iterator[Line]:
    rows = subject.model.input.check(subject.samples)
    whole = subject.probabilities(_safe(subject.model.logits_together(rows)))
    alone = subject.probabilities(_safe(np.concatenate([subject.logits([row]) for row in subject.samples])))
    worst = float(np.abs(whole - alone).max())
    told = f"A batch of {len(whole)} differs from {len(whole)} single rows by {worst:.1e}"
    if worst > BATCH_TOLERANCE:
        yield Line(
            "batch",
            FAILED,
            f"{told}; wanted at most {BATCH_TOLERANCE:g}.",
            "A row must not depend on its neighbours: look for padding or a normalisation that reaches across rows.",
        )
    else:
        yield Line("batch", OK, f"{told}.")
    if subject.model.fixed_batch is not None:
        yield Line(
            "dynamic batch",
            WARNING,
            f"The graph takes {subject.model.fixed_batch} rows at a time, so requests do not share a run.",
            "Export it with a batch axis that may vary.",
        )


def _cost(subject: Subject) -> Iterator[Line]:
    parts = []
    for n_rows in TIMED_BATCHES:
        rows = subject.model.input.check((list(subject.samples) * n_rows)[:n_rows])
        parts.append(f"{n_rows}: {duration.shown(_seconds(partial(subject.model.logits, rows)))}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    yield Line("time", OK, f"Of a batch of {', of '.join(parts)}, on one thread.")
    yield Line("memory", OK, f"{peak:.0f} MiB at most, the engine included.")


def _seconds(run: Callable[[], object]) -> float:
    """Median of several runs."""
    runs: list[float] = []
    end = time.perf_counter() + TIMED_SECONDS
    while not runs or (time.perf_counter() < end and len(runs) < 100):
        started = time.perf_counter()
        run()
        runs.append(time.perf_counter() - started)
    return float(np.median(runs))


def agreement(subject: Subject, other: Path) -> Iterator[Line]:
    try:
        content = other.read_bytes()
        files = ModelFiles(content, files_beside(graph_facts(content).external, other.parent))
        variant = Model(replace(subject.bundle, model=files, calibration=None, golden=None), threads=1)
        theirs = variant.logits(variant.input.check(subject.samples))
    except OSError as exc:
        yield Line("against", FAILED, f"{other}: cannot be read: {exc.strerror}.")
        return
    except SoftgateError as exc:
        yield Line("against", FAILED, f"{other}: {exc}")
        return
    ours, others = (subject.probabilities(_safe(logits)) for logits in (subject.logits(subject.samples), theirs))
    worst = float(np.abs(ours - others).max())
    moved = int((ours.argmax(axis=1) != others.argmax(axis=1)).sum())
    differ = "1 label differs" if moved == 1 else f"{moved} labels differ"
    told = f"On {len(ours)} rows a probability differs from {other.name}'s by up to {worst:.2g}; {differ}."
    if worst > LARGE_DIFFERENCE:
        yield Line("against", FAILED, told, "Quantise with data, or serve the original.")
    elif worst > NOTABLE_DIFFERENCE or moved:
        yield Line("against", WARNING, told, "Calibrate the variant on its own, and compare both on labelled rows.")
    else:
        yield Line("against", OK, told)


def _safe(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.where(np.isfinite(logits).all(axis=1, keepdims=True), logits, 0)


# Those of a model that loads and of rows it can run; to add one: write the function above and name it here.
CHECKS: Sequence[Callable[[Subject], Iterator[Line]]] = (
    _probabilities,
    _finite,
    _large_logits,
    _batch,
    _cost,
)
