"""What comes out for each row under a fit, and whether it is right: columns, so that what follows is about vectors."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from softgate.numerics.confidence import energy
from softgate.numerics.conformal import SetScore, prediction_sets
from softgate.numerics.likelihood import row_blocks
from softgate.numerics.routes import Grouping, route_probabilities
from softgate.types import Floats, Indices
from softgate.workbench.calibrate.fit import Fit
from softgate.workbench.calibrate.labelled import Labelled

Truths = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Judged:
    """Arrays of shape (n_rows,). Out of scope nothing is correct, and what needs a true label is NaN."""

    label: Indices
    """The most probable."""
    confidence: Floats
    correct: Truths
    route: Indices
    """The candidate of the decision."""
    route_confidence: Floats
    route_correct: Truths
    energy: Floats
    """NaN where the graph gives no real logits."""
    set_score: Floats
    """Of the true label; NaN where several may hold."""
    own: Floats
    """Probability of the true label; NaN where several may hold."""
    squares: Floats
    """Sum of the squared probabilities."""

    def take(self, rows: NDArray[np.bool_]) -> "Judged":
        return replace(self, **{part.name: getattr(self, part.name)[rows] for part in fields(self)})


def judge(rows: Labelled, fit: Fit, *, grouping: Grouping, score: SetScore, with_energy: bool) -> Judged:
    """Block by block: beside the logits it takes little memory."""
    parts = [
        _judge(rows.take(part), fit, grouping, score=score, with_energy=with_energy) for part in row_blocks(rows.logits)
    ]
    return Judged(**{part.name: np.concatenate([getattr(one, part.name) for one in parts]) for part in fields(Judged)})


def gathered(parts: Sequence[tuple[NDArray[np.bool_], Judged]]) -> Judged:
    """Of parts of the rows, each with the rows it is of, the whole in the order of the rows."""
    order = np.argsort(np.concatenate([np.flatnonzero(rows) for rows, _ in parts]))
    return Judged(
        **{part.name: np.concatenate([getattr(one, part.name) for _, one in parts])[order] for part in fields(Judged)}
    )


def set_outcomes(
    rows: Labelled, fit: Fit, quantile: float | Floats, *, score: SetScore, keep: Truths
) -> tuple[Indices, Truths]:
    """Size of the prediction set of each row that is kept, and whether it holds the true label."""
    kept = rows.take(keep)
    sizes, covered = np.empty(len(kept), dtype=np.intp), np.empty(len(kept), dtype=bool)
    for part in row_blocks(kept.logits):
        inside = prediction_sets(fit.probabilities(kept.logits[part]), quantile, score=score)
        sizes[part] = inside.sum(axis=1)
        covered[part] = np.take_along_axis(inside, kept.truth[part, None], axis=1)[:, 0]
    return sizes, covered


def _judge(rows: Labelled, fit: Fit, grouping: Grouping, *, score: SetScore, with_energy: bool) -> Judged:
    p = fit.probabilities(rows.logits)
    places, label = np.arange(len(p)), p.argmax(axis=1)
    confidence, nothing = p[places, label], np.full(len(p), np.nan)
    squares = np.vecdot(p, p)
    familiar = energy(rows.logits, fit.temperature) if with_energy and isinstance(fit.temperature, float) else nothing
    if rows.several:
        route = grouping.route_of_class[label]
        right = (rows.truth & (grouping.route_of_class == route[:, None])).any(axis=1)
        correct = rows.truth[places, label]
        return Judged(label, confidence, correct, route, confidence, right, nothing, nothing, nothing, squares)
    by_route = route_probabilities(p, grouping)
    route = by_route.argmax(axis=1)
    in_scope = rows.in_scope
    truth = np.where(in_scope, rows.truth, 0)
    return Judged(
        label=label,
        confidence=confidence,
        correct=in_scope & (label == truth),
        route=route,
        route_confidence=by_route[places, route],
        route_correct=in_scope & (route == grouping.route_of_class[truth]),
        energy=familiar,
        set_score=np.where(in_scope, score(p)[places, truth], np.nan),
        own=np.where(in_scope, p[places, truth], np.nan),
        squares=squares,
    )
