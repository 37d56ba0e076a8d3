"""W3: a transformer of six layers, where the graph is nearly all of the work: what counts is how cores are used."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import workloads
from bench.contenders import mlserver, naive, raw_loops, softgate
from bench.sections.section import Plan, Section, of
from bench.turns import Contender, Turn, interleaved, loads
from bench.verdicts import AT_MOST, ratios
from softgate.runtime.quota import usable_cpus

TITLE = "W3: a transformer of six layers, sentences"
MANY, FP32, TRICKLE = "64 connections", "64 connections, fp32", "50 requests/s"
TRICKLE_SECONDS = 4.0
Taker = Callable[[int], Any]


def measure(plan: Plan, folder: Path) -> Section:
    """Raises Absent."""
    section = Section()
    _full(section, plan, folder)
    _batches(section, plan, folder)
    _trickle(section, plan, folder)
    return section


def _full(section: Section, plan: Plan, folder: Path) -> None:
    """All cores at work, int8."""
    cores = usable_cpus()
    workload = workloads.transformer(folder, precision="int8")
    with ExitStack() as stack:
        start = stack.enter_context
        contenders = {
            "softgate, all cores": start(softgate(workload, workers=cores)).contender,
            "MLServer, batches of 16": start(mlserver(workload, folder, batch=16, seconds=0.005)).contender,
            "MLServer, 2 workers, batches of 16": start(
                mlserver(workload, folder, workers=2, batch=16, seconds=0.005)
            ).contender,
        }
        by_hand = section.optional(stack, lambda: naive(workload, workers=2))
        if by_hand is not None:
            contenders["naive, 2 workers"] = by_hand.contender
        for each in contenders.values():
            each.under(16, 1)
        rate = start(raw_loops(workload, folder, processes=cores))
        takers: dict[str, Taker] = {name: _taker(each, plan) for name, each in contenders.items()}
        takers["raw loops"] = lambda _: Turn(rate(plan.seconds), 0, 0, 0, 0, 0)
        section.figures[MANY] = interleaved(takers, plan.turns)
    ours, mlserver_best = "softgate, all cores", section.fastest(MANY, "MLServer")
    for text, theirs, bound in (
        ("rows/s, all cores, by raw loops of the graph", "raw loops", 0.90),
        ("requests/s, all cores, by FastAPI by hand, 2 workers", "naive, 2 workers", 2),
        (f"requests/s, all cores, by {mlserver_best}", mlserver_best, 1.4),
    ):
        section.compare(MANY, text, ours, theirs, bound, figure="per_second")
    tail = ratios(of(section.figures[MANY][ours], "p99_us"), of(section.figures[MANY][ours], "p50_us"))
    section.claim("p99 by p50 at saturation", tail, AT_MOST, 2, "x")


def _batches(section: Section, plan: Plan, folder: Path) -> None:
    """What batching gains, fp32."""
    alone = workloads.transformer(folder, precision="fp32", serving="max_batch = 1", name="fp32-alone")
    together = workloads.transformer(folder, precision="fp32")
    with ExitStack() as stack:
        servers = {
            "max_batch = 1": softgate(alone, workers=usable_cpus()),
            "batches": softgate(together, workers=usable_cpus()),
        }
        contenders = {name: stack.enter_context(server).contender for name, server in servers.items()}
        section.figures[FP32] = loads(contenders, connections=64, seconds=plan.seconds, turns=plan.turns)
    section.compare(FP32, "requests/s, fp32, by max_batch = 1", "batches", "max_batch = 1", 1.6, figure="per_second")


def _trickle(section: Section, plan: Plan, folder: Path) -> None:
    """Few requests: what an idle session costs."""
    workload = workloads.transformer(folder, precision="int8", name="trickle")
    with ExitStack() as stack:
        contenders = {"softgate": stack.enter_context(softgate(workload)).contender}
        by_hand = section.optional(stack, lambda: naive(workload))
        if by_hand is not None:
            contenders["naive"] = by_hand.contender
        takers = {name: _arriving(each) for name, each in contenders.items()}
        section.figures[TRICKLE] = interleaved(takers, plan.turns)
    text = "server CPU per request at 50 requests/s, by FastAPI by hand"
    section.compare(TRICKLE, text, "softgate", "naive", 0.25, figure="cpu_us", sense=AT_MOST)


def _taker(contender: Contender, plan: Plan) -> Taker:
    return lambda _: contender.under(64, plan.seconds)


def _arriving(contender: Contender) -> Taker:
    return lambda turn: contender.arriving(50, TRICKLE_SECONDS, seed=turn)
