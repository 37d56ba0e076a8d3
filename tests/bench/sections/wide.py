"""Ten thousand classes: what a full answer costs beside writing it, and a cut one beside that of 150 classes."""

import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from bench import workloads
from bench.contenders import softgate
from bench.sections.section import Plan, Section
from bench.sections.text import graph_us
from bench.turns import Turn, interleaved
from bench.verdicts import AT_MOST, ratios
from softgate.workbench.bench.asking import ask

TITLE = "10 000 classes"
ONE = "1 connection"
MANY_CLASSES, FEW_CLASSES = 10_000, 150


def measure(plan: Plan, folder: Path) -> Section:
    section = Section()
    wide, narrow = (workloads.wide(folder, n_classes=n) for n in (MANY_CLASSES, FEW_CLASSES))
    with ExitStack() as stack:
        servers = {
            "everything": softgate(wide),
            "top 5": softgate(wide, top_k=5),
            "top 5 of 150": softgate(narrow, top_k=5),
        }
        contenders = {name: stack.enter_context(server).contender for name, server in servers.items()}
        target = contenders["everything"].target
        answer = orjson.loads(ask(target.url, target.path, contenders["everything"].bodies[0])[1])
        graphs = {"graph": wide, "graph of 150": narrow}
        sessions = {name: (workloads.session(each.model), each.feeds()) for name, each in graphs.items()}
        takers: dict[str, Any] = {
            name: lambda _, each=each: each.under(1, plan.seconds) for name, each in contenders.items()
        }
        takers |= {
            name: lambda _, each=each: Turn.timed(graph_us(*each, seconds=plan.seconds / 4))
            for name, each in sessions.items()
        }
        takers["orjson alone"] = lambda _: Turn.timed(encoding_us(answer["predictions"][0]["probabilities"]))
        taken = interleaved(takers, plan.turns)
    section.figures[ONE] = taken
    text = "p50 of a full answer, by orjson writing its probabilities"
    section.compare(ONE, text, "everything", "orjson alone", 4, figure="p50_us", sense=AT_MOST)
    beyond = [
        [whole.p50_us - graph.p50_us for whole, graph in zip(taken[ours], taken[alone], strict=True)]
        for ours, alone in (("top 5", "graph"), ("top 5 of 150", "graph of 150"))
    ]
    text = "p50 of the top 5 beyond the graph's time, by that of 150 classes"
    section.claim(text, ratios(*beyond), AT_MOST, 1.7, "x")
    return section


def encoding_us(value: Any) -> float:
    """Median time of writing it as JSON."""
    taken = []
    for _ in range(200):
        started = time.perf_counter()
        orjson.dumps(value)
        taken.append(time.perf_counter() - started)
    return median(taken) * 1e6
