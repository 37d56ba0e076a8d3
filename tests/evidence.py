"""The evidence of a calibration, whole, as a report takes it."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softgate.numerics.activations import softmax
from softgate.numerics.histogram import CONFIDENCE_EDGES
from softgate.runtime.calibration import sha256
from softgate.workbench.report.selection import share_interval
from softgate.workbench.report.subject import Subject

Floats = NDArray[np.float64]
BINS = 15


def made_up(n_rows: int = 3000, n_classes: int = 12, *, seed: int = 0) -> tuple[Floats, NDArray[np.intp], Floats]:
    """Logits that are too timid by a third, their targets, and logits of rows out of scope."""
    random = np.random.default_rng(seed)
    targets = random.integers(n_classes, size=n_rows)
    strength = random.gamma(4.0, 1.6, n_rows)
    logits = random.gumbel(size=(n_rows, n_classes))
    logits[np.arange(n_rows), targets] += strength
    return logits * 0.7, targets, random.gumbel(size=(n_rows // 10, n_classes)) * 1.1


def bins(confidence: Floats, right: NDArray[np.bool_]) -> dict[str, Any]:
    which = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    rows = np.bincount(which, minlength=BINS)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(which, values, BINS) / rows for values in (confidence, right)]
    listed = [[None if np.isnan(mean) else float(mean) for mean in column] for column in means]
    edges = [(edge + 1) / BINS for edge in range(BINS)]
    return {"upper_edges": edges, "rows": rows.tolist(), "confidence": listed[0], "accuracy": listed[1]}


def quality(probabilities: Floats, targets: NDArray[np.intp]) -> dict[str, Any]:
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == targets
    random = np.random.default_rng(0)

    def error(outcome: NDArray[np.bool_]) -> float:
        found = bins(confidence, outcome)
        gaps = zip(found["rows"], found["confidence"], found["accuracy"], strict=True)
        return float(sum(rows * abs(c - a) for rows, c, a in gaps if rows) / len(outcome))

    draws = np.array([error(random.random(len(right)) < confidence) for _ in range(60)])
    ece = error(right)
    p_value = (1 + int((draws >= ece).sum())) / 61
    band = [float(draws.mean()), float(np.quantile(draws, 0.95))]
    order = np.argsort(-confidence)
    risk = np.cumsum(~right[order]) / np.arange(1, len(right) + 1)
    return {
        "accuracy": float(right.mean()),
        "nll": float(-np.log(probabilities[np.arange(len(targets)), targets]).mean()),
        "brier": float(((probabilities - np.eye(probabilities.shape[1])[targets]) ** 2).sum(axis=1).mean()),
        "ece15": ece,
        "ece15_equal_mass": ece * 1.1,
        "l2_debiased": ece * 1.2,
        "null": {"ece15": band, "l2_debiased": [band[0] * 0.7, band[1] * 1.2]},
        "p_value": {"ece15": p_value, "l2_debiased": p_value},
        "aurc": float(risk.mean()),
        "excess_aurc": float(risk.mean()) / 2,
    }


def promise(confidence: Floats, right: NDArray[np.bool_], precision: float, n_rows: int) -> dict[str, Any]:
    """Wilson's bound stands for the exact one, which is not what is tested here."""
    thresholds = np.quantile(confidence, np.linspace(0.98, 0.0, 50))
    accepted = [int((confidence >= threshold).sum()) for threshold in thresholds]
    errors = [int((~right[confidence >= threshold]).sum()) for threshold in thresholds]
    bounds = [share_interval(1 - e / a, a)[0] for e, a in zip(errors, accepted, strict=True)]
    passing = [place for place, bound in enumerate(bounds) if bound >= precision]
    kept, place = bool(passing), passing[-1] if passing else 0
    return {
        "precision": precision,
        "risk": 0.1,
        "threshold": float(thresholds[place]) if kept else None,
        "accepted": accepted[place] if kept else None,
        "errors": errors[place] if kept else None,
        "lower_bound": bounds[place] if kept else None,
        # Four starts share the risk.
        "rows_needed": math.ceil(math.log(0.1 / 4) / math.log(precision)),
        "rows": n_rows,
        "out_of_scope_share": 0.032,
        "assumes": "3.2 % out-of-scope traffic",
        "tested": {
            "thresholds": thresholds.tolist(),
            "accepted": accepted,
            "errors": errors,
            "lower_bound": bounds,
        },
        "held_out": {
            "coverage": accepted[place] / n_rows,
            "precision": 1 - errors[place] / accepted[place],
            "routed": accepted[place],
        }
        if kept
        else None,
        "routes": None,
    }


