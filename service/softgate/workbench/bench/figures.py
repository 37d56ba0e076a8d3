"""What repeated measurements say: quantiles of one run, the spread over several. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from softgate.types import Floats

SHARES = (0.5, 0.9, 0.99, 0.999)


@dataclass(frozen=True, slots=True)
class Spread:
    """Of one figure over the rounds."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Raises ValueError for no values."""
    return Spread(median(values), min(values), max(values))


def quantiles(values: Floats, shares: Sequence[float] = SHARES) -> tuple[float, ...]:
    """
    By nearest rank: for each share, the least value that at least this share of all do not exceed.

    No value is made up between two: of few values the upper quantiles are the largest one. NaN for no values.
    """
    if not len(values):
        return tuple(math.nan for _ in shares)
    ordered = np.sort(values)
    # Against 0.999 * 1000 = 999.0000000000001, which would be one rank too high.
    ranks = [max(1, math.ceil(round(share * len(ordered), 9))) for share in shares]
    return tuple(float(ordered[rank - 1]) for rank in ranks)


def poisson_arrivals(*, rate: float, seconds: float, seed: int) -> Floats:
    """When so many requests a second arrive, on average: seconds from the start, sorted, at least one."""
    draw = np.random.default_rng(seed)
    return np.sort(draw.uniform(0, seconds, max(1, draw.poisson(rate * seconds))))
