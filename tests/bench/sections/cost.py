"""
What softgate adds to a softmax: calibration, decision, counts and validation, as a share of W1's throughput.

Both as Python: what is compiled is not to be changed into the variant.
"""

import sys
from contextlib import ExitStack
from pathlib import Path

import orjson

from bench import workloads
from bench.contenders import program, softgate
from bench.sections.section import Plan, Section, of
from bench.turns import Contender, loads
from bench.verdicts import AT_MOST, ratios
from bench.workloads import ROOT
from softgate.workbench.bench.asking import ask, samples, total

TITLE = "What calibration, decision, counts and validation cost"
MANY = "64 connections"
PLAIN = Path(__file__).parents[1] / "plain_softmax.py"
# A small difference wants more turns than a large one.
MORE_TURNS = 3


def measure(plan: Plan, folder: Path) -> Section:
    section, workload = Section(), workloads.tiny(folder)
    with ExitStack() as stack:
        servers = {
            "softgate": softgate(workload, program=program(ROOT)),
            "plain softmax": softgate(workload, program=program(ROOT, [sys.executable, str(PLAIN)])),
        }
        contenders = {name: stack.enter_context(server).contender for name, server in servers.items()}
        section.figures[MANY] = loads(contenders, connections=64, seconds=plan.seconds, turns=MORE_TURNS * plan.turns)
        check(contenders["softgate"], contenders["plain softmax"])
    figures = section.figures[MANY]
    kept = ratios(of(figures["softgate"], "per_second"), of(figures["plain softmax"], "per_second"))
    text = "share of a plain softmax's requests/s that all the rest costs"
    section.claim(text, [100 * (1 - share) for share in kept], AT_MOST, 12, "%")
    more = ratios(of(figures["softgate"], "cpu_us"), of(figures["plain softmax"], "cpu_us"))
    section.claim("the same in server CPU per request", [100 * (1 - 1 / share) for share in more], AT_MOST, 12, "%")
    return section


def check(whole: Contender, plain: Contender) -> None:
    """Each is what it is taken for, and their answers are of like size."""
    answers = [ask(each.target.url, each.target.path, each.bodies[0])[1] for each in (whole, plain)]
    (ours,), (theirs,) = (orjson.loads(answer)["predictions"] for answer in answers)
    assert "decision" in ours, "softgate decides."
    assert "decision" not in theirs, "The variant does not."
    assert abs(len(answers[0]) / len(answers[1]) - 1) < 0.1, "They send as much."
    counted, uncounted = (total(samples(each.target.url), "softgate_decisions_total") for each in (whole, plain))
    assert counted > uncounted == 0, "softgate counts, the variant does not."