def whole(
    logits: Floats, targets: NDArray[np.intp], out: Floats, *, temperature: float = 0.69, labels: tuple[str, ...] = ()
) -> Subject:
    """Everything that a calibration may hold, from logits."""
    n_classes = logits.shape[1]
    labels = labels or tuple(f"label_{place}" for place in range(n_classes))
    before, after = (softmax(logits / t) for t in (1.0, temperature))
    confidence, foreign = after.max(axis=1), softmax(out / temperature).max(axis=1)
    predicted = after.argmax(axis=1)
    right = predicted == targets
    energy, out_energy = (temperature * np.log(np.exp(z / temperature).sum(axis=1)) for z in (logits, out))
    gate = float(np.quantile(energy, 0.05))
    past = np.concatenate([confidence[energy >= gate], foreign[out_energy >= gate]])
    fine = np.concatenate([right[energy >= gate], np.zeros((out_energy >= gate).sum(), dtype=bool)])
    n_rows = len(logits) + len(out)
    order = np.argsort(-past)
    taken = np.unique(np.linspace(1, len(past), 101).astype(int))
    precisions = np.cumsum(fine[order])[taken - 1] / taken
    tails = np.linspace(np.concatenate([energy, out_energy]).min(), energy.max(), 30)[1:]
    rows = np.bincount(targets, minlength=n_classes)
    hits = np.bincount(targets[right], minlength=n_classes)
    guesses = np.bincount(predicted, minlength=n_classes)
    sums = np.bincount(predicted, confidence, n_classes)
    edges = [*CONFIDENCE_EDGES[:19].tolist(), 1.0]
    counted = {
        name: np.histogram(values, [0.0, *edges])[0].tolist()
        for name, values in (("right", confidence[right]), ("wrong", confidence[~right]), ("out_of_scope", foreign))
    }
    wrong = [row for row in np.argsort(-confidence) if not right[row]][:20]
    promises = {"default": promise(past, fine, 0.95, n_rows), "high_risk": promise(past, fine, 0.98, n_rows)}
    evidence = {
        "data": {
            "sha256": sha256(logits.tobytes()),
            "rows": n_rows,
            "in_scope": len(logits),
            "out_of_scope": len(out),
            "out_of_scope_label": "oos",
            "evaluation": "cross-fitted",
            "folds": 5,
            "eval": None,
        },
        "temperature": {
            "method": "robust",
            "plain": temperature * 1.02,
            "interval": [temperature * 0.97, temperature * 1.03],
            "interval_method": "bootstrap",
            "noise": 0.012,
            "richer": {"map": "bias", "gain": -0.0102, "standard_error": 0.0041, "chosen": False, "why": None},
        },
        "quality": {"before": quality(before, targets), "after": quality(after, targets)},
        "reliability": {
            "before": bins(before.max(axis=1), before.argmax(axis=1) == targets),
            "after": bins(confidence, right),
        },
        "confidence": {"upper_edges": edges, **counted},
        "risk_coverage": {
            "coverage": (taken / n_rows).tolist(),
            "precision": precisions.tolist(),
            "threshold": past[order][taken - 1].tolist(),
            "oracle": {
                level: max(
                    (float(n) / n_rows for n, p in zip(taken, precisions, strict=True) if p >= float(level)),
                    default=None,
                )
                for level in ("0.90", "0.95", "0.98", "0.99")
            },
        },
        "promises": promises,
        "gate": {
            "value": gate,
            "share": 0.05,
            "in_scope_rejected": float((energy < gate).mean()),
            "out_of_scope_rejected": float((out_energy < gate).mean()) if len(out) else None,
            "auroc": 0.972 if len(out) else None,
            "upper_edges": tails.tolist(),
            "in_scope": np.bincount(np.searchsorted(tails, energy), minlength=30).tolist(),
            "out_of_scope": np.bincount(np.searchsorted(tails, out_energy), minlength=30).tolist(),
        },
        "sets": {
            "score": "topp",
            "coverage": 0.95,
            "quantile": 0.81,
            "held_out_coverage": 0.953,
            "mean_size": 1.12,
            "sizes": [0, 2740, 190, 52, 14, 3, 1, 0, 0, 0, 0, 0],
            "per_class": False,
        },
        "classes": {
            "label": list(labels),
            "rows": rows.tolist(),
            "recall": [int(h) / int(n) if n else None for h, n in zip(hits, rows, strict=True)],
            "precision": [int(h) / int(n) if n else None for h, n in zip(hits, guesses, strict=True)],
            "confidence": [float(s) / int(n) if n else None for s, n in zip(sums, guesses, strict=True)],
        },
        "mistakes": [
            {
                "row": int(row) + 1,
                "label": labels[targets[row]],
                "predicted": labels[predicted[row]],
                "confidence": float(confidence[row]),
            }
            for row in wrong
        ],
        "versions": {"softgate": "0.1.0", "numpy": "2.4.6", "onnxruntime": "1.32.0"},
        "command": "softgate calibrate models/clinc150 --data val.jsonl --out-of-scope-label oos",
        "time": "2026-11-24T17:03:39Z",
    }
    return Subject(
        model="clinc150",
        version="1",
        calibration="9f2c61d0a1b4",
        temperature=temperature,
        gate=gate,
        thresholds={name: found["threshold"] for name, found in promises.items() if found["threshold"] is not None},
        n_labels=n_classes,
        evidence=evidence,
    )
