"""
The classifier card: `classifier.toml`, read into frozen values.

A mistake does not stop the reading: one CardInvalid names all of them, each with file, key, what was got and what was
wanted.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from softgate.errors import CardInvalid
from softgate.numerics.activations import ACTIVATIONS
from softgate.runtime import files
from softgate.runtime.beside import PLAIN_NAME, is_plain
from softgate.runtime.calibration import DEFAULT_PROFILE
from softgate.runtime.inputs import INPUTS
from softgate.runtime.outputs import OUTPUTS
from softgate.runtime.table import Table, shown

MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
# Under it each label has a probability of its own, and several may hold at once.
MULTI_LABEL = "sigmoid"

# Where a graph runs: on the event loop, or on threads of its model's own; `mixed`: a short text that is alone on the
# loop, all else on a thread.
AUTO, LOOP, THREAD, MIXED = RUN_ON = ("auto", "loop", "thread", "mixed")

# By kind of input. Small graphs of numbers run where requests are read, and gain from all that are there.
MAX_BATCH: Mapping[str, int] = {"tensor": 64}
MAX_BATCH_OF_OTHERS = 32
# Of one graph at a time.
MOST_RUNS = 32


@dataclass(frozen=True, slots=True)
class InputCard:
    kind: str
    keys: Any
    """What else [input] says: the frozen dataclass that this kind reads."""


@dataclass(frozen=True, slots=True)
class OutputCard:
    kind: str
    tensor: str | None
    """Name of the graph's output; None: only one of them can be it."""


@dataclass(frozen=True, slots=True)
class Profile:
    precision: float
    risk: float


@dataclass(frozen=True, slots=True)
class RoutingCard:
    fallback: str
    abstain: str
    precision: float
    risk: float
    out_of_scope: float
    coverage: float
    clarify: int
    threshold: float | None
    thresholds: Mapping[str, float]
    """By route; for several labels that may hold at once, by label."""
    priority: Sequence[str]
    """Of several labels that hold, those that count first."""
    routes: Mapping[str, str]
    profiles: Mapping[str, Profile]
    degraded: bool = False
    """Whether rows that the model cannot answer are answered with a fallback."""


@dataclass(frozen=True, slots=True)
class ServingCard:
    max_batch: int
    max_delay_ms: float
    max_queue: int
    max_queue_ms: float
    """What would wait longer, by the pace of the runs before, is refused."""
    run_on: str
    """One of RUN_ON."""
    max_padded_tokens: int
    """Most tokens in one call of the graph, padding counted."""
    threads: int
    """That one run is shared among; 0: as many as pay, of those there are."""
    parallel_runs: int
    """At a time, on threads; 0: as many as pay, of those there are threads for."""


@dataclass(frozen=True, slots=True)
class MonitoringCard:
    """The plain rules' bounds, shares of a window's rows; None: taken from the calibration's reference."""

    alarm_every: int
    mean_confidence_above: float
    mean_confidence_below: float
    non_finite_above: float
    below_threshold_above: float | None
    clarify_above: float | None


@dataclass(frozen=True, slots=True)
class Card:
    name: str
    activation: str
    version: int | None
    external_data: Sequence[str]
    """Files beside model.onnx that hold weights of its."""
    input: InputCard
    output: OutputCard
    routing: RoutingCard
    serving: ServingCard
    monitoring: MonitoringCard
    raw: Mapping[str, Any]
    """The file's own values, as the API shows them."""

    @property
    def multi_label(self) -> bool:
        return self.activation == MULTI_LABEL


def read_card(path: Path) -> Card:
    """The card at `path`. Raises CardInvalid."""
    try:
        values = tomllib.loads(files.content(path).decode())
    except FileNotFoundError as exc:
        raise CardInvalid(f"{path}: there is no such file. A model folder holds a classifier.toml.") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, OSError) as exc:
        raise CardInvalid(f"{path}: not a readable TOML file: {exc}.") from exc
    mistakes: list[str] = []
    card = _card(Table(values, place="", mistakes=mistakes), values)
    if mistakes:
        raise CardInvalid(f"{path}: " + f"\n{path}: ".join(mistakes))
    return card


def bound_parts(card: Card) -> Mapping[str, Any]:
    """
    What of a card a calibration is bound to, by the name a refusal gives.

    Values as they are in force: a number that repeats its default changes nothing, and a changed default does. A tensor
    is bound by the name the card gives it, if any. What is not set is left out, so that a key added to the card one day
    voids no calibration.
    """
    routing = card.routing
    return {
        "activation": card.activation,
        "[input]": {"kind": card.input.kind, **_set(asdict(card.input.keys))},
        "[output]": _set(asdict(card.output)),
        "[routing.routes]": dict(routing.routes),
        "[routing.profiles]": {name: asdict(profile) for name, profile in routing.profiles.items()},
        **{f"routing.{key}": getattr(routing, key) for key in ("precision", "risk", "out_of_scope", "coverage")},
        **({"routing.priority": list(routing.priority)} if card.multi_label else {}),
    }


