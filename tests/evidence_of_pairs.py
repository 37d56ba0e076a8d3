"""The evidence of a sigmoid head, where several labels may hold at once."""

from dataclasses import replace

import numpy as np

from evidence import bins, whole
from softgate.workbench.report.subject import Subject


def of_pairs(*, n_rows: int = 900, n_labels: int = 8, seed: int = 0) -> Subject:
    """Of a sigmoid head: several labels may hold at once, so there is neither a gate nor a set."""
    random = np.random.default_rng(seed)
    logits = random.normal(-6.0, 6.0, (n_rows, n_labels))
    holds = random.random((n_rows, n_labels)) < 1 / (1 + np.exp(-logits / 1.3))
    top = logits.argmax(axis=1)
    # A decision is right where its label is among those that hold.
    right = np.where(holds[np.arange(n_rows), top], top, logits.argmin(axis=1))
    single = whole(logits, right, logits[:0], temperature=1.0)
    pairs, truth = (1 / (1 + np.exp(-logits / 1.3))).ravel(), holds.ravel()
    measured = {"accuracy": 0.91, "nll": 0.2, "brier": 0.07, "ece15": 0.004, "ece15_equal_mass": 0.005}
    tested = {"null": {"ece15": [0.003, 0.006]}, "p_value": {"ece15": 0.4}, "aurc": None, "excess_aurc": None}
    found = (pairs >= 0.5).reshape(holds.shape)
    hits, guesses, rows = ((part.sum(axis=0)) for part in (found & holds, found, holds))
    evidence = {
        **single.evidence,
        "data": {**single.evidence["data"], "multi_label": True, "out_of_scope_label": None},
        "temperature": {"method": "plain", "plain": 1.3, "interval": None, "noise": None, "richer": None},
        "quality": {when: {**measured, **tested} for when in ("before", "after")},
        "reliability": {"before": bins(pairs, truth), "after": bins(pairs, truth)},
        "gate": {"value": None, "why": "several labels may hold at once"},
        "sets": {"quantile": None, "why": "several labels may hold at once"},
        "classes": {
            "label": single.evidence["classes"]["label"],
            "rows": rows.tolist(),
            "recall": (hits / rows).tolist(),
            "precision": (hits / guesses).tolist(),
            "confidence": None,
            "f1": (2 * hits / (rows + guesses)).tolist(),
            "thresholds": [0.5, *[None] * (n_labels - 1)],
        },
        "mistakes": [
            {"row": 7, "label": ["label_1", "label_2"], "predicted": "label_3", "confidence": 0.98},
            {"row": 9, "label": [], "predicted": "label_0", "confidence": 0.97},
        ],
    }
    return replace(single, evidence=evidence, gate=None, temperature=[1.2, 1.3, 1.4, 1.3, 1.2, 1.3, 1.3, 1.35])
