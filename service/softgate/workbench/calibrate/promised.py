"""Promises that the rows do not carry: refused, with what is missing."""

import math
from collections.abc import Iterator

import numpy as np

from softgate.errors import DataInvalid
from softgate.numerics.thresholds import N_STARTS, PrecisionThreshold, precision_lower_bound
from softgate.policy.decision import Routing
from softgate.runtime.calibration import DEFAULT_PROFILE
from softgate.workbench.calibrate.judged import Judged
from softgate.workbench.calibrate.labelled import Labelled
from softgate.workbench.calibrate.limits import Limits, Promise, needed, promised

MOST_ROUTES_NAMED = 5


def refuse_broken(limits: Limits, rows: Labelled, judged: Judged, routing: Routing, *, per_route: bool) -> None:
    """Raises DataInvalid that names each profile whose promise is not kept, and the rows that it would take."""
    about = promised(judged, routing, limits.gate)
    refusals = [
        sentence
        for name, promise in limits.promises.items()
        for sentence in _refused(name, promise, judged.route[about], routing, per_route=per_route)
    ]
    if refusals:
        raise DataInvalid(
            " ".join(refusals)
            + " Give more rows, ask for a lower precision or a higher risk in [routing], or state a threshold there, "
            "which promises nothing. Nothing was written."
        )


def _refused(name: str, promise: Promise, route: np.ndarray, routing: Routing, *, per_route: bool) -> Iterator[str]:
    profile = "" if name == DEFAULT_PROFILE else f"Profile {name}: "
    aim, least = promise.aim, needed(promise)
    wanted = f"a precision of {aim.precision:.4g} at a risk of {aim.risk:.4g}"
    if per_route and not promise.own:
        most = int(np.bincount(route, minlength=1).max()) if len(route) else 0
        yield (
            f"{profile}no route has rows enough for {wanted} of its own: it takes {least} rows that are routed to it, "
            f"none of them wrong, and the largest has {most}."
        )
        return
    broken = [(place, found) for place, found in promise.own.items() if found.threshold is None]
    for place, found in broken[:MOST_ROUTES_NAMED]:
        name = routing.routes[place]
        yield f"{profile}the route {name} does not keep {wanted}: {_seen(found, least, promise.level)}"
    if len(broken) > MOST_ROUTES_NAMED:
        yield f"{profile}{len(broken) - MOST_ROUTES_NAMED} more routes do not."
    if promise.pooled is not None and promise.pooled.threshold is None:
        who = "the routes without a threshold of their own do not" if promise.own else "the rows do not"
        yield f"{profile}{who} carry {wanted}: {_seen(promise.pooled, least, promise.level)}"


def _seen(found: PrecisionThreshold, least: int, level: float) -> str:
    n_rows = int(found.accepted.max(initial=0))
    takes = f"it takes at least {least} rows, none of them wrong"
    if n_rows < least:
        return f"{takes}, and there are {n_rows}."
    # As sure as each start of the test must be: the bounds of the evidence are of a threshold taken alone.
    bounds = precision_lower_bound(found.errors, found.accepted, risk=level / N_STARTS)
    best = int(np.argmax(bounds))
    return (
        f"{takes}, or more rows; among the {found.accepted[best]} surest of {n_rows} there are {found.errors[best]} "
        f"errors, which bounds the precision at {_floored(bounds[best]):.3f}."
    )


def _floored(bound: float) -> float:
    """A lower bound, never rounded up."""
    return math.floor(bound * 1000) / 1000
