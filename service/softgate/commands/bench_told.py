"""A benchmark's figures for machines: what `--json` prints, and what the screen shows a part of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from softgate.workbench.bench.bench import Comparison, Load, Measured, Turn
from softgate.workbench.bench.figures import Spread, spread


@dataclass(frozen=True, slots=True)
class Setting:
    """Under which the figures hold."""

    command: str
    date: str
    machine: str
    versions: Mapping[str, str]
    model: str
    kind: str
    n_labels: int
    rows: str
    workers: int
    rounds: int
    seconds: float


TURN: Mapping[str, Callable[[Turn], float | None]] = {
    "requests_per_second": lambda turn: turn.closed.requests_per_second,
    "p50_us": lambda turn: turn.closed.p50_us,
    "p90_us": lambda turn: turn.closed.p90_us,
    "p99_us": lambda turn: turn.closed.p99_us,
    "p999_us": lambda turn: turn.closed.p999_us,
    "cpu_us_per_request": lambda turn: turn.cpu_us,
    "batch_rows": lambda turn: turn.batch_rows,
}
OPEN_LOOP = ("p50_us", "p90_us", "p99_us", "p999_us", "lateness_p99_us")


def figures(turns: Sequence[Turn]) -> Mapping[str, Spread | None]:
    """Of the rounds; None for what a server does not count."""
    return {name: over([read(turn) for turn in turns]) for name, read in TURN.items()}


def of_bare(comparison: Comparison) -> Spread:
    """Throughput as a share of the bare answer's, round by round."""
    pairs = zip(comparison.ours, comparison.bare, strict=True)
    return spread([ours.closed.requests_per_second / bare.closed.requests_per_second for ours, bare in pairs])


def load_figures(load: Load) -> Mapping[str, Spread | None]:
    """Of the rounds that were not void; None where all were."""
    return {name: over([getattr(run, name) for run in load.runs]) for name in OPEN_LOOP}


def over(values: Sequence[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    return spread(known) if known else None


def told(setting: Setting, measured: Measured) -> Mapping[str, Any]:
    return {
        **asdict(setting),
        "answer_bytes": measured.answer_bytes,
        "closed_loop": [_comparison(each) for each in measured.closed],
        "open_loop": [_load(each) for each in measured.loads],
        "knee": {**asdict(measured.knee), "p99_bound_us": measured.bound_us},
        "generator": asdict(measured.generator),
        "memory": [asdict(each) for each in measured.memory],
    }


def _comparison(comparison: Comparison) -> Mapping[str, Any]:
    return {
        "connections": comparison.connections,
        "of_bare": asdict(of_bare(comparison)),
        "softgate": _turns(comparison.ours),
        "bare": _turns(comparison.bare),
    }


def _turns(turns: Sequence[Turn]) -> Mapping[str, Any]:
    return {**_shown(figures(turns)), "rounds": [asdict(turn) for turn in turns]}


def _load(load: Load) -> Mapping[str, Any]:
    return {
        "of_knee": load.share,
        "requests_per_second": load.rate,
        **_shown(load_figures(load)),
        "rounds": [asdict(run) for run in load.runs],
        "void": list(load.void),
    }


def _shown(spreads: Mapping[str, Spread | None]) -> Mapping[str, Any]:
    return {name: None if each is None else asdict(each) for name, each in spreads.items()}
