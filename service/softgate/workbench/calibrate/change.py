"""What a new calibration would change: its numbers, and the decisions of the rows at hand."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from softgate.numerics.likelihood import row_blocks
from softgate.policy.decision import Routing, decide, decide_labels, routing, target
from softgate.policy.scoring import laid_out, score
from softgate.runtime.calibration import Calibration
from softgate.runtime.repository import Model
from softgate.types import Action, Indices
from softgate.workbench.calibrate.labelled import Labelled

MOST_FLIPS = 12
NONE = "none"


@dataclass(frozen=True, slots=True)
class Change:
    parts: Sequence[tuple[str, str, str]]
    """Name, in force, new: those that differ, and the temperature."""
    rows: int
    changed: int
    """Rows whose action or target differs, in the default profile."""
    flips: Sequence[tuple[str, str, int]]
    """From, to and how many rows, the most first; at most MOST_FLIPS."""
    profiles: Mapping[str, int]
    """Rows that differ in each of the card's other profiles."""


def compare(model: Model, old: Calibration | None, new: Calibration, rows: Labelled) -> Change:
    laid = _routing(model, new)
    before, after = (_decided(model, calibration, rows) for calibration in (old, new))
    changed = (before != after).sum(axis=1).tolist()
    differ = before[0] != after[0]
    flips = Counter(zip(before[0, differ].tolist(), after[0, differ].tolist(), strict=True))
    return Change(
        parts=_parts(old, new),
        rows=len(rows),
        changed=changed[0],
        flips=[(_words(laid, a), _words(laid, b), n) for (a, b), n in flips.most_common(MOST_FLIPS)],
        profiles={name: changed[row] for name, row in laid.profiles.items() if row > 0},
    )


def _routing(model: Model, calibration: Calibration | None) -> Routing:
    card = model.bundle.card
    return routing(card.routing, calibration, model.bundle.labels, multi_label=card.multi_label)


def _decided(model: Model, calibration: Calibration | None, rows: Labelled) -> Indices:
    """Action and target of each row in each profile as one number, shape (n_profiles, n_rows)."""
    card = model.bundle.card
    laid = _routing(model, calibration)
    temperature, bias = laid_out(calibration)
    found = np.empty((len(laid.profiles), len(rows)), dtype=np.intp)
    for part in row_blocks(rows.logits):
        scores = score(
            rows.logits[part],
            activation=card.activation,
            temperature=temperature,
            bias=bias,
            with_energy=model.has_energy,
        )
        for profile in laid.profiles.values():
            decided = (decide_labels if card.multi_label else decide)(
                scores, laid, np.full(len(scores.label), profile, dtype=np.intp)
            )
            # Only what is routed goes where its candidate says.
            route = np.where(decided.action == Action.ROUTE, decided.route, 0)
            found[profile, part] = decided.action * np.intp(len(laid.routes)) + route
    return found


def _words(laid: Routing, number: int) -> str:
    action, route = divmod(number, len(laid.routes))
    word = Action(action).word
    to = target(laid, action, route)
    return word if to is None else f"{word} to {to}"


def _parts(old: Calibration | None, new: Calibration) -> Sequence[tuple[str, str, str]]:
    before, after = ({} if one is None else _numbers(one) for one in (old, new))
    names = dict.fromkeys([*before, *after])
    found = [(name, before.get(name, NONE), after.get(name, NONE)) for name in names]
    return [part for part in found if part[1] != part[2] or part[0] == "temperature"]


def _numbers(calibration: Calibration) -> Mapping[str, str]:
    own = {
        f"threshold, {profile}, {route}": value
        for profile, routes in calibration.route_thresholds.items()
        for route, value in routes.items()
    }
    numbers: Mapping[str, Any] = {
        "temperature": calibration.temperature,
        "shift per class": calibration.bias,
        "wrong labels": calibration.noise,
        "gate": calibration.gate,
        "kind of sets": None if calibration.set_quantile is None else calibration.set_score,
        "set quantile": calibration.set_quantile,
        **{f"threshold, {profile}": value for profile, value in calibration.thresholds.items()},
        **own,
    }
    return {name: _shown(value) for name, value in numbers.items() if value is not None}


def _shown(value: float | str | tuple[float, ...]) -> str:
    # So many decimals for all, so that their points stand below each other.
    match value:
        case str():
            return value
        case tuple():
            return f"{min(value):.4f} to {max(value):.4f}"
    return f"{value:.4f}"
