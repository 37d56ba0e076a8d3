"""The evidence, part by part: what was seen on rows that had no part in what they are judged by."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softgate.numerics.histogram import count_in_bins
from softgate.numerics.out_of_scope import area_under_roc
from softgate.numerics.selective import coverage_at_precision, risk_coverage
from softgate.numerics.thresholds import PrecisionThreshold
from softgate.policy.decision import Routing
from softgate.types import Floats
from softgate.workbench.calibrate.held_out import TRIED, HeldOut
from softgate.workbench.calibrate.judged import Judged, Truths
from softgate.workbench.calibrate.labelled import Labelled
from softgate.workbench.calibrate.limits import Aims, Limits, Promise, needed, stated_names
from softgate.workbench.calibrate.quality import HISTOGRAM_EDGES, listed

ORACLES = (0.90, 0.95, 0.98, 0.99)
CURVE_POINTS = 200
ENERGY_BINS = 40
LARGEST_SIZE = 10
MOST_MISTAKES = 20


def confidence(judged: Judged, rows: Labelled) -> Mapping[str, Any]:
    edges, in_scope = np.array(HISTOGRAM_EDGES), rows.in_scope
    groups = {
        "right": in_scope & judged.correct,
        "wrong": in_scope & ~judged.correct,
        **({} if in_scope.all() else {"out_of_scope": ~in_scope}),
    }
    # A sum of roundings may lie above 1 by one.
    capped = np.minimum(judged.confidence, 1.0)
    return {
        "upper_edges": HISTOGRAM_EDGES,
        **{name: count_in_bins(capped[group], edges)[:-1].tolist() for name, group in groups.items()},
    }


def curve(judged: Judged, rejected: Truths) -> Mapping[str, Any]:
    """Coverage, of all rows, against precision among those past the gate, by the confidence of the route."""
    past = ~rejected
    if not past.any():
        return {"coverage": [], "precision": [], "threshold": [], "oracle": {}}
    found, share = risk_coverage(judged.route_confidence[past], judged.route_correct[past]), float(past.mean())
    places = np.unique(np.linspace(0, len(found.coverage) - 1, CURVE_POINTS).round().astype(int))
    oracle = {
        f"{level:.2f}": coverage_at_precision(judged.route_confidence[past], judged.route_correct[past], level) * share
        for level in ORACLES
    }
    return {
        "coverage": (found.coverage[places] * share).tolist(),
        "precision": (1.0 - found.risk[places]).tolist(),
        "threshold": found.threshold[places].tolist(),
        "oracle": {level: value or None for level, value in oracle.items()},
    }


def curve_of_several(along: NDArray[np.intp], *, n_rows: int) -> Mapping[str, Any]:
    """The same where several labels may hold, from the rows routed, and right, at each threshold of `TRIED`."""
    routed, right = along.T
    some = routed > 0
    precision, coverage = right[some] / routed[some], routed[some] / n_rows
    oracle = {f"{level:.2f}": float(coverage[precision >= level].max(initial=0.0)) or None for level in ORACLES}
    return {
        "coverage": coverage.tolist(),
        "precision": precision.tolist(),
        "threshold": TRIED[some].tolist(),
        "oracle": oracle,
    }


def promise(kept: Promise, rows: Labelled, outcome: tuple[Truths, Truths], routing: Routing) -> Mapping[str, Any]:
    """`outcome`: which held-out rows are routed, and which of them to the right place."""
    accepted, right = int(outcome[0].sum()), int(outcome[1].sum())
    share = float(np.mean(~rows.in_scope))
    pooled = kept.pooled
    return {
        "precision": kept.aim.precision,
        "risk": kept.aim.risk,
        **({"threshold": None} if pooled is None else _chosen(pooled)),
        "rows_needed": needed(kept),
        "rows": len(rows),
        "out_of_scope_share": share,
        "assumes": f"{100 * share:.1f} % out-of-scope traffic" if share else "no out-of-scope traffic assumed",
        "stated": stated_names(routing) or None,
        "tested": None if pooled is None else _tested(pooled),
        "held_out": {
            "coverage": accepted / len(outcome[0]),
            "precision": right / accepted if accepted else None,
            "routed": accepted,
        },
        "routes": {routing.routes[route]: _chosen(found) for route, found in kept.own.items()} or None,
    }


def gate(limits: Limits, aims: Aims, held_out: HeldOut, rows: Labelled) -> Mapping[str, Any] | None:
    if limits.gate is None:
        return {"value": None, "share": aims.share, "why": limits.no_gate}
    energies, in_scope, rejected = held_out.judged.energy, rows.in_scope, held_out.rejected
    edges = np.linspace(float(energies.min()), float(energies.max()), ENERGY_BINS + 1)[1:]
    # The largest belongs to the last bin, however the last edge rounds.
    edges[-1] = max(edges[-1], float(energies.max()))
    out = ~in_scope
    return {
        "value": limits.gate,
        "share": aims.share,
        "in_scope_rejected": float(rejected[in_scope].mean()),
        "out_of_scope_rejected": float(rejected[out].mean()) if out.any() else None,
        "auroc": area_under_roc(energies[in_scope], energies[out]) if out.any() else None,
        "upper_edges": edges.tolist(),
        "in_scope": count_in_bins(energies[in_scope], edges)[:-1].tolist(),
        "out_of_scope": count_in_bins(energies[out], edges)[:-1].tolist() if out.any() else None,
    }


def sets(limits: Limits, aims: Aims, held_out: HeldOut) -> Mapping[str, Any] | None:
    sizes, covered = held_out.sizes, held_out.covered
    if limits.set_quantile is None or sizes is None or covered is None:
        return None
    per_class = isinstance(limits.set_quantile, np.ndarray)
    return {
        "score": aims.set_score,
        "coverage": aims.coverage,
        "quantile": None if per_class else limits.set_quantile,
        "per_class": per_class,
        "held_out_coverage": float(covered.mean()),
        "mean_size": float(sizes.mean()),
        # By size from 0; the last entry is of all that are larger.
        "sizes": np.bincount(np.minimum(sizes, LARGEST_SIZE + 1), minlength=LARGEST_SIZE + 2).tolist(),
    }


def classes(rows: Labelled, held_out: HeldOut, labels: Sequence[str]) -> Mapping[str, Any]:
    """Rows, recall, precision and mean confidence of each label; of several that may hold, at a probability of 0.5."""
    judged = held_out.judged
    if held_out.probabilities is not None:
        said, true = held_out.probabilities >= 0.5, rows.truth
        hits, n_said, n_true = ((a).sum(axis=0) for a in (said & true, said, true))
        confidences = np.where(said, held_out.probabilities, 0.0).sum(axis=0)
        return {
            "label": list(labels),
            "rows": n_true.tolist(),
            "recall": _shares(hits, n_true),
            "precision": _shares(hits, n_said),
            "f1": _shares(2 * hits, n_said + n_true),
            "confidence": _shares(confidences, n_said),
        }
    in_scope, n_classes = rows.in_scope, len(labels)
    truth, label, correct = rows.truth[in_scope], judged.label[in_scope], judged.correct[in_scope]
    hits, n_true, n_said = (np.bincount(a, minlength=n_classes) for a in (truth[correct], truth, label))
    confidences = np.bincount(label, judged.confidence[in_scope], n_classes)
    return {
        "label": list(labels),
        "rows": n_true.tolist(),
        "recall": _shares(hits, n_true),
        "precision": _shares(hits, n_said),
        "confidence": _shares(confidences, n_said),
    }


def mistakes(rows: Labelled, judged: Judged, labels: Sequence[str]) -> Sequence[Mapping[str, Any]]:
    """The surest of them; `row` is counted from 1 in the data. Of several labels that hold, all are named."""

    def named(row: int) -> str | Sequence[str]:
        if rows.several:
            return [labels[column] for column in np.flatnonzero(rows.truth[row]).tolist()]
        return labels[int(rows.truth[row])]

    wrong = np.flatnonzero(rows.in_scope & ~judged.correct)
    order = wrong[np.argsort(-judged.confidence[wrong], kind="stable")][:MOST_MISTAKES]
    return [
        {
            "row": row + 1,
            "label": named(row),
            "predicted": labels[judged.label[row]],
            "confidence": float(judged.confidence[row]),
        }
        for row in order.tolist()
    ]


def _chosen(found: PrecisionThreshold) -> Mapping[str, Any]:
    place = found.index
    if place is None:
        return {"threshold": None, "accepted": None, "errors": None, "lower_bound": None}
    return {
        "threshold": found.threshold,
        "accepted": int(found.accepted[place]),
        "errors": int(found.errors[place]),
        "lower_bound": float(found.lower_bound[place]),
    }


def _tested(found: PrecisionThreshold) -> Mapping[str, Any]:
    return {
        "thresholds": found.thresholds.tolist(),
        "accepted": found.accepted.tolist(),
        "errors": found.errors.tolist(),
        "lower_bound": found.lower_bound.tolist(),
    }


def _shares(part: NDArray[Any], whole: NDArray[Any]) -> Sequence[float | None]:
    with np.errstate(invalid="ignore", divide="ignore"):
        shares: Floats = part / whole
    return listed(np.where(whole > 0, shares, np.nan))
