"""From what was found to the file that says it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from softgate.policy.decision import Routing
from softgate.runtime.calibration import DEFAULT_SET_SCORE, FORMAT, Calibration, bindings
from softgate.runtime.card import bound_parts
from softgate.runtime.repository import Bundle
from softgate.workbench.calibrate.fit import Fit
from softgate.workbench.calibrate.limits import Limits


def parts(bundle: Bundle, found: Fit, limits: Limits, routing: Routing, *, set_score: str) -> dict[str, Any]:
    """All of the file but its reference and its evidence: what decisions are made by, and what it is bound to."""

    def listed(value: Any) -> Any:
        return value.tolist() if isinstance(value, np.ndarray) else value

    own = {
        name: {routing.routes[route]: part.threshold for route, part in promise.own.items()}
        for name, promise in limits.promises.items()
        if promise.own
    }
    found_parts = {
        "temperature": listed(found.temperature),
        "bias": listed(found.bias),
        "noise": found.noise,
        "gate": limits.gate,
        "set_quantile": listed(limits.set_quantile),
        "set_score": None if limits.set_quantile is None else set_score,
        "thresholds": {
            name: promise.pooled.threshold for name, promise in limits.promises.items() if promise.pooled is not None
        },
        "route_thresholds": own or None,
    }
    bound_to = bindings(
        bound_parts(bundle.card), model=bundle.model, labels=bundle.labels_content, tokenizer=bundle.tokenizer
    )
    set_parts = {name: value for name, value in found_parts.items() if value is not None}
    return {"format": FORMAT, "bound_to": dict(bound_to), **set_parts}


def in_force(values: Mapping[str, Any]) -> Calibration:
    """The calibration that a file of these parts would be read as."""

    def frozen(value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    return Calibration(
        temperature=frozen(values["temperature"]),
        noise=values.get("noise"),
        gate=values.get("gate"),
        set_quantile=frozen(values.get("set_quantile")),
        thresholds=values["thresholds"],
        evidence={},
        digest="",
        bias=frozen(values.get("bias")),
        set_score=values.get("set_score", DEFAULT_SET_SCORE),
        route_thresholds=values.get("route_thresholds", {}),
    )
