"""W1: 64 numbers, 10 classes. The graph takes microseconds: what is measured is the server."""

from contextlib import ExitStack
from pathlib import Path

from bench import workloads
from bench.contenders import bare, litserve, mlserver, naive, softgate
from bench.sections.section import Plan, Section, of
from bench.turns import Contender, loads
from bench.verdicts import AT_MOST
from bench.workloads import Workload

TITLE = "W1: a tiny model of numbers"
MANY, ONE = "64 connections", "1 connection"


def measure(plan: Plan, folder: Path) -> Section:
    section, workload = Section(), workloads.tiny(folder)
    with ExitStack() as stack:
        ours = _ours(section, stack, workload)
        section.figures[ONE] = loads(ours, connections=1, seconds=plan.seconds, turns=plan.turns)
        everybody = {**ours, **_many(stack, workload, folder)}
        section.figures[MANY] = loads(everybody, connections=64, seconds=plan.seconds, turns=plan.turns)
    _claim(section)
    return section


def _ours(section: Section, stack: ExitStack, workload: Workload) -> dict[str, Contender]:
    """With those whose latency over one connection matters."""
    contenders = {"softgate": stack.enter_context(softgate(workload)).contender}
    contenders["bare"] = stack.enter_context(bare(contenders["softgate"]))
    by_hand = section.optional(stack, lambda: naive(workload))
    return contenders if by_hand is None else {**contenders, "naive": by_hand.contender}


def _many(stack: ExitStack, workload: Workload, folder: Path) -> dict[str, Contender]:
    servers = {
        "softgate, 2 workers": softgate(workload, workers=2),
        "MLServer": mlserver(workload, folder),
        "MLServer, batches of 16": mlserver(workload, folder, batch=16, seconds=0.005),
        "MLServer, 2 workers": mlserver(workload, folder, workers=2),
        "LitServe, 2 workers": litserve(workload, workers=2),
        "LitServe, 2 workers, fast queue": litserve(workload, workers=2, fast_queue=True),
        "LitServe, 2 workers, batches of 16": litserve(workload, workers=2, batch=16, seconds=0.002),
    }
    return {name: stack.enter_context(server).contender for name, server in servers.items()}


def _claim(section: Section) -> None:
    mlserver_best, litserve_best = (section.fastest(MANY, name) for name in ("MLServer", "LitServe"))
    two = "softgate, 2 workers"
    for text, ours, theirs, bound in (
        ("requests/s, 64 connections, by FastAPI by hand", "softgate", "naive", 8),
        (f"requests/s, 64 connections, by {mlserver_best}", "softgate", mlserver_best, 10),
        ("requests/s, 64 connections, by a bare answer", "softgate", "bare", 0.40),
        ("requests/s of 2 workers by 1", two, "softgate", 1.4),
        ("requests/s of 2 workers by MLServer, 2 workers", two, "MLServer, 2 workers", 25),
        (f"requests/s of 2 workers by {litserve_best}", two, litserve_best, 20),
    ):
        section.compare(MANY, text, ours, theirs, bound, figure="per_second")
    for text, theirs, bound in (
        ("p50, 1 connection, by a bare answer", "bare", 3.0),
        ("p50, 1 connection, by FastAPI by hand", "naive", 0.25),
    ):
        section.compare(ONE, text, "softgate", theirs, bound, figure="p50_us", sense=AT_MOST)
    cpu = of(section.figures[ONE]["softgate"], "cpu_us")
    section.claim("server CPU per request, 1 connection", cpu, AT_MOST, 70, "µs")
