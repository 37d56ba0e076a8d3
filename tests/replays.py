"""Many detectors at once: an implementation of the alarm of its own, over replicas, and real rows to replay to it."""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared_data import clinc_logits
from softgate.numerics.activations import softmax
from softgate.numerics.alarm import falling, mean_upper_bound, rising, share_upper_bound
from softgate.numerics.confidence import energy, max_probability
from softgate.numerics.histogram import CONFIDENCE_EDGES, Counts, count_in_bins
from softgate.numerics.out_of_scope import energy_gate
from softgate.numerics.temperature import apply_temperature, fit_temperature

Floats = NDArray[np.float64]
Bins = NDArray[np.intp]

N_BINS = len(CONFIDENCE_EDGES) + 1
FALLING, RISING, HIT = falling(CONFIDENCE_EDGES), rising(CONFIDENCE_EDGES), np.array([0.0, 1.0])


class Rows(NamedTuple):
    """Of a model at its fitted temperature, each array of shape (n_rows,)."""

    confidence: Floats
    energy: Floats

    @property
    def bins(self) -> Bins:
        return np.searchsorted(CONFIDENCE_EDGES, self.confidence)


@cache
def rows_of(model: str, *splits: str) -> Rows:
    data = clinc_logits(model)
    temperature = fit_temperature(data["val"], data["y_val"]).temperature
    logits = np.concatenate([data[split] for split in splits])
    return Rows(max_probability(softmax(apply_temperature(logits, temperature))), energy(logits, temperature))


def in_scope(model: str) -> Rows:
    return rows_of(model, "val", "test")


def out_of_scope(model: str) -> Rows:
    return rows_of(model, "oos_val", "oos_test")


def counted(bins: Bins) -> Counts:
    return np.bincount(bins, minlength=N_BINS)


def factors(mean_bounds: list[float], values: Floats) -> Floats:
    """What a row of each bin makes of each bet, shape (n_replicas, n_bins, 8)."""
    bounds = np.array(mean_bounds)[:, None, None]
    result: Floats = 1 + np.geomspace(0.02, 0.9, 8) / bounds * (values[:, None] - bounds)
    return result


def advance(evidence: Floats, row_factors: Floats, bins: Bins) -> Floats:
    """One step of every replica, by rows of which `bins`, of shape (n_replicas, n_rows), says where they lie."""
    replicas = np.arange(len(bins))[:, None]
    after: Floats = (evidence + bins.shape[1]) * row_factors[replicas, bins].prod(axis=1)
    return after


def alarms(row_factors: Floats, bins: Bins, *, budget: float, rows: int = 1) -> NDArray[np.intp]:
    """How often each replica alarms over bins of shape (n_replicas, n_rows) if it starts afresh after each alarm."""
    evidence = np.zeros((len(bins), 8))
    found = np.zeros(len(bins), np.intp)
    for first in range(0, bins.shape[1], rows):
        evidence = advance(evidence, row_factors, bins[:, first : first + rows])
        alarmed = evidence.mean(axis=1) >= budget
        found += alarmed
        evidence[alarmed] = 0
    return found


def delays(detectors: list[tuple[Floats, Bins]], *, budget: float, rows: int = 1) -> NDArray[np.intp]:
    """The rows until any of a replica's detectors, each its factors and bins, alarms; all of them if none does."""
    n_replicas, n_rows = detectors[0][1].shape
    evidence = [np.zeros((n_replicas, 8)) for _ in detectors]
    delay = np.full(n_replicas, n_rows)
    for first in range(0, n_rows, rows):
        for i, (row_factors, bins) in enumerate(detectors):
            with np.errstate(over="ignore"):
                evidence[i] = np.minimum(advance(evidence[i], row_factors, bins[:, first : first + rows]), 1e300)
        alarmed = np.any([one.mean(axis=1) >= budget for one in evidence], axis=0)
        delay[alarmed & (delay == n_rows)] = first + rows
        if (delay < n_rows).all():
            break
    return delay


def windows(model: str, *, m: int, n: int, share: float = 0.0) -> list[tuple[Counts, Counts]]:
    """References of m rows, 110 of them, and 200 windows of n rows each, over the deciles of the reference."""
    rng = np.random.default_rng(n)
    pool, strangers = in_scope(model).confidence, out_of_scope(model).confidence
    pairs = []
    for _ in range(110):
        rows = rng.choice(pool, m)
        edges = np.quantile(rows, np.arange(1, 10) / 10)
        familiar, strange = (count_in_bins(population, edges) / len(population) for population in (pool, strangers))
        live = rng.multinomial(n, (1 - share) * familiar + share * strange, size=200)
        pairs += [(count_in_bins(rows, edges), window) for window in live]
    return pairs


def detectors(
    model: str, reference: NDArray[np.intp], *, share: float, n_rows: int, seed: int
) -> list[tuple[NDArray[np.float64], NDArray[np.intp]]]:
    """Confidence falling, confidence rising, energy below the gate, in 100 replicas with out-of-scope rows mixed in."""
    pool, strangers = in_scope(model), out_of_scope(model)
    gate = energy_gate(pool.energy[reference], share=0.05)
    hits, counts = int(np.sum(pool.energy[reference] < gate)), counted(pool.bins[reference])
    rng = np.random.default_rng(seed)
    strange = rng.random((100, n_rows)) < share
    familiar_at, strange_at = (rng.integers(0, len(rows.energy), strange.shape) for rows in (pool, strangers))
    mixed = Rows(*(np.where(strange, b[strange_at], a[familiar_at]) for a, b in zip(pool, strangers, strict=True)))
    bounds = [mean_upper_bound(counts, FALLING), mean_upper_bound(counts, RISING)]
    bounds.append(share_upper_bound(hits, len(reference)))
    values, bins = (FALLING, RISING, HIT), (mixed.bins, mixed.bins, (mixed.energy < gate).astype(np.intp))
    return [(factors([m0] * 100, x), b) for m0, x, b in zip(bounds, values, bins, strict=True)]


def delays_over_references(model: str, *, share: float, n_rows: int, rows: int = 1) -> NDArray[np.intp]:
    """Of 100 replicas for each of ten references of 3000 rows, and for one of the whole pool."""
    rng = np.random.default_rng(0)
    n = len(in_scope(model).energy)
    references = [np.arange(n), *(rng.integers(0, n, 3000) for _ in range(10))]
    return np.array(
        [
            delays(detectors(model, reference, share=share, n_rows=n_rows, seed=seed), budget=30_000, rows=rows)
            for seed, reference in enumerate(references)
        ]
    )
