"""A graph of which nothing but its inputs is known, run on rows made up for them, and timed."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softgate.errors import EngineFailed
from softgate.runtime.inputs.numbers import made_up
from softgate.runtime.pace import TURNS, timed
from softgate.runtime.session import Session
from softgate.types import TensorSpec
from softgate.workbench.graph import GraphFacts

# Of an axis that may have any size: rows of so many tokens are run.
TOKENS = 16
SECONDS_PER_BATCH = 0.3
MOST_RUNS = 200


def a_run(session: Session, facts: GraphFacts, n_rows: int) -> Callable[[], object]:
    """To be called again and again."""
    names = [spec.name for spec in session.outputs]
    return partial(session.run, names, _feed(session.inputs, n_rows, _known(facts)))


def run(session: Session, facts: GraphFacts, n_rows: int) -> Sequence[Any]:
    names = [spec.name for spec in session.outputs]
    try:
        return session.run(names, _feed(session.inputs, n_rows, {}))
    except EngineFailed:
        if not facts.categories:
            raise
        # A category that an encoder does not know may be an error: take those that it knows.
        return session.run(names, _feed(session.inputs, n_rows, _known(facts)))


def _known(facts: GraphFacts) -> Mapping[str, Sequence[str]]:
    """By input, strings that its encoder knows."""
    return {each.input: each.values for each in facts.categories if each.input is not None and each.values}


def seconds_of_runs(
    sessions: Sequence[Session], facts: GraphFacts, batches: Sequence[int]
) -> Sequence[Mapping[int, float]]:
    """
    Least time of a run, by session and by its number of rows.

    The sessions take turns, as they do where a model is loaded: a busy moment falls on all alike.
    """
    names = [spec.name for spec in sessions[0].outputs]
    least: list[dict[int, float]] = [{} for _ in sessions]
    for n_rows in batches:
        feed = _feed(sessions[0].inputs, n_rows, _known(facts))
        runs = [partial(session.run, names, feed) for session in sessions]
        for run_once in runs:
            run_once()
        end = time.perf_counter() + SECONDS_PER_BATCH * len(sessions)
        taken: list[list[float]] = []
        while not taken or (time.perf_counter() < end and len(taken) * TURNS < MOST_RUNS):
            taken.append(list(timed(runs, clock=time.perf_counter, budget_seconds=math.inf)))
        for place, seconds in enumerate(map(min, zip(*taken, strict=True))):
            least[place][n_rows] = seconds
    return least


def _feed(
    specs: Sequence[TensorSpec], n_rows: int, categories: Mapping[str, Sequence[str]]
) -> Mapping[str, NDArray[np.generic]]:
    """Made-up rows for a graph of which nothing but its inputs is known."""
    feed = {}
    for spec in specs:
        sizes = [TOKENS if size is None else size for size in spec.shape[1:]]
        values = made_up(spec.dtype, (n_rows, *sizes))
        if "mask" in spec.name:
            values = np.ones_like(values)
        known = categories.get(spec.name)
        if known and spec.dtype.kind == "O":
            values = np.resize(np.array(known, dtype=object), values.shape)
        feed[spec.name] = values
    return feed
