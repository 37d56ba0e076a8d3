"""What a new calibration would change: its numbers, and the decisions of the rows at hand."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from softgate.numerics.likelihood import row_blocks
from softgate.policy.classifier import laid_out, score
from softgate.policy.decision import Routing, decide, decide_labels, routing, target
from softgate.runtime.calibration import Calibration
from softgate.runtime.repository import Model
from softgate.types import Action
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
    """From, to and how many rows, the most first."""


def compare(model: Model, old: Calibration | None, new: Calibration, rows: Labelled) -> Change:
    before, after = (_decided(model, calibration, rows) for calibration in (old, new))
    flips = Counter((a, b) for a, b in zip(before, after, strict=True) if a != b)
    return Change(
        parts=_parts(old, new),
        rows=len(rows),
        changed=flips.total(),
        flips=[(a, b, n) for (a, b), n in flips.most_common(MOST_FLIPS)],
    )


def _decided(model: Model, calibration: Calibration | None, rows: Labelled) -> Sequence[str]:
    """Action and target of each row, in words."""
    card = model.bundle.card
    laid = routing(card.routing, calibration, model.bundle.labels, multi_label=card.multi_label)
    temperature, bias = laid_out(calibration)
    words: list[str] = []
    for part in row_blocks(rows.logits):
        scores = score(
            rows.logits[part],
            activation=card.activation,
            temperature=temperature,
            bias=bias,
            with_energy=model.has_energy,
        )
        found = (decide_labels if card.multi_label else decide)(
            scores, laid, np.zeros(len(scores.label), dtype=np.intp)
        )
        words += [_words(laid, *pair) for pair in zip(found.action.tolist(), found.route.tolist(), strict=True)]
    return words


def _words(laid: Routing, action: int, route: int) -> str:
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
        "set quantile": calibration.set_quantile,
        **{f"threshold, {profile}": value for profile, value in calibration.thresholds.items()},
        **own,
    }
    return {name: _shown(value) for name, value in numbers.items() if value is not None}


def _shown(value: float | tuple[float, ...]) -> str:
    if isinstance(value, tuple):
        return f"{min(value):.4g} to {max(value):.4g}"
    return f"{value:.4g}"
