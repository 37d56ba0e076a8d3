"""A model folder measured from outside, in rounds in which softgate and the bare answer take turns."""

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from softgate.errors import SoftgateError
from softgate.workbench.bench import closed_loop, knee, open_loop, targets
from softgate.workbench.bench.asking import ask, samples, total
from softgate.workbench.bench.closed_loop import ClosedLoop
from softgate.workbench.bench.open_loop import OpenLoop
from softgate.workbench.bench.processes import Memory, cpu_seconds, memory
from softgate.workbench.bench.targets import Target

WARM_UP_CONNECTIONS = 16
# Of the closed loop's rate: almost idle.
IDLE = 0.1
# Of the bare answer's rate: more than it and the generator manage, to see what they do.
FLOOD, FLOOD_CONNECTIONS = 1.5, 64
# Shares of the knee that are measured in rounds.
LOADS = (0.1, 0.5, 0.8)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, and how long."""

    bodies: Sequence[bytes]
    connections: Sequence[int]
    rounds: int
    seconds: float
    bound_us: float | None
    """Of p99 at the knee; None leaves it to `knee.bound_us`."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One server for so many seconds, as the client and the kernel saw it."""

    closed: ClosedLoop
    cpu_us: float
    """Of the server, per request."""
    batch_rows: float | None
    """Rows that shared a run of the graph, on average."""


@dataclass(frozen=True, slots=True)
class Comparison:
    connections: int
    ours: Sequence[Turn]
    bare: Sequence[Turn]


@dataclass(frozen=True, slots=True)
class Load:
    """Open loop at one rate."""

    share: float
    """Of the knee."""
    rate: float
    runs: Sequence[OpenLoop]
    void: Sequence[str]
    """Why other runs did not count."""


@dataclass(frozen=True, slots=True)
class Measured:
    answer_bytes: int
    closed: Sequence[Comparison]
    generator: OpenLoop
    """Against the bare answer, asked for more than either manages."""
    bound_us: float
    knee: knee.Knee
    loads: Sequence[Load]
    memory: Sequence[Memory]
    """Of each worker, afterwards."""


Progress = Callable[[str], None]


def measure(folder: Path, plan: Plan, *, name: str, workers: int, keeps_state: bool, progress: Progress) -> Measured:
    """`progress` is told each step before it is taken. Raises SoftgateError: see `targets` and `check`."""
    with ExitStack() as stack:
        progress("Starting the server")
        ours = stack.enter_context(targets.softgate(folder, name=name, workers=workers, keeps_state=keeps_state))
        n_bytes = check(ours, plan.bodies)
        bare = stack.enter_context(targets.bare(n_bytes, workers=workers))
        progress("Warming up")
        turn(ours, plan.bodies, connections=WARM_UP_CONNECTIONS, seconds=1)
        closed = [_compare(ours, bare, plan, connections, progress) for connections in plan.connections]
        fastest = _fastest(each for comparison in closed for each in comparison.ours)
        bare_fastest = _fastest(each for comparison in closed for each in comparison.bare)
        progress("Open loop: how fast the generator is")
        generator = _open(bare, plan, rate=FLOOD * bare_fastest, seed=0, most_connections=FLOOD_CONNECTIONS)
        bound, found = _knee(ours, plan, fastest, progress)
        loads = [] if found.rate is None else [_load(ours, plan, share, found.rate, progress) for share in LOADS]
        return Measured(n_bytes, closed, generator, bound, found, loads, [memory(worker) for worker in ours.workers])


def check(target: Target, bodies: Sequence[bytes]) -> int:
    """Bytes of an answer, on average. Raises SoftgateError where a body is not answered with 200."""
    sizes = []
    for number, body in enumerate(bodies, start=1):
        status, answer = ask(target.url, target.path, body)
        if status != 200:
            raise SoftgateError(f"Expected status 200 for row {number}; got {status}: {_detail(answer)}")
        sizes.append(len(answer))
    return round(sum(sizes) / len(sizes))


def turn(target: Target, bodies: Sequence[bytes], *, connections: int, seconds: float) -> Turn:
    """Raises SoftgateError where an answer is an error: a figure would be of something else."""
    before, used = samples_of(target), cpu_seconds(target.processes)
    closed = closed_loop.measure(target.url, target.path, bodies, connections=connections, seconds=seconds)
    used, after = cpu_seconds(target.processes) - used, samples_of(target)
    if closed.errors or not closed.requests:
        raise SoftgateError(
            f"Expected answers of status 200 over {connections} connections; of {closed.requests} requests "
            f"{closed.refused} were refused, {closed.timeouts} not answered in time, {closed.broken} cut off."
        )
    rows, runs = (
        total(after, f"softgate_batch_rows_{part}") - total(before, f"softgate_batch_rows_{part}")
        for part in ("sum", "count")
    )
    return Turn(closed, used * 1e6 / closed.requests, rows / runs if runs else None)


def samples_of(target: Target) -> dict[str, float]:
    """Of the bare server there are none."""
    return samples(target.url) if target.path != "/" else {}


def _compare(ours: Target, bare: Target, plan: Plan, connections: int, progress: Progress) -> Comparison:
    turns: dict[str, list[Turn]] = {"ours": [], "bare": []}
    for number in range(plan.rounds):
        for name, target in (("ours", ours), ("bare", bare)):
            progress(f"Closed loop, {connections} connections: round {number + 1} of {plan.rounds}")
            turns[name].append(turn(target, plan.bodies, connections=connections, seconds=plan.seconds))
    return Comparison(connections, turns["ours"], turns["bare"])


def _fastest(turns: Iterable[Turn]) -> float:
    return max(each.closed.requests_per_second for each in turns)


def _open(
    target: Target, plan: Plan, *, rate: float, seed: int, most_connections: int = open_loop.MOST_CONNECTIONS
) -> OpenLoop:
    return open_loop.measure(
        target.url,
        target.path,
        plan.bodies,
        rate=rate,
        seconds=plan.seconds,
        seed=seed,
        most_connections=most_connections,
    )


def _knee(target: Target, plan: Plan, fastest: float, progress: Progress) -> tuple[float, knee.Knee]:
    progress("Open loop: almost idle")
    idle = _open(target, plan, rate=IDLE * fastest, seed=0)
    bound = knee.bound_us(idle.p50_us) if plan.bound_us is None else plan.bound_us
    seed = 0

    def probe(rate: float) -> knee.Verdict:
        nonlocal seed
        seed += 1
        progress(f"Open loop: looking for the knee, {rate:,.0f} requests/s")
        return knee.judge(_open(target, plan, rate=rate, seed=seed), bound)

    return bound, knee.search(probe, low=knee.LOW * fastest, high=knee.HIGH * fastest)


def _load(target: Target, plan: Plan, share: float, knee_rate: float, progress: Progress) -> Load:
    rate = share * knee_rate
    runs: list[OpenLoop] = []
    reasons: list[str] = []
    for number in range(plan.rounds):
        progress(f"Open loop, {rate:,.0f} requests/s: round {number + 1} of {plan.rounds}")
        run = _open(target, plan, rate=rate, seed=number)
        reason = open_loop.void(run)
        if reason is None:
            runs.append(run)
        else:
            reasons.append(reason)
    return Load(share, rate, runs, reasons)


def _detail(answer: bytes) -> str:
    """What the server says of its own error, or the start of whatever it is."""
    try:
        return str(json.loads(answer)["detail"])
    except (ValueError, KeyError, TypeError):
        return answer[:200].decode(errors="replace")
