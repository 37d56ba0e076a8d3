"""W2: the shipped classifier of sentences, clinc150, sentences in, 150 probabilities out."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import onnxruntime

from bench import workloads
from bench.contenders import naive, softgate
from bench.sections.section import Plan, Section, of
from bench.turns import Turn, interleaved, loads
from bench.verdicts import AT_MOST

TITLE = "W2: clinc150, sentences"
MANY, ONE = "64 connections", "1 connection"


def measure(plan: Plan, _: Path) -> Section:
    """Raises Absent."""
    section, workload = Section(), workloads.text()
    running, feeds = workloads.session(workload.model), workload.feeds()
    with ExitStack() as stack:
        contenders = {"softgate": stack.enter_context(softgate(workload)).contender}
        by_hand = section.optional(stack, lambda: naive(workload))
        if by_hand is not None:
            contenders["naive"] = by_hand.contender
        takers: dict[str, Callable[[int], Turn]] = {
            "softgate": lambda _: contenders["softgate"].under(1, plan.seconds),
            "the graph alone": lambda _: Turn.timed(graph_us(running, feeds, seconds=plan.seconds / 2)),
        }
        section.figures[ONE] = interleaved(takers, plan.turns)
        section.figures[MANY] = loads(contenders, connections=64, seconds=plan.seconds, turns=plan.turns)
    section.compare(
        MANY, "requests/s, 64 connections, by FastAPI by hand", "softgate", "naive", 2.5, figure="per_second"
    )
    whole, graph = (of(section.figures[ONE][name], "p50_us") for name in ("softgate", "the graph alone"))
    beyond = [p50 - alone for p50, alone in zip(whole, graph, strict=True)]
    section.claim("p50, 1 connection, beyond the graph's own time", beyond, AT_MOST, 250, "µs")
    return section


def graph_us(running: onnxruntime.InferenceSession, feeds: Sequence[Mapping[str, Any]], *, seconds: float) -> float:
    """Median time of a run of the graph alone, its rows in turn."""
    taken, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        for feed in feeds:
            started = time.perf_counter()
            running.run(None, feed)
            taken.append(time.perf_counter() - started)
    return median(taken) * 1e6
