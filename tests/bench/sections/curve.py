"""W1: throughput against latency as connections grow, for the picture. It claims nothing."""

from contextlib import ExitStack
from pathlib import Path

from bench import workloads
from bench.contenders import bare, litserve, mlserver, naive, softgate
from bench.sections.section import Plan, Section
from bench.turns import loads

TITLE = "W1: throughput against latency"
CONNECTIONS = (1, 4, 16, 64, 256)
MOST_TURNS = 3


def measure(plan: Plan, folder: Path) -> Section:
    section, workload = Section(), workloads.tiny(folder)
    with ExitStack() as stack:
        contenders = {"softgate": stack.enter_context(softgate(workload)).contender}
        contenders["bare"] = stack.enter_context(bare(contenders["softgate"]))
        by_hand = section.optional(stack, lambda: naive(workload))
        if by_hand is not None:
            contenders["naive"] = by_hand.contender
        contenders["MLServer"] = stack.enter_context(mlserver(workload, folder)).contender
        contenders["LitServe, 2 workers"] = stack.enter_context(litserve(workload, workers=2)).contender
        for connections in CONNECTIONS:
            section.figures[str(connections)] = loads(
                contenders, connections=connections, seconds=plan.seconds, turns=min(MOST_TURNS, plan.turns)
            )
    return section
