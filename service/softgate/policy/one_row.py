"""
One row, scored, decided and read out at once: the same bits as `score`, `decide` and `read_out` give.

A batch's work is a few dozen calls of numpy, each of which costs a microsecond however few the numbers. For one row
of a small classifier they take longer than everything else together, so here only what must round alike is numpy's.
Very many classes take longest to rank: unless all are to be shown, no more than the leading ones are read out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softgate.numerics import confidence as numerics
from softgate.numerics.activations import softmax
from softgate.numerics.conformal import mass_before
from softgate.numerics.selection import top_k
from softgate.policy.decision import Routing, offered
from softgate.policy.readout import Readout
from softgate.policy.scoring import MOST_RANKED
from softgate.types import Action, Candidate, Floats, Reason, View

# Loops over classes in Python overtake numpy's calls at about so many.
MOST_CLASSES = 256
# Of more classes than MOST_RANKED, and of those with the same probability as the last a few more.
N_LEADING = 32
_N_COLUMNS = 256

# Sorting in Python overtakes numpy's calls at about so many.
_FEW_CLASSES = 32
_ROUTE, _CLARIFY = int(Action.ROUTE), int(Action.CLARIFY)
_FALLBACK, _ABSTAIN = int(Action.FALLBACK), int(Action.ABSTAIN)
_CONFIDENT, _AMBIGUOUS, _BELOW_THRESHOLD = int(Reason.CONFIDENT), int(Reason.AMBIGUOUS), int(Reason.BELOW_THRESHOLD)
_OUT_OF_SCOPE, _UNCALIBRATED = int(Reason.OUT_OF_SCOPE), int(Reason.UNCALIBRATED)

# Reductions as functions: half the way of the methods of an array.
_sum: Callable[[Floats], np.float64] = np.add.reduce
_max: Callable[..., Any] = np.maximum.reduce
_min: Callable[[Floats], np.float64] = np.minimum.reduce


@dataclass(frozen=True)
class OneRow:
    """For a softmax at one temperature. Called with logits of shape (1, n_classes) and a row of the threshold table."""

    _temperature: float
    _bias: Floats | None
    _routing: Routing
    _names: NDArray[np.object_]
    _with_energy: bool
    _labels: Sequence[str]
    _thresholds: Sequence[Sequence[float]]
    _route_of_class: Sequence[int]
    _quantiles: Sequence[float] | None
    """Of the prediction sets, one per class."""
    _most_quantile: float
    of_many: bool
    """More than MOST_RANKED classes, of which it reads out those that lead unless it is to show all."""

    @staticmethod
    def is_enough_for(view: View) -> bool:
        """Whether of very many classes `view` shows no more than those that lead."""
        return view.top_k is not None and view.top_k <= N_LEADING and view.cuts_only

    @staticmethod
    def fitting(
        *,
        activation: str,
        temperature: float | Floats,
        bias: Floats | None,
        routing: Routing,
        names: Sequence[str],
        with_energy: bool,
    ) -> "OneRow | None":
        """None where this way is not the shorter one, or not the same."""
        of_many = len(names) > MOST_RANKED
        if activation != softmax.__name__ or isinstance(temperature, np.ndarray):
            return None
        if not (1 < len(names) <= MOST_CLASSES or of_many):
            return None
        quantile = routing.set_quantile
        # Whatever the mass before it, a class of this quantile is in the set.
        if of_many and quantile is not None and np.max(quantile) >= 1.0:
            return None
        if routing.set_quantile is not None and routing.set_score is not mass_before:
            return None
        route_of_class = routing.grouping.route_of_class.tolist()
        return OneRow(
            temperature,
            bias,
            routing,
            np.array(names, dtype=object),
            with_energy,
            names,
            routing.thresholds.tolist(),
            route_of_class,
            None if quantile is None else np.broadcast_to(quantile, len(names)).tolist(),
            0.0 if quantile is None else float(np.max(quantile)),
            of_many,
        )

    def __call__(self, logits: NDArray[np.floating], profile: int, *, shows_all: bool = False) -> Readout | None:
        """
        None for the rows whose way is longer: logits that are not finite.

        And, of very many classes, a prediction set that the leading ones do not hold, or many of those alike.
        `shows_all`: show very many classes all, in order, and not only the leading ones.
        """
        # Wider ones may leave the range when a temperature below 1 divides them.
        if len(logits) != 1 or logits.dtype != np.float32:
            return None
        scaled = np.divide(logits[0], self._temperature, dtype=np.float64)
        if self._bias is not None:
            scaled += self._bias
        top = _max(scaled)
        if not isfinite(top) or (self.of_many and not isfinite(_min(scaled))):
            return None
        scaled -= top
        probabilities = np.exp(scaled)
        total = _sum(probabilities)
        probabilities /= total
        leading = self._ranked(probabilities)
        # Of classes that are all ranked, a logit of minus infinity leaves no other trace.
        if leading is None or (leading[1][-1] == 0.0 and not np.isfinite(scaled).all()):
            return None
        classes, ranked, names = leading
        log_total = np.log(total)
        energy = None
        if self._with_energy:
            familiar = (log_total + top) * self._temperature
            energy = float(familiar if self._bias is None else numerics.energy(logits, self._temperature)[0])
        sets = None
        if self._quantiles is not None:
            sets = self._inside(ranked, classes, self._quantiles)
            if sets is None:
                return None
        by_route = probabilities if self._routing.own_routes else self._by_route(probabilities)
        route = classes[0] if self._routing.own_routes else int(by_route.argmax())
        confidence = by_route.item(route)
        candidates: Mapping[int, Sequence[Candidate]] = {}
        threshold = self._thresholds[profile][route]
        action, reason = _FALLBACK, _BELOW_THRESHOLD
        if energy is not None and self._routing.gate is not None and energy < self._routing.gate:
            action, reason = _ABSTAIN, _OUT_OF_SCOPE
        elif confidence >= threshold:
            action, reason = _ROUTE, _CONFIDENT
        elif sets is not None and self._asks_back([classes[place] for place in sets], profile):
            action, reason = _CLARIFY, _AMBIGUOUS
            spanned: dict[int, dict[str, float]] = {}
            for place in sets:
                spanned.setdefault(self._route_of_class[classes[place]], {})[names[place]] = ranked[place]
            candidates = {0: offered(spanned, by_route, self._routing)}
        if not self._routing.calibrated:
            reason = _UNCALIBRATED
        order = top_k(probabilities[None], len(probabilities)) if shows_all and self.of_many else None
        return Readout(
            finite=(True,),
            shown=(names,) if order is None else order,
            probabilities=(ranked,) if order is None else probabilities[order],
            label=(classes[0],),
            confidence=(ranked[0],),
            margin=(ranked[0] - ranked[1],),
            entropy=(float(log_total - np.vecdot(probabilities, scaled)),),
            energy=None if energy is None else (energy,),
            sets=None if sets is None else ([names[place] for place in sets],),
            action=(action,),
            reason=(reason,),
            route=(route,),
            route_confidence=(confidence,),
            threshold=(threshold,),
            candidates=candidates,
        )

    def _ranked(self, probabilities: Floats) -> tuple[Sequence[int], Sequence[float], Sequence[str]] | None:
        """
        Classes, their probabilities and names, most probable first, the lower index first among equals.

        None where very many share the probability of the last that leads.
        """
        names = self._names
        if self.of_many:
            # The leaders of a few hundred columns are found sooner than those of all, and are at least as many.
            columns = probabilities[: len(names) // _N_COLUMNS * _N_COLUMNS].reshape(-1, _N_COLUMNS)
            least = np.partition(_max(columns, axis=0), -N_LEADING)[-N_LEADING]
            found = (probabilities >= least).nonzero()[0]
            if len(found) > 2 * N_LEADING:
                return None
            found = found[(-probabilities[found]).argsort(kind="stable")]
            return found.tolist(), probabilities[found].tolist(), names[found].tolist()
        if len(names) > _FEW_CLASSES:
            order = (-probabilities).argsort(kind="stable")
            return order.tolist(), probabilities[order].tolist(), names[order].tolist()
        values: list[float] = probabilities.tolist()
        classes = sorted(range(len(values)), key=values.__getitem__, reverse=True)
        return classes, [values[column] for column in classes], [self._labels[column] for column in classes]

    def _by_route(self, probabilities: Floats) -> Floats:
        grouping = self._routing.grouping
        by_route: Floats = np.add.reduceat(probabilities[grouping.columns], grouping.starts)
        return np.minimum(by_route, 1.0, out=by_route)

    def _asks_back(self, members: Sequence[int], profile: int) -> bool:
        spanned = {self._route_of_class[column] for column in members}
        thresholds = self._thresholds[profile]
        return 2 <= len(spanned) <= self._routing.clarify and not all(isnan(thresholds[route]) for route in spanned)

    def _inside(
        self, ranked: Sequence[float], classes: Sequence[int], quantiles: Sequence[float]
    ) -> Sequence[int] | None:
        """
        Places in the ranking whose mass before them is within the quantile of their class.

        None where classes that are not among these may have one.
        """
        places: list[int] = []
        before, most = 0.0, self._most_quantile
        for place, probability in enumerate(ranked):
            if before > most:
                return places
            if before <= quantiles[classes[place]]:
                places.append(place)
            # A sum that rounds above 1 would keep a class out of the set that holds every class.
            before = min(before + probability, 1.0)
        return None if self.of_many else places
