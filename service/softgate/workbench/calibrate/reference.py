"""Writes the reference, which `runtime/reference.py` reads: counts over fixed edges of what these rows gave."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softgate.numerics.accuracy import atc_threshold
from softgate.numerics.histogram import CONFIDENCE_EDGES, count_in_bins
from softgate.numerics.likelihood import row_blocks
from softgate.policy.decision import Routing, decide, decide_labels
from softgate.policy.scoring import score
from softgate.runtime.card import MULTI_LABEL
from softgate.types import Action, Floats, Reason
from softgate.workbench.calibrate.fit import Fit
from softgate.workbench.calibrate.labelled import Labelled

N_QUANTILES = 10
N_BINS = 20


def reference(rows: Labelled, fit: Fit, routing: Routing, *, with_energy: bool) -> Mapping[str, Any]:
    """Of all rows, as they are decided when served; `routing` holds the limits in force."""
    columns: dict[str, list[NDArray[Any]]] = {}
    for part in row_blocks(rows.logits):
        for name, values in _scored(rows.logits[part], fit, routing, with_energy=with_energy).items():
            columns.setdefault(name, []).append(values)
    found = {name: np.concatenate(parts) for name, parts in columns.items()}
    right = None if rows.several else _right(rows, found)
    in_scope = found["confidence"][rows.in_scope]
    decisions = np.bincount(found["action"] * len(Reason) + found["reason"], minlength=len(Action) * len(Reason))
    return {
        "rows": len(rows),
        "label_confidence": _histogram(found["confidence"], CONFIDENCE_EDGES),
        "label_confidence_deciles": _histogram(found["confidence"], _quantiles(found["confidence"])),
        "route_confidence": _histogram(found["route_confidence"], _with(CONFIDENCE_EDGES, routing.thresholds)),
        "margin": _histogram(found["margin"], CONFIDENCE_EDGES),
        "entropy": _histogram(found["entropy"], _entropy_edges(len(routing.labels), right)),
        **(
            {"energy": _histogram(found["energy"], _even(float(found["energy"].min()), float(found["energy"].max())))}
            if with_energy
            else {}
        ),
        "labels": np.bincount(found["label"], minlength=len(routing.labels)).tolist(),
        "routes": np.bincount(found["route"], minlength=len(routing.routes)).tolist(),
        "decisions": {
            f"{action.word} {reason.word}": int(decisions[action * len(Reason) + reason])
            for action in Action
            for reason in Reason
            if decisions[action * len(Reason) + reason]
        },
        **({"right": right} if right else {}),
        **(
            {}
            if rows.in_scope.all()
            else {"in_scope": {"label_confidence": count_in_bins(in_scope, CONFIDENCE_EDGES).tolist()}}
        ),
    }


def _right(rows: Labelled, found: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    in_scope = rows.in_scope
    right = found["label"][in_scope] == rows.truth[in_scope]
    return {
        "rows": len(right),
        "right": int(right.sum()),
        "entropy": atc_threshold(found["entropy"][in_scope], right),
    }


def _scored(
    logits: NDArray[np.floating], fit: Fit, routing: Routing, *, with_energy: bool
) -> Mapping[str, NDArray[Any]]:
    several = fit.recipe.activation == MULTI_LABEL
    scores = score(
        logits,
        activation=fit.recipe.activation,
        temperature=fit.temperature,
        bias=fit.bias,
        with_energy=with_energy,
    )
    decisions = (decide_labels if several else decide)(scores, routing, np.zeros(len(logits), dtype=np.intp))
    return {
        "label": scores.label,
        "confidence": scores.confidence,
        "margin": scores.margin,
        "entropy": scores.entropy,
        **({} if scores.energy is None else {"energy": scores.energy}),
        "route": decisions.route,
        "route_confidence": decisions.confidence,
        "action": decisions.action.astype(np.intp),
        "reason": decisions.reason.astype(np.intp),
    }


def _histogram(values: Floats, upper_edges: Floats) -> Mapping[str, Any]:
    return {
        "upper_edges": upper_edges.tolist(),
        "counts": count_in_bins(values, upper_edges).tolist(),
        "mean": float(values.mean()),
        "standard_deviation": float(values.std()),
    }


def _quantiles(values: Floats) -> Floats:
    """The inner ones, equal values once: bins that hold about as many rows each."""
    return np.unique(np.quantile(values, np.arange(1, N_QUANTILES) / N_QUANTILES))


def _with(edges: Floats, thresholds: Floats) -> Floats:
    """A row at its threshold is not below it, so the edge is the number before."""
    finite = thresholds[np.isfinite(thresholds)]
    return np.unique(np.concatenate([edges, np.nextafter(np.unique(finite)[:N_BINS], 0.0)]))


def _entropy_edges(n_labels: int, right: Mapping[str, Any] | None) -> Floats:
    edges = _even(0.0, float(np.log(max(2, n_labels))))
    return edges if right is None else np.unique(np.append(edges, right["entropy"]))


def _even(low: float, high: float) -> Floats:
    edges: Sequence[float] = np.linspace(low, high, N_BINS + 1)[1:].tolist()
    return np.unique(np.array(edges))
