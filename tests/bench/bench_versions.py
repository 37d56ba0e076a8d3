"""
Two versions of softgate in turns of one run: what did the changes between them cost, or gain?

    git worktree add ../before COMMIT
    python tests/bench/bench_versions.py ../before --turns 15
    python tests/bench/bench_versions.py build/compiled

A ratio is this version's by the other's, pair by pair. Both run in this interpreter with what is installed in it.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests")]

from bench import workloads  # noqa: E402
from bench.contenders import program, softgate  # noqa: E402
from bench.turns import Turn, loads  # noqa: E402
from bench.workloads import Workload  # noqa: E402

WORKLOADS: Mapping[str, Callable[[Path], Workload]] = {
    "w1": workloads.tiny,
    "clinc150": lambda _: workloads.text(),
}
THIS, OTHER = "this", "other"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="a checkout of the other version, or build/compiled")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 64])
    arguments = parser.parse_args()
    for name, build in WORKLOADS.items():
        with tempfile.TemporaryDirectory(prefix="softgate-versions-") as folder, ExitStack() as stack:
            workload = build(Path(folder))
            contenders = {
                version: stack.enter_context(softgate(workload, program=program(folder))).contender
                for version, folder in ((THIS, ROOT), (OTHER, arguments.other.resolve()))
            }
            for connections in arguments.connections:
                taken = loads(contenders, connections=connections, seconds=arguments.seconds, turns=arguments.turns)
                print(told(f"{name}, {connections} connections", taken), flush=True)


def told(title: str, taken: Mapping[str, list[Turn]]) -> str:
    """The two medians, and the ratios of the pairs."""
    lines = []
    for figure, unit in (("per_second", "answers/s"), ("cpu_us", "CPU µs/answer")):
        this, other = ([float(getattr(turn, figure)) for turn in taken[version]] for version in (THIS, OTHER))
        ratios = sorted(mine / theirs for mine, theirs in zip(this, other, strict=True))
        lines.append(
            f"{title}: {unit} {median(this):,.0f} by {median(other):,.0f}; "
            f"ratio {ratios[0]:.3f} / {median(ratios):.3f} / {ratios[-1]:.3f} (least, median, most)"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
