"""Logits → scores, and the part of them that a request asked to see. Pure."""

from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from softgate.numerics.activations import ACTIVATIONS, softmax
from softgate.numerics.confidence import energy, entropy, entropy_of_labels, margin, max_probability
from softgate.numerics.partition import partition
from softgate.numerics.selection import sample, top_k, top_p
from softgate.numerics.temperature import apply_temperature
from softgate.runtime.calibration import Calibration
from softgate.runtime.card import MULTI_LABEL
from softgate.types import Floats, Indices, Scores, View

# Up to so many classes a batch is ranked at once, for its scores, its sets and its answers.
MOST_RANKED = 1024


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
    with nullcontext() if logits.dtype == np.float32 else np.errstate(over="ignore"):
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
    finite = np.logical_and.reduce(np.isfinite(scaled), axis=1)
    # A row that is not finite is decided by that alone; zeros keep its NaN out of the arithmetic.
    safe = logits
    if not np.logical_and.reduce(finite):
        safe, scaled = (np.where(finite[:, None], values, 0) for values in (logits, scaled))
    familiarity = None
    if activation == softmax.__name__:
        parts = partition(scaled)
        probabilities, spread = parts.probabilities, parts.entropy
        if with_energy and bias is None:
            assert isinstance(temperature, float), "Classes that exclude each other share a temperature."
            familiarity = parts.log_sum * temperature
    else:
        probabilities = ACTIVATIONS[activation](scaled)
        spread = (entropy_of_labels if activation == MULTI_LABEL else entropy)(probabilities)
    if with_energy and familiarity is None:
        assert not isinstance(temperature, np.ndarray), "Labels with a temperature each have no energy in common."
        # Of the raw logits: a bias says how common a class is, not how familiar a row.
        familiarity = energy(safe, temperature)
    return _ranked(logits, finite, probabilities, spread, familiarity)


def _ranked(
    logits: NDArray[np.floating],
    finite: NDArray[np.bool_],
    probabilities: Floats,
    spread: Floats,
    familiarity: Floats | None,
) -> Scores:
    n_rows, n_classes = probabilities.shape
    if not 1 < n_classes <= MOST_RANKED:
        label, confidence = probabilities.argmax(axis=1), max_probability(probabilities)
        lead = margin(probabilities) if n_classes == 1 else confidence - _second(probabilities, label)
        return Scores(logits, finite, probabilities, label, confidence, lead, spread, familiarity)
    order = top_k(probabilities, n_classes)
    rows, label = np.arange(n_rows), order[:, 0]
    confidence = probabilities[rows, label]
    lead = confidence - probabilities[rows, order[:, 1]]
    return Scores(logits, finite, probabilities, label, confidence, lead, spread, familiarity, order)


def _second(probabilities: Floats, label: Indices) -> Floats:
    """The largest of each row but for its label's: two maxima take a tenth of the time of a partition."""
    others = probabilities.copy()
    others[np.arange(len(label)), label] = -1.0
    return max_probability(others)


def show(scores: Scores, view: View, *, activation: str, bias: Floats | None = None) -> Shown:
    """Cut and select: temperature first, then top_k, then top_p. The cut is not renormalised."""
    if view.temperature is not None:
        warm = score(scores.logits, activation=activation, temperature=view.temperature, bias=bias, with_energy=False)
        # Energy is a score at the fitted temperature, whatever the answer shows.
        scores = replace(warm, energy=scores.energy)
    probabilities = scores.probabilities
    if scores.order is not None:
        order = scores.order[:, : view.top_k]
    else:
        order = top_k(probabilities, probabilities.shape[1] if view.top_k is None else view.top_k)
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