def _set(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _card(table: Table, raw: Mapping[str, Any]) -> Card:
    card = Card(
        name=table.text("name", pattern=MODEL_NAME),
        activation=table.text("activation", one_of=tuple(sorted(ACTIVATIONS))),
        version=table.integer("version", None, low=1, high=10**9),
        external_data=_external_data(table),
        input=(source := _input(table.table("input"))),
        output=_output(table.table("output")),
        routing=_routing(table.table("routing")),
        serving=_serving(table.table("serving"), kind=source.kind),
        monitoring=_monitoring(table.table("monitoring")),
        raw=raw,
    )
    table.finish()
    return card


def _external_data(table: Table) -> Sequence[str]:
    names: Sequence[str] = table.texts("external_data", ())
    for name in names:
        if not is_plain(name):
            table.note("external_data", f"got {shown(name)}, wanted {PLAIN_NAME}.")
    return names


def _input(table: Table) -> InputCard:
    kind = table.text("kind", one_of=tuple(INPUTS))
    if kind not in INPUTS:
        # Which other keys there are depends on the kind; that mistake is noted, and enough.
        return InputCard(kind, None)
    card = InputCard(kind, INPUTS[kind].read(table))
    table.finish()
    return card


def _output(table: Table) -> OutputCard:
    card = OutputCard(kind=table.text("kind", "logits", one_of=tuple(OUTPUTS)), tensor=table.text("tensor", None))
    table.finish()
    return card


def _routing(table: Table) -> RoutingCard:
    fallback = table.text("fallback")
    precision = table.share("precision", 0.95)
    risk = table.share("risk", 0.1)
    card = RoutingCard(
        fallback=fallback,
        abstain=table.text("abstain", None) or fallback,
        precision=precision,
        risk=risk,
        out_of_scope=table.number("out_of_scope", 0.05, low=0.0, high=1.0),
        coverage=table.share("coverage", 0.95),
        clarify=table.integer("clarify", 3, low=0, high=100),
        threshold=table.number("threshold", None, low=0.0, high=1.0),
        thresholds=_thresholds(table.table("thresholds")),
        priority=table.texts("priority", ()),
        routes=_routes(table.table("routes")),
        profiles=_profiles(table.table("profiles"), precision=precision, risk=risk),
        degraded=table.boolean("degraded", False),
    )
    table.finish()
    return card


def _thresholds(table: Table) -> Mapping[str, float]:
    return {route: table.number(route, low=0.0, high=1.0) for route in table.names()}


def _routes(table: Table) -> Mapping[str, str]:
    return {label: table.text(label) for label in table.names()}


def _profiles(table: Table, *, precision: float, risk: float) -> Mapping[str, Profile]:
    profiles = {}
    for name in table.names():
        profile = table.table(name)
        profiles[name] = Profile(
            precision=profile.share("precision", precision),
            risk=profile.share("risk", risk),
        )
        profile.finish()
    if "" in profiles:
        table.note('""', "got an empty name, wanted one that a request can give.")
    if DEFAULT_PROFILE in profiles:
        table.note(DEFAULT_PROFILE, "a request without a profile has this one; wanted another name.")
    return profiles


def _serving(table: Table, *, kind: str) -> ServingCard:
    card = ServingCard(
        run_on=table.text("run_on", AUTO, one_of=RUN_ON),
        max_batch=table.integer("max_batch", MAX_BATCH.get(kind, MAX_BATCH_OF_OTHERS), low=1, high=65_536),
        max_delay_ms=table.number("max_delay_ms", 0.0, low=0.0, high=1000.0),
        max_queue=table.integer("max_queue", 1024, low=1, high=1_000_000),
        max_queue_ms=table.number("max_queue_ms", 1000.0, low=1.0, high=3_600_000.0),
        max_padded_tokens=table.integer("max_padded_tokens", 4096, low=1, high=10**9),
        threads=table.integer("threads", 0, low=0, high=1024),
        parallel_runs=table.integer("parallel_runs", 0, low=0, high=MOST_RUNS),
    )
    table.finish()
    return card


def _monitoring(table: Table) -> MonitoringCard:
    card = MonitoringCard(
        alarm_every=table.integer("alarm_every", 10_000, low=100, high=10**9),
        mean_confidence_above=table.number("mean_confidence_above", 0.95, low=0.0, high=1.0),
        mean_confidence_below=table.number("mean_confidence_below", 0.20, low=0.0, high=1.0),
        non_finite_above=table.number("non_finite_above", 0.001, low=0.0, high=1.0),
        below_threshold_above=table.number("below_threshold_above", None, low=0.0, high=1.0),
        clarify_above=table.number("clarify_above", None, low=0.0, high=1.0),
    )
    table.finish()
    return card
