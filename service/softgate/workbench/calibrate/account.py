"""The account: all the evidence of a calibration, and the reference, in the form of its file."""

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from softgate import __version__
from softgate.policy.decision import Routing
from softgate.runtime.repository import Bundle
from softgate.runtime.session import ENGINE
from softgate.workbench.calibrate import evidence
from softgate.workbench.calibrate.fit import Fit, interval, unfitted
from softgate.workbench.calibrate.held_out import HeldOut, judge_apart
from softgate.workbench.calibrate.labelled import Data
from softgate.workbench.calibrate.limits import Aims, Limits
from softgate.workbench.calibrate.quality import outcomes, quality, reliability
from softgate.workbench.calibrate.richer import Richer


@dataclass(frozen=True, slots=True)
class Found:
    """All that a calibration came to."""

    fit: Fit
    plain: Fit | None
    """Without a share of wrong labels and without a richer map, where one or the other is in the fit."""
    richer: Richer | None
    routing: Routing
    aims: Aims
    limits: Limits
    held_out: HeldOut
    n_folds: int | None
    """None: judged on rows of another file."""


def account(bundle: Bundle, data: Data, apart: Data | None, found: Found) -> Mapping[str, Any]:
    judged_on = data if apart is None else apart
    rows, held_out, several = judged_on.rows, found.held_out, judged_on.rows.several
    bare = judge_apart(rows, unfitted(bundle.card.activation), found.routing, NO_LIMITS, found.aims)
    before, after = (outcomes(rows, one.judged, one.losses, one.probabilities) for one in (bare, held_out))
    return {
        "data": {
            **_described(data),
            "multi_label": several,
            "evaluation": "cross-fitted" if apart is None else "separate",
            "folds": found.n_folds,
            "eval": None if apart is None else _described(apart),
        },
        "temperature": _temperature(data, found),
        "quality": {
            "before": quality(before, several=several, with_null=False),
            "after": quality(after, several=several, with_null=True),
        },
        "reliability": {"before": reliability(before), "after": reliability(after)},
        "confidence": evidence.confidence(held_out.judged, rows),
        "risk_coverage": evidence.curve(held_out.judged, held_out.rejected)
        if held_out.along is None
        else evidence.curve_of_several(held_out.along, n_rows=len(rows)),
        "promises": {
            name: evidence.promise(promise, data.rows, held_out.routed[name], found.routing)
            for name, promise in found.limits.promises.items()
        },
        "gate": evidence.gate(found.limits, found.aims, held_out, rows),
        "sets": evidence.sets(found.limits, found.aims, held_out),
        "classes": evidence.classes(rows, held_out, bundle.labels),
        "mistakes": evidence.mistakes(rows, held_out.judged, bundle.labels),
        "versions": {"softgate": __version__, "engine": ENGINE, "numpy": np.__version__},
        "command": shlex.join(["softgate", *sys.argv[1:]]),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _temperature(data: Data, found: Found) -> Mapping[str, Any]:
    ends, richer = interval(found.fit, data.rows), found.richer
    return {
        "method": found.fit.recipe.method,
        "plain": None if found.plain is None else found.plain.temperature,
        "interval": None if ends is None else list(ends[0]),
        "interval_method": None if ends is None else ends[1],
        "noise": found.fit.noise,
        "richer": None
        if richer is None
        else {
            "map": richer.map,
            "gain": richer.gain,
            "standard_error": richer.standard_error,
            "chosen": richer.chosen,
        },
    }


def _described(data: Data) -> Mapping[str, Any]:
    in_scope = int(data.rows.in_scope.sum())
    return {
        "sha256": data.sha256,
        "rows": len(data.rows),
        "in_scope": in_scope,
        "out_of_scope": len(data.rows) - in_scope,
        "out_of_scope_label": data.out_of_scope_label,
    }


NO_LIMITS = Limits(gate=None, no_gate=None, set_quantile=None, promises={})
